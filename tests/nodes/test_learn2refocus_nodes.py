"""The nodes of the learn2refocus engine, on the golden data's tiny SVD in the host's own classes."""

import shutil

import pytest
import torch

from rackfocus.dev.host.library import use_comfy

use_comfy()
import comfy.model_management as mm  # noqa: E402
import comfy.utils  # noqa: E402
import folder_paths  # noqa: E402
import latent_preview  # noqa: E402

from rackfocus.dev.tiny.svd import GOLDEN, tiny_clip_vision, tiny_vae, use_tiny_svd  # noqa: E402
from rackfocus.nodes.learn2refocus.nodes import RefocusPositionSweep  # noqa: E402
from rackfocus.nodes.model import LoadRefocusModel  # noqa: E402
from rackfocus.nodes.stack import FocalStackGenerate  # noqa: E402
from rackfocus.pipelines.image.checks import RefocusError  # noqa: E402
from rackfocus.pipelines.learn2refocus import resize  # noqa: E402
from rackfocus.pipelines.optical import render_bokeh  # noqa: E402
from rackfocus.pipelines.optics import DefocusMap  # noqa: E402

WIDGETS = {"frames": 9, "strength": 30.0, "depth_kind": "auto", "quality": "fast", "highlights": 8.0}
FAST = {"steps": 1, "seed": 5, "input_position": "4", "max_megapixels": 0.005}


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


PHOTO = random(1, 75, 133, 3)


@pytest.fixture(scope="module")
def unets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusion_models")
    shutil.copy(GOLDEN / "unet.safetensors", folder / "unet.safetensors")
    shutil.copy(GOLDEN / "vae.safetensors", folder / "vae.safetensors")
    use_tiny_svd()
    return folder


@pytest.fixture(autouse=True)
def folders(monkeypatch, unets):
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "diffusion_models", ([str(unets)], {".safetensors"}))
    folder_paths.filename_list_cache.pop("diffusion_models", None)
    yield
    folder_paths.filename_list_cache.pop("diffusion_models", None)


@pytest.fixture(autouse=True)
def no_grad():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def base(unets):
    return {"clip_vision": tiny_clip_vision(), "vae": tiny_vae()}


@pytest.fixture
def load(base):
    def load(**changes):
        return LoadRefocusModel.execute(
            "learn2refocus", **{"refocus_unet": "unet.safetensors", **base, **changes}
        ).args[0]

    return load


@pytest.fixture
def model(load):
    return load()


def stacks(model, image=PHOTO, **inputs):
    return FocalStackGenerate.execute(image, **{**WIDGETS, **FAST, **inputs}, model=model).args


def difference(a, b) -> float:
    return float("inf") if a.shape != b.shape else float((a - b).abs().max())


def test_one_photo_becomes_nine_frames_of_its_size(model):
    (stack,), positions, info = stacks(model)
    assert stack.shape == (9, 75, 133, 3) and positions == [i / 8 for i in range(9)]
    assert info == "input position 4 (focused at about 10 cm)"
    assert min(difference(a, b) for a, b in zip(stack[1:], stack, strict=False)) > 1e-3


def test_a_batch_makes_one_stack_each(model):
    made, _, info = stacks(model, torch.cat([PHOTO, PHOTO.flip(2)]))
    assert [s.shape for s in made] == [(9, 75, 133, 3)] * 2 and difference(*made) > 0.01
    assert len(info.splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_position", "5"),
        ("steps", 2),
        ("guidance", 1.0),
        ("seed", 6),
        ("max_megapixels", 0.5),
        ("frame_size", "model"),
        ("decode_chunk", 4),
        ("keep_input", True),
        ("detail", 0.5),
        ("clip_range", "as trained"),
    ],
)
def test_every_widget_has_an_effect(model, name, value):
    assert difference(stacks(model, **{name: value})[0][0], stacks(model)[0][0]) > 1e-4


