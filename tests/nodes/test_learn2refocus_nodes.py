"""The nodes of the learn2refocus engine, on the golden data's tiny SVD in the host's own classes.

One photo goes through the host's sampler and the VAE; elsewhere stand-ins note what they are given and answer at once.
tests/parity holds sampler and VAE to the published inference.
"""

from types import SimpleNamespace

import pytest
import torch

from rackfocus.dev.host.library import use_comfy

use_comfy()
import comfy.model_management as mm  # noqa: E402
import comfy.sample  # noqa: E402
import comfy.utils  # noqa: E402
import latent_preview  # noqa: E402

from rackfocus.nodes.learn2refocus.nodes import RefocusPositionSweep  # noqa: E402
from rackfocus.nodes.stack import FocalStackGenerate  # noqa: E402
from rackfocus.pipelines.image.checks import RefocusError  # noqa: E402
from rackfocus.pipelines.learn2refocus import clip_pixels, resize  # noqa: E402
from rackfocus.pipelines.learn2refocus.finish import finish  # noqa: E402
from rackfocus.pipelines.learn2refocus.sampling import sigmas  # noqa: E402
from rackfocus.tests.pictures import random  # noqa: E402

WIDGETS = {"frames": 9, "strength": 30.0, "depth_kind": "auto", "quality": "fast", "highlights": 8.0}
FAST = {"steps": 1, "guidance": 1.0, "seed": 5, "input_position": "4", "max_megapixels": 0.01}
SIZE = (101, 133)


@pytest.fixture
def photo():
    return random(1, *SIZE, 3)


@pytest.fixture
def sampled(monkeypatch, model):
    """A note for each stack of what the host's sampler is given. The answer is a mixture of all that; the VAE only
    enlarges it, and tells frames that are decoded together by their brightness."""
    notes = []

    def sample_custom(model, noise, cfg, sampler, sigmas, positive, negative, latent_image, *, callback, seed, **_):
        (embed, options), (no_embed, no_options) = positive[0], negative[0]
        frames = options["concat_latent_image"]
        for step in range(len(sigmas) - 1):
            callback(step, noise, noise, len(sigmas) - 1)
        answer = 0.1 * noise + frames + embed.mean() + 0.1 * cfg + 0.1 * len(sigmas) + latent_image
        notes.append(SimpleNamespace(**locals()))
        return answer

    def decode(z):
        return (0.4 + 0.1 * z[:, :4] + 0.01 * len(z)).movedim(1, -1).repeat_interleave(2, 1).repeat_interleave(2, 2)

    monkeypatch.setattr(comfy.sample, "sample_custom", sample_custom)
    monkeypatch.setattr(model.models.vae, "decode", decode)
    return notes


def stacks(model, image, **inputs):
    return FocalStackGenerate.execute(image, **{**WIDGETS, **FAST, **inputs}, model=model).args


def difference(a, b) -> float:
    return float("inf") if a.shape != b.shape else float((a - b).abs().max())


# FocalStackGenerate


def test_one_photo_becomes_nine_frames_of_its_size_and_the_models_stay_as_they_are(model, photo):
    """Through the host's own sampler."""
    unet, before = model.models.model, photo.clone()
    weights, options = {k: v.clone() for k, v in unet.model.state_dict().items()}, str(unet.model_options)
    (stack,), positions, info = stacks(model, photo, keep_input=True, guidance=1.5)
    assert stack.shape == (9, *SIZE, 3) and positions == [i / 8 for i in range(9)]
    assert info == "input position 4 (focused at about 10 cm)"
    assert min(difference(a, b) for a, b in zip(stack[1:], stack, strict=False)) > 1e-3
    assert torch.equal(photo, before)
    assert all(torch.equal(v, weights[k]) for k, v in unet.model.state_dict().items())
    assert str(unet.model_options) == options and not unet.patches


def test_what_the_sampler_is_given(model, photo, sampled):
    """The photo's latents at its position, CLIP's embedding, SVD's options; a negative without either; pure noise."""
    stacks(model, photo, input_position="6", steps=3, guidance=1.25)
    (given,) = sampled
    small = resize(photo, 64, 64)
    latent = model.models.vae.encode(small)
    assert torch.equal(given.frames[6], latent[0]) and not given.frames[[0, 1, 2, 3, 4, 5, 7, 8]].any()
    vector = model.models.clip_vision.model(pixel_values=clip_pixels(small))[2]
    assert given.embed.shape == (1, 1, 16) and torch.allclose(given.embed[0], vector.float(), atol=1e-6)
    options = {k: v for k, v in given.options.items() if k != "concat_latent_image"}
    assert options == {"fps": 7, "motion_bucket_id": 0, "augmentation_level": 0.0}
    assert {k: v for k, v in given.no_options.items() if k != "concat_latent_image"} == options
    assert not given.no_embed.any() and not given.no_options["concat_latent_image"].any()
    assert given.noise.shape == given.frames.shape == given.latent_image.shape and not given.latent_image.any()
    assert torch.equal(given.noise, comfy.sample.prepare_noise(given.frames, 5)) and given.seed == 5
    assert torch.equal(given.sigmas, sigmas(3)) and given.cfg == 1.25


