"""The nodes of the Genfocus engine, on tiny random models in the host's own classes."""

from functools import cache

import pytest
import torch
from safetensors.torch import save_file

from rackfocus.dev.host.library import use_comfy

use_comfy()
import comfy.model_management as mm  # noqa: E402
import comfy.samplers  # noqa: E402
import folder_paths  # noqa: E402
import latent_preview  # noqa: E402

import nodes as core  # noqa: E402
from rackfocus.dev.tiny.genfocus import TinyClip, tiny_flux, tiny_lora, tiny_transformer, tiny_vae  # noqa: E402
from rackfocus.dev.tiny.stock_flux import stock_model  # noqa: E402
from rackfocus.nodes.blur import BokehSynthesize, DeblurAiF  # noqa: E402
from rackfocus.nodes.genfocus.nodes import GenfocusConditioning  # noqa: E402
from rackfocus.nodes.model import LoadRefocusModel  # noqa: E402
from rackfocus.pipelines.flux.reference import architecture_of  # noqa: E402
from rackfocus.pipelines.flux.sampling import sigmas  # noqa: E402
from rackfocus.pipelines.flux.tokens import pad_to_tokens  # noqa: E402
from rackfocus.pipelines.genfocus import BOKEH, DEBLUR, DEBLUR_PRE, generate, pack, read_lora, unpack, with_aperture  # noqa: E402
from rackfocus.pipelines.image.checks import RefocusError  # noqa: E402
from rackfocus.pipelines.optics import DefocusMap  # noqa: E402
from rackfocus.tests.pictures import random  # noqa: E402

FAST = {"steps": 2, "seed": 5}


@pytest.fixture(autouse=True)
def inference_mode():
    """As the host runs its nodes."""
    with torch.inference_mode():
        yield


@cache
def photo():
    return random(1, 48, 64, 3)


DEFOCUS = DefocusMap(torch.linspace(-20, 60, 64)[None, None].repeat(1, 48, 1))
SHAPE = torch.zeros(1, 32, 32)
SHAPE[:, :16] = 1