def test_the_published_values_are_the_defaults():
    inputs = {i.id: getattr(i, "default", None) for i in FocalStackGenerate.define_schema().inputs}
    assert (inputs["steps"], inputs["guidance"], inputs["max_megapixels"]) == (25, 1.5, 0.5)
    assert inputs["clip_range"] == "as released" and inputs["keep_input"] is False
    assert inputs["detail"] == 0 and inputs["decode_chunk"] == 9


def test_what_the_optical_engine_reads_is_left_aside(model):
    before = stacks(model)[0][0]
    for change in (
        {"frames": 3},
        {"strength": 90.0},
        {"quality": "best"},
        {"highlights": 1.0},
        {"aperture": torch.ones(1, 8, 8)},
        {"depth": torch.ones(1, 8, 8)},
    ):
        assert torch.equal(stacks(model, **change)[0][0], before), change


def test_the_photo_is_kept_bit_for_bit(model):
    (kept,), (plain,) = stacks(model, keep_input=True)[0], stacks(model)[0]
    assert torch.equal(kept[4], PHOTO[0]) and not torch.equal(plain[4], PHOTO[0])
    assert torch.equal(kept[5], plain[5])


def test_the_models_size(model):
    (small,), (large,) = stacks(model, frame_size="model")[0], stacks(model)[0]
    assert small.shape == (9, 64, 64, 3)
    assert difference(resize(small, 75, 133), large) == 0


# The automatic position


def slope(focus: float):
    """A photo focused there and its depth in metres, 5 cm to infinity."""
    dioptres = torch.linspace(0, 20, 133).expand(1, 75, 133)
    return render_bokeh(PHOTO, DefocusMap(8 * (focus - dioptres) / 20)), torch.where(dioptres > 0, 1 / dioptres, 1e9)


@pytest.mark.parametrize("focus", [2.0, 17.0])
def test_the_position_is_found_from_depth_in_metres(model, focus):
    photo, metres = slope(focus)
    info = stacks(model, photo, input_position="automatic", depth=metres, depth_kind="metres")[2]
    found = int(info.split()[2])
    assert abs(found - 8 * (1 - focus / 20)) <= 1
    by_hand = stacks(model, photo, input_position=str(found))[0][0]
    assert torch.equal(
        stacks(model, photo, input_position="automatic", depth=1 / metres, depth_kind="inverse_metres")[0][0], by_hand
    )


def test_each_photo_of_a_batch_has_its_own(model):
    (near, depth), (far, _) = slope(17.0), slope(2.0)
    info = stacks(model, torch.cat([near, far]), input_position="automatic", depth=depth, depth_kind="metres")[2]
    first, second = (int(line.split()[2]) for line in info.splitlines())
    assert first < 3 < 6 < second


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "no depth map is connected"),
        ({"depth": random(1, 75, 133)}, "is disparity without a scale"),
        ({"depth": random(1, 75, 133), "depth_kind": "inverted"}, "is inverted without a scale"),
        ({"depth": random(3, 75, 133) + 1, "depth_kind": "metres"}, "depth has 3 frames and image has 1"),
    ],
)
def test_automatic_says_what_it_needs(model, inputs, said):
    with pytest.raises(RefocusError, match=said) as error:
        stacks(model, input_position="automatic", **inputs)
    assert "\n" not in str(error.value)


# The sweep

WIDE = random(1, 64, 128, 3, seed=1)


def sweep(model, image=WIDE, **inputs):
    settings = {"steps": 1, "guidance": 1.0, "seed": 5, "max_megapixels": 0.005, "frame_width": 40, **inputs}
    return RefocusPositionSweep.execute(model, image, **settings).args[0]


def test_the_sheet_shows_all_nine_starts(model):
    (sheet,) = sweep(model)
    high, wide = 20, 40  # 64 x 128 at 40 pixels
    assert sheet.shape == (1, 9 * high, 9 * wide, 3)
    cells = sheet[0].unflatten(0, (9, high)).unflatten(2, (9, wide)).movedim(2, 1)  # [row, frame, y, x, 3]
    inside = (slice(None), slice(2, -2), slice(2, -2))
    for position in (0, 8):
        (stack,) = stacks(model, WIDE, input_position=str(position), guidance=1.0)[0]
        assert difference(cells[position][inside], resize(stack, high, wide)[inside]) < 1e-4
    white = (cells[:, :, 0] == 1).all(-1).all(-1)
    assert torch.equal(white, torch.eye(9, dtype=torch.bool))
    for name, value in (("steps", 2), ("guidance", 1.5), ("seed", 6), ("max_megapixels", 0.01), ("frame_width", 41)):
        assert difference(sweep(model, **{name: value})[0], sheet) > 1e-4, name