def test_each_photo_of_a_batch_has_its_own_latents_embedding_and_noise(model, photo, sampled):
    both = torch.cat([photo, photo.flip(2) * 0.5])
    made, _, info = stacks(model, both, keep_input=True)
    assert [s.shape for s in made] == [(9, *SIZE, 3)] * 2 and len(info.splitlines()) == 2
    assert all(torch.equal(stack[4], one) for stack, one in zip(made, both, strict=True))
    for i in range(2):
        stacks(model, both[i : i + 1])
        together, alone = sampled[i], sampled[2 + i]
        assert torch.equal(together.frames, alone.frames) and torch.equal(together.embed, alone.embed)
        assert torch.equal(together.noise, alone.noise) == (i == 0)  # as KSampler counts through a batch
    assert difference(sampled[0].frames, sampled[1].frames) > 0.01
    assert difference(sampled[0].embed, sampled[1].embed) > 1e-4
    assert difference(sampled[0].noise, sampled[1].noise) > 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("input_position", "5"),
        ("steps", 2),
        ("guidance", 1.5),
        ("seed", 6),
        ("max_megapixels", 0.02),
        ("frame_size", "model"),
        ("decode_chunk", 4),
        ("keep_input", True),
        ("detail", 0.5),
        ("clip_range", "as trained"),
    ],
)
def test_every_widget_has_an_effect(model, photo, sampled, name, value):
    """The photo has much detail that the frames lack, so that detail shows."""
    ((before,), *_), ((after,), *_) = stacks(model, photo), stacks(model, photo, **{name: value})
    assert difference(before, after) > 1e-4
    told = {"steps": lambda n: torch.equal(n.sigmas, sigmas(2)), "guidance": lambda n: n.cfg == 1.5}
    told |= {"seed": lambda n: n.seed == 6, "max_megapixels": lambda n: n.noise.shape == (9, 4, 32, 64)}
    assert told.get(name, lambda n: True)(sampled[1])


def test_clip_sees_the_photo_as_released_or_as_trained(model, photo, sampled):
    for clip_range, corrected in (("as released", False), ("as trained", True)):
        stacks(model, photo, clip_range=clip_range)
        pixels = clip_pixels(resize(photo, 64, 64), corrected=corrected)
        assert torch.allclose(sampled[-1].embed[0], model.models.clip_vision.model(pixel_values=pixels)[2].float())


def test_the_published_values_are_the_defaults():
    inputs = {i.id: getattr(i, "default", None) for i in FocalStackGenerate.define_schema().inputs}
    assert (inputs["steps"], inputs["guidance"], inputs["max_megapixels"]) == (25, 1.5, 0.5)
    assert inputs["clip_range"] == "as released" and inputs["keep_input"] is False
    assert inputs["detail"] == 0 and inputs["decode_chunk"] == 9


def test_what_the_optical_engine_reads_is_left_aside(model, photo, sampled):
    optical = {"frames": 3, "strength": 90.0, "quality": "best", "highlights": 1.0}
    masks = {"aperture": torch.ones(1, 8, 8), "depth": torch.ones(1, 8, 8)}
    assert torch.equal(stacks(model, photo, **optical, **masks)[0][0], stacks(model, photo)[0][0])


def test_frames_of_either_size_are_finished_as_asked(model, photo, sampled):
    ((small,), *_), ((large,), *_) = stacks(model, photo, frame_size="model"), stacks(model, photo)
    assert small.shape == (9, 64, 64, 3) and difference(resize(small, *SIZE), large) == 0
    assert torch.equal(small, model.models.vae.decode(sampled[0].answer)[..., :3])
    ((kept,), *_) = stacks(model, photo, keep_input=True, detail=0.5)
    assert torch.equal(kept[4], photo[0])
    assert torch.equal(kept, finish(small, photo, 4, keep_input=True, detail=0.5))


def test_decoding_goes_in_chunks_of_as_many_frames_as_asked(model, photo, sampled, monkeypatch):
    decoded, decode = [], model.models.vae.decode
    monkeypatch.setattr(model.models.vae, "decode", lambda z: decoded.append(len(z)) or decode(z))
    for chunk in (9, 4):
        stacks(model, photo, decode_chunk=chunk)
    assert decoded == [9, 4, 4, 1]