@pytest.fixture(scope="module")
def loras(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loras")
    for i, name in enumerate(["deblurNet", "bokehNet", "shape", "deblurNet_with_pre_deblur"]):
        save_file(tiny_lora(seed=i), folder / f"{name}.safetensors")
    save_file({k: v for k, v in tiny_lora().items() if "x_embedder" not in k}, folder / "broken.safetensors")
    return folder


@pytest.fixture(scope="module")
def base():
    return {"flux": tiny_flux(), "clip": TinyClip(), "vae": tiny_vae()}


@pytest.fixture(scope="module")
def load(loras, base):
    before = folder_paths.folder_names_and_paths["loras"]
    folder_paths.folder_names_and_paths["loras"] = ([str(loras)], before[1])

    def load(**changes):
        chosen = {"deblur_lora": "deblurNet.safetensors", "bokeh_lora": "bokehNet.safetensors", **base, **changes}
        return LoadRefocusModel.execute("genfocus", **chosen).args[0]

    yield load
    folder_paths.folder_names_and_paths["loras"] = before


@pytest.fixture(scope="module")
def model(load):
    return load(aperture_lora="shape.safetensors")


def deblur(model, image=None, **inputs):
    image = photo() if image is None else image
    given = {"strength": 1.0, "defocus": DEFOCUS, **FAST, **inputs}
    return DeblurAiF.execute(image, model=model, **given).args[0]


def bokeh(model, image=None, defocus=DEFOCUS, **inputs):
    image = photo() if image is None else image
    given = {"quality": "fast", "highlights": 8.0, **FAST, **inputs}
    return BokehSynthesize.execute(image, defocus, model=model, **given).args[0]


def same(a, b, tolerance=2e-4):
    return a.shape == b.shape and float((a - b).abs().max()) < tolerance


def by_reference(loras, base, setup, images, files, prompt, guidance, steps=2, seed=5, black=None, **settings):
    """The reference between the host's VAE and text: pictures [1, H, W, 3] of sizes in whole tokens."""
    transformer = tiny_transformer()
    latents = [base["vae"].encode(image) for image in images]
    latent_format = base["flux"].model.latent_format
    grids = [pack(latent_format.process_in(x)) for x in latents]
    if black:
        settings["black"] = [pack(latent_format.process_in(base["vae"].encode(image))) for image in black]
    text, options = TinyClip({"t5xxl_min_length": 512}).encode_from_tokens_scheduled((prompt, 512))[0]
    noise = torch.randn(latents[0].shape, generator=torch.manual_seed(seed))
    weights = [read_lora(loras / f"{f}.safetensors", architecture_of(transformer)) for f in files]
    out = generate(
        transformer,
        setup,
        pack(noise),
        grids,
        weights,
        text,
        options["pooled_output"],
        steps=steps,
        guidance=guidance,
        **settings,
    )
    return base["vae"].decode(latent_format.process_out(unpack(out)))


def test_the_nodes_equal_the_reference(model, loras, base):
    image = photo()
    out = by_reference(loras, base, DEBLUR, [image], ["deblurNet"], DEBLUR.prompt, 3.5)
    assert same(deblur(model), out)
    pre = random(1, 48, 64, 3, seed=2)
    out = by_reference(loras, base, DEBLUR_PRE, [pre, image], ["deblurNet"], DEBLUR.prompt, 3.5)
    assert same(deblur(model, pre_deblurred=pre), out)
    # The host's VAE maps 0..1 to -1..1: a map that must reach it unmapped goes in as (map + 1) / 2.
    blur = (DEFOCUS.radius.abs() / 100)[..., None].expand(-1, -1, -1, 3)
    out = by_reference(loras, base, BOKEH, [image, (blur + 1) / 2], ["bokehNet"], BOKEH.prompt, 1.0)
    assert same(bokeh(model), out)


def test_the_aperture_is_a_third_condition_with_its_own_lora(model, load, loras, base):
    blur = (DEFOCUS.radius.abs() / 100)[..., None].expand(-1, -1, -1, 3)
    shape = torch.zeros(1, 48, 64, 3)
    shape[:, :24] = 1
    files = ["bokehNet", "bokehNet", "shape"]
    out = by_reference(loras, base, with_aperture(BOKEH), [photo(), (blur + 1) / 2, shape], files, BOKEH.prompt, 1.0)
    assert same(bokeh(model, aperture=SHAPE), out) and not same(bokeh(model), out)
    with pytest.raises(RefocusError, match=r"aperture_lora, or disconnect the aperture"):
        bokeh(load(), aperture=SHAPE)


def test_the_file_trained_with_pre_deblur_gets_a_black_picture(load, loras, base):
    model = load(deblur_lora="deblurNet_with_pre_deblur.safetensors")
    out = by_reference(
        loras, base, DEBLUR_PRE, [photo() * 0, photo()], ["deblurNet_with_pre_deblur"], DEBLUR.prompt, 3.5
    )
    assert same(deblur(model), out)
    assert not same(deblur(load(deblur_lora="deblurNet.safetensors")), out)


def test_a_folder_called_pre_deblur_says_nothing_of_its_files(load, loras):
    (loras / "pre_deblur").mkdir(exist_ok=True)
    save_file(tiny_lora(seed=0), loras / "pre_deblur" / "deblurNet.safetensors")
    folder_paths.filename_list_cache.pop("loras", None)
    assert not load(deblur_lora="pre_deblur/deblurNet.safetensors").models.always_pre
    assert load(deblur_lora="deblurNet_with_pre_deblur.safetensors").models.always_pre


def test_what_pads_the_picture_is_cut_off(model, loras, base):
    """It grows below and on the right to whole tokens, and is cut there."""
    image = random(1, 40, 52, 3)
    out = by_reference(loras, base, DEBLUR, [pad_to_tokens(image)], ["deblurNet"], DEBLUR.prompt, 3.5)
    assert out.shape == (1, 48, 64, 3)
    assert same(deblur(model, image, defocus=DefocusMap(torch.ones(1, 40, 52))), out[:, :40, :52])


@pytest.mark.parametrize("size", [(250, 333), (16, 16), (17, 40)])
def test_sizes_and_batches_are_kept(model, size):
    images = random(2, *size, 3)
    for out in (
        deblur(model, images, steps=1, defocus=DefocusMap(torch.zeros(1, *size))),
        bokeh(model, images, steps=1),
    ):
        assert out.shape == images.shape and not same(out[:1], out[1:])


@pytest.mark.parametrize("task", ["deblur", "bokeh"])
def test_ksampler_gives_the_same_picture(model, base, task):
    """KSampler, euler and simple, with GenfocusConditioning: what the node makes with the same seed, for each frame."""
    images = torch.cat([photo(), photo().flip(2)])
    patched, positive, negative, latent = GenfocusConditioning.execute(
        model, images, task, "", 0.0, defocus=DEFOCUS if task == "bokeh" else None
    ).args
    out = core.common_ksampler(patched, 5, 4, 1.0, "euler", "simple", positive, negative, latent)[0]["samples"]
    expected = (deblur if task == "deblur" else bokeh)(model, images, steps=4)
    assert same(base["vae"].decode(out), expected)
    guided = core.common_ksampler(patched, 5, 4, 1.8, "euler", "simple", positive, negative, latent)[0]["samples"]
    assert not same(base["vae"].decode(guided), expected)


def sampled(model, base, task, image=None, steps=2, cfg=1.0, **inputs):
    """KSampler's picture, euler and simple, after GenfocusConditioning."""
    image = photo() if image is None else image
    given = {"prompt": "", "guidance": 0.0, "defocus": DEFOCUS, **inputs}
    patched, positive, negative, latent = GenfocusConditioning.execute(model, image, task, **given).args
    out = core.common_ksampler(patched, FAST["seed"], steps, cfg, "euler", "simple", positive, negative, latent)
    return base["vae"].decode(out[0]["samples"])


def test_the_conditioning_node_passes_on_all_it_is_given(model, base):
    pre = random(1, 48, 64, 3, seed=2)
    assert same(sampled(model, base, "deblur", pre_deblurred=pre), deblur(model, pre_deblurred=pre))
    assert not same(sampled(model, base, "deblur"), deblur(model, pre_deblurred=pre))
    assert same(sampled(model, base, "bokeh", aperture=SHAPE), bokeh(model, aperture=SHAPE))
    assert not same(sampled(model, base, "bokeh"), bokeh(model, aperture=SHAPE))
    long = random(1, 16, 528, 3)
    tiled, off = (sampled(model, base, "deblur", long, tiling=t) for t in ("on", "off"))
    assert same(tiled, deblur(model, long, tiling="on", defocus=DefocusMap(torch.ones(1, 16, 528))))
    assert not same(tiled, off)


def test_cfg_is_the_image_guidance_of_the_reference(model, loras, base):
    """The negative's pictures are black: all zeros, the defocus map's too, which the VAE's 0..1 has at one half."""
    blur = (DEFOCUS.radius.abs() / 100)[..., None].expand(-1, -1, -1, 3)
    out = by_reference(
        loras,
        base,
        BOKEH,
        [photo(), (blur + 1) / 2],
        ["bokehNet"],
        BOKEH.prompt,
        1.0,
        image_guidance=1.8,
        black=[photo() * 0, photo() * 0 + 0.5],
    )
    assert same(sampled(model, base, "bokeh", cfg=1.8), out) and not same(sampled(model, base, "bokeh"), out)


@pytest.mark.parametrize(("size", "tokens"), [((48, 64), 12), ((250, 333), 336)])
def test_the_hosts_simple_schedule_is_the_published_one(model, size, tokens):
    """The time shift is that of the picture's own number of tokens."""
    patched = GenfocusConditioning.execute(model, torch.zeros(1, *size, 3), "deblur", "", 0.0).args[0]
    for steps in (20, 24, 28, 30, 32, 40):
        made = comfy.samplers.calculate_sigmas(patched.get_model_object("model_sampling"), "simple", steps)
        assert torch.allclose(made, sigmas(steps, tokens), atol=1e-6), steps


def test_what_the_conditioning_node_leaves_empty_is_as_published(model):
    def text(task, prompt, guidance):
        positive = GenfocusConditioning.execute(model, photo(), task, prompt, guidance, defocus=DEFOCUS).args[1]
        return positive[0][0], positive[0][1]["guidance"]

    for task, setup in (("deblur", DEBLUR), ("bokeh", BOKEH)):
        tokens, guidance = text(task, " ", 0.0)
        assert guidance == setup.guidance and tokens.shape[1] == 512
        assert torch.equal(tokens, text(task, setup.prompt, setup.guidance)[0])
        assert not torch.equal(tokens, text(task, "fog", 0.0)[0]) and text(task, "", 2.0)[1] == 2.0


@pytest.mark.parametrize("run", [deblur, bokeh])
def test_every_widget_has_an_effect(model, load, run):
    long = random(1, 16, 528, 3)  # 33 tokens, one more than a tile
    whole = DefocusMap(torch.ones(1, 16, 528))
    before = run(model)
    for change in ({"prompt": "at night"}, {"steps": 3}, {"guidance": 7.0}, {"seed": 6}):
        assert not same(run(model, **change), before), change
    for part in ("deblur_lora", "bokeh_lora"):
        other = run(load(**{part: "shape.safetensors"}))
        assert same(other, before) == (part.split("_")[0] not in run.__name__), part
    tiled, auto, off = (run(model, long, defocus=whole, steps=1, tiling=t) for t in ("on", "auto", "off"))
    assert not same(tiled, off) and same(auto, off)  # auto tiles when both sides reach a tile


def test_strength_is_the_share_of_the_correction(model):
    assert same(deblur(model, strength=0.0), photo(), 1e-6)
    assert same(deblur(model, strength=0.5), (deblur(model) + photo()) / 2, 1e-5)


def test_defocus_is_passed_on_or_estimated(model):
    out = DeblurAiF.execute(photo(), 1.0, model=model, defocus=DEFOCUS, **FAST).args[1]
    assert torch.equal(out.radius, DEFOCUS.radius)
    assert DeblurAiF.execute(photo(), 1.0, model=model, **FAST).args[1].radius.shape == (1, 48, 64)


def test_a_large_photo_is_estimated_small(model, monkeypatch):
    """genfocus does not need the estimate: it is made from at most a quarter of a megapixel, whatever the photo."""
    from rackfocus.pipelines.optical.deconvolution import estimate as coarse

    seen, real = [], coarse.estimate_defocus
    monkeypatch.setattr(coarse, "estimate_defocus", lambda image, **k: seen.append(image.shape) or real(image, **k))
    photo = random(1, 500, 520, 3)
    out = DeblurAiF.execute(photo, 1.0, model=model, steps=1).args[1]
    assert out.radius.shape == (1, 500, 520)
    assert [n * m <= 250_000 for _, n, m, _ in seen] == [True] and seen[0][1:3] != (500, 520)


def test_the_artists_models_are_not_changed(model, base, load):
    flux, clip = base["flux"], base["clip"]
    deblur(model)
    bokeh(model)
    assert not any(flux.wrappers.values()) and not flux.additional_models and not flux.object_patches
    assert not [m for m in flux.model.diffusion_model.modules() if m._forward_hooks]
    assert clip.options == {}


def test_previews_and_one_bar_for_all_frames(model, monkeypatch):
    seen = []

    class Bar:
        def __init__(self, total):
            self.total = total

        def update_absolute(self, value, total=None, preview=None):
            seen.append((value, total, preview))

    class Previewer:
        def decode_latent_to_preview_image(self, kind, x0):
            return kind, tuple(x0.shape)

    monkeypatch.setattr("comfy.utils.ProgressBar", Bar)
    monkeypatch.setattr(latent_preview, "get_previewer", lambda device, latent_format: Previewer())
    bokeh(model, torch.cat([photo(), photo()]), steps=3)
    assert seen == [(i + 1, 6, ("JPEG", (1, 16, 6, 8))) for i in range(6)]


def test_cancel_stops_inside_a_step_and_the_next_run_is_as_before(model, monkeypatch):
    before, calls = deblur(model), []
    import rackfocus.nodes.flux.forward as forward

    real = mm.throw_exception_if_processing_interrupted

    def check():
        calls.append(1)
        if len(calls) == 5:  # in the second step's first block: three blocks and the bar a step
            mm.interrupt_current_processing()
        real()

    monkeypatch.setattr(forward.mm, "throw_exception_if_processing_interrupted", check)
    with pytest.raises(mm.InterruptProcessingException):
        deblur(model, steps=4)
    monkeypatch.undo()
    assert torch.equal(deblur(model), before)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"flux": None}, "no MODEL is connected"),
        ({"clip": None}, "no CLIP is connected"),
        ({"vae": None}, "no VAE is connected"),
        ({"flux": "schnell"}, r"FLUX\.1-schnell.*load FLUX\.1-dev"),
        ({"deblur_lora": "broken.safetensors"}, r"broken\.safetensors lacks 2 tensors \(transformer\.x_embedder"),
        ({"deblur_lora": "none", "bokeh_lora": "none"}, r"none is chosen.*deblurNet\.safetensors from nycu-cplab"),
    ],
)
def test_what_is_missing_is_said(load, changes, said):
    if changes.get("flux") == "schnell":
        changes = {"flux": stock_model(tiny_transformer(), weights=False, guidance_embed=False)}
    with pytest.raises(RefocusError, match=said) as error:
        load(**changes)
    assert "\n" not in str(error.value)


