"""The nodes of the diffcamera engine, on tiny random models in the host's own classes."""

from functools import cache

import pytest
import torch
from safetensors.torch import save_file

from rackfocus.dev.host.library import use_comfy

use_comfy()
import comfy.model_management as mm  # noqa: E402
import folder_paths  # noqa: E402

from rackfocus.dev.tiny.diffcamera import tiny_checkpoint  # noqa: E402
from rackfocus.dev.tiny.genfocus import tiny_flux, tiny_lora, tiny_transformer, tiny_vae  # noqa: E402
from rackfocus.dev.tiny.stock_flux import stock_model  # noqa: E402
from rackfocus.nodes import diffcamera  # noqa: E402
from rackfocus.nodes.blur import BokehSynthesize, DeblurAiF  # noqa: E402
from rackfocus.nodes.diffcamera import prepare  # noqa: E402
from rackfocus.nodes.engines import need  # noqa: E402
from rackfocus.nodes.flux.memory import Memories  # noqa: E402
from rackfocus.nodes.model import LoadRefocusModel  # noqa: E402
from rackfocus.nodes.stack import FocalStackGenerate  # noqa: E402
from rackfocus.pipelines.diffcamera import at_plane, at_point, generate, read_checkpoint, sharp, write_checkpoint  # noqa: E402
from rackfocus.pipelines.flux.reference import architecture_of  # noqa: E402
from rackfocus.pipelines.flux.tokens import pack, pad_to_tokens, unpack  # noqa: E402
from rackfocus.pipelines.image.checks import RefocusError  # noqa: E402
from rackfocus.pipelines.optics import DefocusMap, defocus_from_disparity, stack_disparities  # noqa: E402
from rackfocus.tests.pictures import random  # noqa: E402

H, W = 43, 61
FAST = {"steps": 2, "seed": 5}


@pytest.fixture(autouse=True)
def inference_mode():
    """As the host runs its nodes."""
    with torch.inference_mode():
        yield


@cache
def photo(batch=1):
    return random(batch, H, W, 3)


@cache
def depth(batch=1):
    """Near on the right."""
    return torch.linspace(0.2, 0.9, W).expand(batch, H, W) + 0.02 * random(batch, H, W)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, transformer = tmp_path_factory.mktemp("loras"), tiny_transformer()
    for name, about in {"defocus": {}, "depth": {"geometry": "depth"}, "paper": {"camera": "linear"}}.items():
        write_checkpoint(folder / f"{name}.safetensors", tiny_checkpoint(transformer, **about), torch.float32)
    write_checkpoint(folder / "small.safetensors", tiny_checkpoint(transformer, base="small"))
    save_file(tiny_lora(), folder / "lora.safetensors")
    (folder / "torn.safetensors").write_bytes((folder / "defocus.safetensors").read_bytes()[:9000])
    return folder


@pytest.fixture(scope="module")
def base():
    return {"flux": tiny_flux(), "vae": tiny_vae()}


@pytest.fixture(scope="module")
def load(files, base):
    before = folder_paths.folder_names_and_paths["loras"]
    folder_paths.folder_names_and_paths["loras"] = ([str(files)], before[1])

    def load(name="defocus", **changes):
        chosen = {"diffcamera_checkpoint": f"{name}.safetensors", **base, **changes}
        return LoadRefocusModel.execute("diffcamera", **chosen).args[0]

    yield load
    folder_paths.folder_names_and_paths["loras"] = before


@pytest.fixture(scope="module")
def model(load):
    return load()


def refocus(model, image=None, **given):
    given = {"focus": (0.8, 0.3), "blur": 40.0, "depth": None, "aperture": None, **FAST, **given}
    return need(model, "refocus")(photo() if image is None else image, **given)