# The automatic position


def texture():
    """Detail of two sizes: how much of the fine one is left tells where it is sharp."""
    coarse = resize(random(1, SIZE[0] // 3, SIZE[1] // 3, 3, seed=1), *SIZE)
    return coarse, random(1, *SIZE, 3)


def focused(focus: float):
    """A photo whose fine detail fades with the distance to `focus` dioptres, and its depth in metres, 5 cm at right."""
    dioptres = torch.linspace(0, 20, SIZE[1]).expand(1, *SIZE)
    coarse, fine = texture()
    share = 1 / (1 + ((dioptres - focus) / 3) ** 2)[..., None]
    return (coarse + share * (fine - 0.5)).clamp(0, 1), torch.where(dioptres > 0, 1 / dioptres, 1e9)


@pytest.mark.parametrize(("focus", "position"), [(2.5, 7), (17.5, 1)])
def test_the_position_is_found_from_depth_in_metres(model, sampled, focus, position):
    photo, metres = focused(focus)
    for depth, kind in ((metres, "metres"), (1 / metres, "inverse_metres")):
        info = stacks(model, photo, input_position="automatic", depth=depth, depth_kind=kind)[2]
        found = int(info.split()[2])
        assert abs(found - position) <= 1 and sampled[-1].frames[found].any()


def test_each_photo_of_a_batch_has_its_own_position(model, sampled):
    (near, depth), (far, _) = focused(17.5), focused(2.5)
    both, given = torch.cat([near, far]), {"input_position": "automatic", "depth": depth, "depth_kind": "metres"}
    made, _, info = stacks(model, both, keep_input=True, **given)
    positions = [int(line.split()[2]) for line in info.splitlines()]
    assert positions[0] < 3 and positions[1] > 5
    assert [int(n.frames.flatten(1).any(1).nonzero()) for n in sampled] == positions
    assert all(torch.equal(made[i][positions[i]], both[i]) for i in range(2))
    turned = {**given, "depth": torch.cat([depth, depth.flip(2)])}  # each photo has a depth map of its own
    info = stacks(model, torch.cat([near, near.flip(2)]), **turned)[2]
    assert [int(line.split()[2]) < 3 for line in info.splitlines()] == [True, True]
    infinity = stacks(model, near, input_position="8")[2]
    assert infinity == "input position 8 (focused at infinity)"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "no depth map is connected"),
        ({"depth": (1, 0)}, "is disparity without a scale"),
        ({"depth": (1, 0), "depth_kind": "inverted"}, "is inverted without a scale"),
        ({"depth": (3, 1), "depth_kind": "metres"}, "depth has 3 frames and image has 1"),
    ],
)
def test_automatic_says_what_it_needs(model, photo, sampled, inputs, said):
    if "depth" in inputs:
        frames, low = inputs["depth"]
        inputs = {**inputs, "depth": random(frames, *SIZE, low=low, high=low + 1)}
    with pytest.raises(RefocusError, match=said) as error:
        stacks(model, photo, input_position="automatic", **inputs)
    assert "\n" not in str(error.value) and not sampled


# RefocusPositionSweep


def sweep(model, image, **inputs):
    settings = {"steps": 1, "guidance": 1.0, "seed": 5, "max_megapixels": 0.01, "frame_width": 40, **inputs}
    return RefocusPositionSweep.execute(model, image, **settings).args[0]


def test_the_sheet_shows_all_nine_starts(model, sampled):
    wide = random(1, 64, 128, 3, seed=1)
    (sheet,) = sweep(model, wide)
    h, w = 20, 40  # 64 x 128 at 40 pixels
    assert sheet.shape == (1, 9 * h, 9 * w, 3)
    cells = sheet[0].unflatten(0, (9, h)).unflatten(2, (9, w)).movedim(2, 1)  # [row, frame, y, x, 3]
    inside = (slice(None), slice(2, -2), slice(2, -2))
    for position in (0, 3, 8):
        (stack,) = stacks(model, wide, input_position=str(position))[0]
        assert difference(cells[position][inside], resize(stack, h, w)[inside]) < 1e-4
    white = (cells[:, :, 0] == 1).all(-1).all(-1)
    assert torch.equal(white, torch.eye(9, dtype=torch.bool))
    first = sampled[0].noise
    assert all(torch.equal(n.noise, first) for n in sampled[:9])  # the starts differ in nothing else