def test_a_task_without_its_lora_is_said(load):
    with pytest.raises(RefocusError, match=r"needs DeblurNet.*deblur_lora"):
        deblur(load(deblur_lora="none"))
    with pytest.raises(RefocusError, match=r"needs BokehNet.*bokeh_lora"):
        bokeh(load(bokeh_lora="none"))


def test_wrong_partners_are_said(load, model, base):
    class Wrong(TinyClip):
        def clone(self):
            return Wrong(self.options)

        def encode_from_tokens_scheduled(self, tokens):
            return [[torch.zeros(1, 8, 32), {}]]

    with pytest.raises(RefocusError, match="CLIP gives no pooled text"):
        deblur(load(clip=Wrong()))

    class FourChannels:
        first_stage_model = torch.nn.Identity()

        def encode(self, pixels):
            return torch.zeros(len(pixels), 4, pixels.shape[1] // 8, pixels.shape[2] // 8)

    with pytest.raises(RefocusError, match="latents of 4 channels"):
        deblur(load(vae=FourChannels()))
    with pytest.raises(RefocusError, match=r"pre_deblurred is 48 x 32 and the image 48 x 64"):
        deblur(model, pre_deblurred=photo()[:, :, :32])
    with pytest.raises(RefocusError, match="a DefocusMap is needed"):
        GenfocusConditioning.execute(model, photo(), "bokeh", "", 0.0)
    with pytest.raises(RefocusError, match="engine is optical"):
        GenfocusConditioning.execute(LoadRefocusModel.execute("optical").args[0], photo(), "deblur", "", 0.0)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_pictures_of_another_type_are_those_of_float32(model, kind):
    given = photo().to(kind)
    assert all(torch.equal(work(model, image=given), work(model, image=given.float())) for work in (bokeh, deblur))