def by_reference(files, base, target, name="defocus", image=None, steps=2, seed=5):
    """The reference between the host's VAE: a picture [1, H, W, 3]."""
    transformer, image = tiny_transformer(), photo() if image is None else image
    checkpoint = read_checkpoint(files / f"{name}.safetensors", architecture_of(transformer))
    pictures = [image, target.geometry(checkpoint.about.geometry, min(H, W))]
    latent = base["flux"].model.latent_format
    grids = [None if p is None else pack(latent.process_in(base["vae"].encode(pad_to_tokens(p)))) for p in pictures]
    noise = torch.randn(unpack(grids[0])[:1].shape, generator=torch.manual_seed(seed))
    out = generate(transformer, checkpoint, pack(noise), *grids, target.aim, (H, W), steps=steps, keep=False)
    return base["vae"].decode(latent.process_out(unpack(out)))[:, :H, :W]


def same(a, b, tolerance=2e-4):
    return a.shape == b.shape and float((a - b).abs().max()) < tolerance


# What it computes


@pytest.mark.parametrize("name", ["defocus", "depth", "paper"])
@pytest.mark.parametrize("known", [True, False])
def test_refocusing_is_the_reference(load, files, base, name, known):
    disparity = depth() if known else None
    made = refocus(load(name), depth=disparity)
    target = at_point((0.8, 0.3), 40.0, 1, disparity)
    assert made.image.shape == (1, H, W, 3) and same(made.image, by_reference(files, base, target, name))
    assert (made.defocus is None) == (not known)
    if known:
        assert torch.equal(made.defocus.radius, target.defocus.radius)
    assert made.info.startswith("diffcamera: weights trained by nobody, 7 steps, rank 4, geometry ")


def test_the_other_tasks_are_the_reference(model, files, base):
    sharpened = DeblurAiF.execute(photo(), 1.0, model=model, **FAST).args
    assert same(sharpened[0], by_reference(files, base, sharp(1)))
    half = DeblurAiF.execute(photo(), 0.5, model=model, **FAST).args[0]
    assert same(half, (photo() + sharpened[0]) / 2)
    given = at_point((0.8, 0.3), 40.0, 1, depth())
    blurred = bokeh(model, given.defocus)
    assert same(blurred, by_reference(files, base, given), 2e-3)  # read back from the map
    assert not same(blurred, sharpened[0])


def bokeh(model, defocus, image=None, **given):
    image = photo() if image is None else image
    return BokehSynthesize.execute(image, defocus, model=model, quality="fast", highlights=8.0, **FAST, **given).args[0]


def stack(model, image=None, given=None, **widgets):
    image, given = photo() if image is None else image, depth() if given is None else given
    chosen = {"frames": 3, "strength": 40.0, "depth_kind": "disparity", "quality": "fast", "highlights": 8.0, **FAST}
    return FocalStackGenerate.execute(image, depth=given, model=model, **chosen, **widgets).args


def test_a_stack_is_a_sweep_at_one_seed(model, files, base):
    stacks, positions, info = stack(model, photo(2), depth(2))
    assert [s.shape for s in stacks] == [(3, H, W, 3)] * 2 and positions == [0, 0.5, 1]
    planes = stack_disparities(depth(), 3)
    for frame, plane in zip(stacks[0], planes, strict=True):
        target = at_plane(plane, 40.0, depth(2)[:1])
        assert same(frame[None], by_reference(files, base, target, image=photo(2)[:1]))
    assert info.count("focus disparity") == 2 and "trained by nobody" in info


def test_a_batch_is_its_pictures(model):
    """One noise for all: a frame of a batch is the picture by itself; one photo and a clip of maps make a film."""
    image = photo(2)
    both = refocus(model, image, depth=depth().expand(2, -1, -1)).image
    assert same(both[1:], refocus(model, image[1:], depth=depth()).image)
    assert not same(both[:1], both[1:])
    maps = defocus_from_disparity(depth(3), torch.tensor([0.3, 0.5, 0.8]), 2.0)
    film = bokeh(model, maps)
    assert film.shape == (3, H, W, 3) and not same(film[:1], film[2:])
    same_maps = DefocusMap(maps.radius[:1].expand(2, -1, -1))
    twice = bokeh(model, same_maps)
    assert same(twice[:1], twice[1:], 1e-6)
    with pytest.raises(RefocusError, match=r"has 2 frames .* has 3"):
        bokeh(model, maps, image)