def test_the_sweeps_widgets_reach_the_sampler(model, sampled):
    class Enough(Exception):
        pass

    def enough(*_):
        raise Enough

    given, decode = {"steps": 2, "guidance": 1.5, "seed": 6, "max_megapixels": 0.01}, model.models.vae.decode
    model.models.vae.decode = enough
    try:
        with pytest.raises(Enough):
            sweep(model, random(1, 64, 128, 3, seed=1), **given)
    finally:
        model.models.vae.decode = decode
    (note,) = sampled
    assert torch.equal(note.sigmas, sigmas(2)) and (note.cfg, note.seed) == (1.5, 6)
    assert note.noise.shape == (9, 4, 32, 64) and torch.equal(note.noise, comfy.sample.prepare_noise(note.frames, 6))


def test_the_sweep_needs_this_engine(photo):
    from rackfocus.nodes.host import RefocusModel

    with pytest.raises(RefocusError, match="engine is optical, but learn2refocus is needed"):
        sweep(RefocusModel("optical", {}), photo)


# With the host


def test_previews_and_one_bar_for_all_photos(model, photo, sampled, monkeypatch):
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
    stacks(model, torch.cat([photo, photo]), decode_chunk=5, steps=2)
    steps = [("JPEG", (9, 4, 32, 32))] * 2
    assert seen == [(v, 22, p) for v, p in zip((1, 2, 7, 11, 12, 13, 18, 22), (*steps, None, None) * 2, strict=True)]


def test_cancel_while_decoding_and_the_next_run_is_as_before(model, photo, sampled, monkeypatch):
    before, decoded = stacks(model, photo)[0][0], []
    vae, decode = model.models.vae, model.models.vae.decode

    def watched(z):
        decoded.append(len(z))
        mm.interrupt_current_processing()
        return decode(z)

    with monkeypatch.context() as patch:
        patch.setattr(vae, "decode", watched)
        with pytest.raises(mm.InterruptProcessingException):
            stacks(model, photo, decode_chunk=2)
    assert decoded == [2]
    assert torch.equal(stacks(model, photo)[0][0], before)


@pytest.mark.parametrize(("block", "following"), [("input_blocks.1.0", "middle_block.0"), ("output_blocks.0.0", "out")])
def test_cancel_is_heard_between_the_blocks_of_a_step(model, photo, block, following):
    """In the host's own sampler: the step is not waited for, and the artist's model keeps no patch."""
    unet, heard = model.models.model, []

    def pressed(*_):
        heard.append(block)
        mm.interrupt_current_processing()

    net = unet.model.diffusion_model
    hook = net.get_submodule(block).register_forward_hook(pressed)
    later = net.get_submodule(following).register_forward_hook(lambda *_: heard.append(following))
    try:
        with pytest.raises(mm.InterruptProcessingException):
            stacks(model, photo)
    finally:
        hook.remove()
        later.remove()
    assert heard == [block]
    assert not any(unet.model_options["transformer_options"].get("patches", {}).values())


@pytest.mark.parametrize(
    ("clip", "said"),
    [
        ({"projection_dim": 24}, "embeddings of 24 values, but SVD's gives 16"),
        ({"image_size": 336}, "pictures of 336 pixels a side, but SVD's takes 224"),
    ],
)
def test_another_clip_vision_is_said(model, load, photo, sampled, clip, said):
    tower = SimpleNamespace(**{"image_size": 224, **{k: v for k, v in clip.items() if k == "image_size"}})
    tower.patcher, tower.load_device = model.models.clip_vision.patcher, torch.device("cpu")
    tower.model = lambda pixel_values: (None, None, torch.zeros(1, clip.get("projection_dim", 16)))
    with pytest.raises(RefocusError, match=said) as error:
        stacks(load(clip_vision=tower), photo)
    assert "\n" not in str(error.value)


def test_another_vae_is_said(model, photo, sampled, monkeypatch):
    monkeypatch.setattr(model.models.vae, "encode", lambda image: torch.zeros(1, 16, 8, 8))
    with pytest.raises(RefocusError, match="latents of 16 channels, but SVD's makes 4"):
        stacks(model, photo)


def test_wrong_input_is_one_sentence(model, photo):
    for image, said in (({"samples": 0}, "latent"), (photo[:0], "empty batch")):
        with pytest.raises(RefocusError, match=said):
            stacks(model, image)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_photos_of_another_type_are_those_of_float32(model, photo, sampled, kind):
    (made,), *_ = stacks(model, photo.to(kind), detail=0.5, keep_input=True)
    (usual,), *_ = stacks(model, photo.to(kind).float(), detail=0.5, keep_input=True)
    assert made.dtype == torch.float32 and torch.equal(made, usual)