def test_the_sweep_needs_this_engine():
    from rackfocus.nodes.host import RefocusModel

    with pytest.raises(RefocusError, match="engine is optical, but learn2refocus is needed"):
        sweep(RefocusModel("optical", {}))


# With the host


def test_previews_and_one_bar_for_all_photos(model, monkeypatch):
    seen = []

    class Bar:
        def __init__(self, total):
            self.total = total

        def update_absolute(self, value, total=None, preview=None):
            seen.append((value, total, preview))

    class Previewer:
        def decode_latent_to_preview_image(self, kind, x0):
            return kind, tuple(x0.shape)

    monkeypatch.setattr(comfy.utils, "ProgressBar", Bar)
    monkeypatch.setattr(latent_preview, "get_previewer", lambda device, latent_format: Previewer())
    stacks(model, torch.cat([PHOTO, PHOTO]), decode_chunk=5, steps=2)
    steps = [("JPEG", (9, 4, 32, 32))] * 2
    assert seen == [(v, 22, p) for v, p in zip((1, 2, 7, 11, 12, 13, 18, 22), (*steps, None, None) * 2, strict=True)]


def test_cancel_while_decoding_and_the_next_run_is_as_before(model, monkeypatch):
    before, decoded = stacks(model)[0][0], []
    vae, decode = model.models.vae, model.models.vae.decode

    def watched(z):
        decoded.append(len(z))
        mm.interrupt_current_processing()
        return decode(z)

    monkeypatch.setattr(vae, "decode", watched)
    with pytest.raises(mm.InterruptProcessingException):
        stacks(model, decode_chunk=2)
    assert decoded == [2]
    monkeypatch.undo()
    assert torch.equal(stacks(model)[0][0], before)


def test_the_models_are_not_changed(model):
    unet = model.models.model
    before = {k: v.clone() for k, v in unet.model.state_dict().items()}
    options = str(unet.model_options)
    stacks(model)
    assert all(torch.equal(v, before[k]) for k, v in unet.model.state_dict().items())
    assert str(unet.model_options) == options and not unet.patches


def test_the_input_is_not_written_to(model):
    photo = PHOTO.clone()
    stacks(model, photo, keep_input=True)
    assert torch.equal(photo, PHOTO)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"refocus_unet": "none"}, r"none is chosen in refocus_unet.*diffusion_pytorch_model.*tedlasai/learn2refocus"),
        ({"refocus_unet": "vae.safetensors"}, r"vae\.safetensors is SVD's VAE, but learn2refocus's UNet"),
        ({"clip_vision": None}, "no CLIP_VISION is connected"),
        ({"vae": None}, "no VAE is connected"),
    ],
)
def test_what_is_missing_or_wrong_is_said(load, changes, said):
    with pytest.raises(RefocusError, match=said) as error:
        load(**changes)
    assert "\n" not in str(error.value)


def test_missing_is_said_before_anything_runs(unets):
    check = LoadRefocusModel.validate_inputs
    assert check(engine="learn2refocus", refocus_unet="unet.safetensors") is True
    assert check(engine="learn2refocus", refocus_unet=None) is True  # over a link: not known yet
    assert "no such file" in check(engine="learn2refocus", refocus_unet="gone.safetensors")
    assert "none is chosen in refocus_unet" in check(engine="learn2refocus")


def test_wrong_input_is_one_sentence(model):
    for image, said in (({"samples": 0}, "latent"), (PHOTO[:0], "empty batch")):
        with pytest.raises(RefocusError, match=said):
            stacks(model, image)