def test_every_widget_counts(model):
    large = torch.nn.functional.interpolate(photo().movedim(-1, 1), (96, 560)).movedim(1, -1)
    out = refocus(model, depth=depth()).image
    for changes in ({"focus": (0.1, 0.3)}, {"blur": 60.0}, {"depth": None}, {"seed": 6}, {"steps": 3}):
        assert not same(refocus(model, **{"depth": depth(), **changes}).image, out)
    assert not same(*(refocus(model, large, tiling=mode).image for mode in ("on", "off")))
    assert same(*(refocus(model, depth=depth(), steps=n).image for n in (0, 28)), 1e-6)


def test_in_tiles_blur_and_geometry_are_told_in_parts_of_the_tile(model, monkeypatch):
    """A picture 1120 px wide in tiles of 512: the same blur is more of what is seen."""
    seen, encode = [], prepare.encode
    monkeypatch.setattr(prepare, "encode", lambda vae, pixels: seen.append(pixels) or encode(vae, pixels))
    attach = prepare.attach
    monkeypatch.setattr(prepare, "attach", lambda *args, **given: seen.append(args[3]) or attach(*args, **given))
    image = torch.nn.functional.interpolate(photo().movedim(-1, 1), (96, 1120)).movedim(1, -1)
    refocus(model, image, tiling="on", blur=40.0, steps=1)
    refocus(model, image, tiling="off", blur=40.0, steps=1)
    aims = [a.blur.item() for a in seen if hasattr(a, "blur")]
    assert aims == pytest.approx([0.4 * 1120 / 512, 0.4])


# What it costs


def passes(base, run):
    """Tokens that pass FLUX's embedding in each call."""
    counted = []
    layer = base["flux"].model.diffusion_model.img_in
    handle = layer.register_forward_pre_hook(lambda m, x: counted.append(x[0].shape[1]))
    try:
        run()
    finally:
        handle.remove()
    return counted


def test_conditions_run_once_for_a_picture_if_there_is_room(model, base, monkeypatch):
    kept = passes(base, lambda: refocus(model, photo(2), depth=depth(2), steps=3))
    assert kept == [36, 12, 12] * 2
    monkeypatch.setattr("rackfocus.nodes.flux.memory.room_on", lambda device: 0)
    out = refocus(model, photo(2), depth=depth(2), steps=3).image
    assert passes(base, lambda: refocus(model, photo(2), depth=depth(2), steps=3)) == [36] * 6
    monkeypatch.undo()
    assert same(refocus(model, photo(2), depth=depth(2), steps=3).image, out)


def test_room_is_given_tile_by_tile(base):
    flux, like = base["flux"].model.diffusion_model, torch.zeros(1)
    memories = Memories(room=2 * 3 * 10 * 32 * 4 + 5)  # keys and values, blocks, tokens, hidden, bytes
    first = memories.of((0, 0), flux, 1, 10, like)
    assert first is not None and memories.of((0, 0), flux, 1, 10, like) is first and memories.room == 5
    assert memories.of((0, 5), flux, 1, 10, like) is None
    first.keep("a", torch.zeros(1, 1), torch.zeros(1, 1))
    assert memories.of((0, 0), flux, 2, 10, like) is None  # another batch
    assert memories.release() and memories.room == 0 and not memories.release()


def test_out_of_memory_forgets_what_was_kept(model, base, monkeypatch):
    expected, calls = refocus(model, depth=depth(), steps=3).image, []
    inner = base["flux"].model.diffusion_model.single_blocks[1]

    def full(module, args):
        calls.append(1)
        if len(calls) == 2:
            raise mm.OOM_EXCEPTION("no room")

    handle = inner.register_forward_pre_hook(full)
    try:
        assert same(refocus(model, depth=depth(), steps=3).image, expected)
        assert len(calls) == 4
        calls.clear()
        monkeypatch.setattr("rackfocus.nodes.flux.memory.room_on", lambda device: 0)
        with pytest.raises(mm.OOM_EXCEPTION):  # nothing is kept that could make room
            refocus(model, depth=depth(), steps=3)
    finally:
        handle.remove()


# Nothing remains


@pytest.mark.parametrize("how", ["run", "cancel", "error"])
def test_the_artists_model_is_bit_identical(model, base, monkeypatch, how):
    flux, released = base["flux"], []
    weights = {k: v.clone() for k, v in flux.model.state_dict().items()}
    release = Memories.release
    monkeypatch.setattr(Memories, "release", lambda self: released.append(release(self)) or released[-1])

    def stop(module, args):
        if how == "error":
            raise MemoryError
        mm.interrupt_current_processing()

    handle = flux.model.diffusion_model.single_blocks[1].register_forward_pre_hook(stop) if how != "run" else None
    try:
        if handle is None:
            refocus(model, depth=depth())
        else:
            with pytest.raises(MemoryError if how == "error" else mm.InterruptProcessingException):
                refocus(model, depth=depth())
    finally:
        if handle is not None:
            handle.remove()
    assert released == [True]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in flux.model.diffusion_model.modules())
    assert not flux.additional_models and not any(flux.wrappers.values()) and not flux.object_patches
    assert all(torch.equal(v, weights[k]) for k, v in flux.model.state_dict().items())


# Refusals


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none", r"diffcamera needs a checkpoint, but no diffcamera_checkpoint is chosen: .*docs/diffcamera\.md"),
        ("gone.safetensors", r"'gone\.safetensors', but models/loras has no such file"),
        ("lora.safetensors", r"lora\.safetensors is no DiffCamera checkpoint"),
        ("torn.safetensors", r"torn\.safetensors cannot be read as a safetensors file"),
        ("small.safetensors", r"was trained on 'small', but FLUX\.1-dev is needed"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_loaded(load, name, said):
    why = diffcamera.why_not(name, tasks=set())
    assert why and "\n" not in why
    with pytest.raises(RefocusError, match=said):
        load(diffcamera_checkpoint=name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"guidance_embed": False}, r"FLUX\.1-schnell.*load FLUX\.1-dev"),
        ({"in_channels": 96}, r"takes 96 latent channels and gives 16 .*Fill.* DiffCamera needs plain FLUX\.1-dev"),
        ({"hidden_size": 64, "num_heads": 4}, r"defocus\.safetensors has in the wrong shape"),
        ({"context_in_dim": 16}, r"has text\.prompt 5 x 32, but 5 x 16 is needed"),
        ({"vec_in_dim": 16}, r"has text\.pooled 24, but 16 is needed"),
    ],
)
def test_other_models_are_refused(load, changes, said):
    with pytest.raises(RefocusError, match=said):
        load(flux=stock_model(tiny_transformer(), weights=False, **changes))


def test_missing_and_wrong_sockets(load, base):
    for socket, said in (("flux", "no MODEL is connected"), ("vae", "no VAE is connected")):
        with pytest.raises(RefocusError, match=said):
            load(**{socket: None})
    with pytest.raises(RefocusError, match="is connected as VAE"):
        load(vae=base["flux"])


def test_a_map_alone_is_not_enough_for_depth(load):
    said = r"was trained with depth maps .* BokehSynthesize gives a DEFOCUS_MAP alone: use RefocusPhoto"
    with pytest.raises(RefocusError, match=said):
        bokeh(load("depth"), at_point((0.5, 0.5), 40.0, 1, depth()).defocus)
    assert "DEFOCUS_MAP" in diffcamera.why_not("depth.safetensors", tasks={"bokeh"})
    assert diffcamera.why_not("depth.safetensors", tasks={"refocus", "deblur"}) is None
    assert diffcamera.why_not("defocus.safetensors", tasks={"bokeh"}) is None


def test_other_wrong_inputs(model):
    with pytest.raises(RefocusError, match="diffcamera finds the focal planes of a stack in one: connect a depth map"):
        FocalStackGenerate.execute(photo(), model=model, frames=2, strength=9.0, depth_kind="auto", **FAST)
    with pytest.raises(RefocusError, match="outside the picture"):
        refocus(model, focus=(1.2, 0.5))
    with pytest.raises(RefocusError, match="a DefocusMap is needed"):
        bokeh(model, photo())
