"""The reference of learn2refocus against the published inference and against diffusers' own parts."""

import math
import sys

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from diffusers.pipelines.stable_video_diffusion import pipeline_stable_video_diffusion as published

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.learn2refocus import (
    POSITIONS,
    clip_pixels,
    generate,
    load_reference,
    photo_to_stack,
    place,
    resize,
)
from rackfocus.pipelines.learn2refocus.inputs import clip_square
from rackfocus.pipelines.learn2refocus.reference import decode, decode_signed, encode, guided_velocity, velocity
from rackfocus.pipelines.learn2refocus.sampling import sigmas
from rackfocus.tests.parity.golden import TOLERANCE, error
from rackfocus.tests.parity.golden_svd import GIVEN, OURS


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Against the published inference


@pytest.mark.parametrize("name", GIVEN.cases)
def test_latents(name):
    case, t = GIVEN.cases[name], GIVEN.tensors
    out = generate(
        GIVEN.unet,
        t[f"{name}.noise"],
        GIVEN.latent(name),
        t[f"{name}.embed"],
        case["position"],
        steps=case["steps"],
        guidance=case["guidance"],
    )
    assert error(out, t[f"{name}.latents"]) < TOLERANCE


@pytest.mark.parametrize("name", GIVEN.cases)
def test_conditioning_and_frames(name):
    t = GIVEN.tensors
    latent = encode(GIVEN.vae, GIVEN.image(name))
    assert error(place(latent, GIVEN.cases[name]["position"]), t[f"{name}.cond"]) < TOLERANCE
    assert error(decode_signed(GIVEN.vae, t[f"{name}.latents"][0]), t[f"{name}.frames"]) < TOLERANCE


# Against diffusers


@pytest.mark.parametrize("steps", [1, 2, 4, 25])
def test_the_schedule_is_that_of_the_published_scheduler(steps):
    scheduler = EulerDiscreteScheduler.from_pretrained(OURS.folder)
    scheduler.set_timesteps(steps)
    assert torch.allclose(sigmas(steps), scheduler.sigmas, rtol=1e-5)
    assert math.isclose(scheduler.init_noise_sigma, math.hypot(700, 1), rel_tol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (320, 192), (576, 832), (224, 448)])
def test_clip_sees_what_diffusers_shows_it(size):
    x = random(1, 3, *size) * 2 - 1
    assert error(clip_square(x), published._resize_with_antialiasing(x, (224, 224))) < 1e-6


# What the method says


@pytest.fixture
def inputs():
    """(noise, latent, embed) of two photos."""
    return normal(2, POSITIONS, 4, 8, 12), normal(2, 4, 8, 12, seed=1), normal(2, 1, 16, seed=2)


def test_the_negative_branch_has_neither_embedding_nor_conditioning(inputs):
    noise, latent, embed = inputs
    frames = place(latent, 3)
    v = velocity(OURS.unet, noise, frames, embed, 2.0)
    empty = velocity(OURS.unet, noise, frames * 0, embed * 0, 2.0)
    half_empty = velocity(OURS.unet, noise, frames, embed * 0, 2.0)
    assert error(guided_velocity(OURS.unet, noise, frames, embed, 2.0, 1.5), empty + 1.5 * (v - empty)) < 1e-6
    assert error(half_empty, empty) > 100 * TOLERANCE


def test_a_batch_is_its_photos_one_by_one(inputs):
    noise, latent, embed = inputs
    both = generate(OURS.unet, noise, latent, embed, 8, steps=2)
    for i in range(2):
        one = generate(OURS.unet, noise[i : i + 1], latent[i : i + 1], embed[i : i + 1], 8, steps=2)
        assert error(both[i : i + 1], one) < TOLERANCE
    assert error(both[:1], both[1:]) > 0.1


@pytest.mark.parametrize("change", ["position", "steps", "guidance", "latent", "embed", "noise"])
def test_everything_matters(inputs, change):
    given = dict(zip(("noise", "latent", "embed"), inputs, strict=True), position=4, steps=2, guidance=1.5)
    other = {"position": 5, "steps": 3, "guidance": 1.0}
    changed = {**given, change: other.get(change) or given[change] * 0.9}
    assert error(generate(OURS.unet, **changed), generate(OURS.unet, **given)) > 10 * TOLERANCE


def test_decoding_in_chunks(inputs):
    """One chunk is the published way; smaller ones decode the same frames, cut apart in time, in order."""
    latents, seen = inputs[0][0], []
    whole = decode(OURS.vae, latents)
    assert whole.shape == (9, 16, 24, 3) and 0 <= float(whole.min()) and float(whole.max()) <= 1
    parts = decode(OURS.vae, latents, 4, lambda *at: seen.append(at))
    assert seen == [(4, 9), (8, 9), (9, 9)]
    for part in (slice(0, 4), slice(4, 8), slice(8, 9)):
        assert torch.equal(parts[part], decode(OURS.vae, latents[part]))


def test_cancel_by_progress(inputs):
    class Stop(Exception):
        pass

    def progress(done, total):
        if done == 2:
            raise Stop

    with pytest.raises(Stop):
        generate(OURS.unet, *inputs, 0, steps=5, progress=progress)


# From pictures to pictures


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The tiny models as folders on disk: (the fine-tuned UNet's, SVD's)."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    folder = tmp_path_factory.mktemp("svd")
    torch.manual_seed(0)
    CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            patch_size=32,
            projection_dim=16,
        )
    ).save_pretrained(folder / "image_encoder")
    OURS.vae.save_pretrained(folder / "vae")
    OURS.unet.save_pretrained(folder / "unet")
    return folder / "unet", folder


def test_a_photo_becomes_nine_frames(folders):
    """From folders on disk, as its parts one by one: what the knobs do is tested on simpler networks."""
    models, image = load_reference(*folders), random(1, 70, 99, 3)
    seen = []
    stack = photo_to_stack(models, image, 4, steps=1, guidance=1.0, chunk=5, progress=lambda *at: seen.append(at))
    assert stack.shape == (9, 64, 64, 3) and seen == [(1, 10), (6, 10), (10, 10)]
    small = resize(image, 64, 64)
    latent, embed = encode(models.vae, small), models.image_encoder(clip_pixels(small)).image_embeds[:, None]
    noise = torch.randn(1, 9, *latent.shape[1:], generator=torch.Generator().manual_seed(0))
    latents = generate(models.unet, noise, latent, embed, 4, steps=1, guidance=1.0)
    assert error(stack, decode(models.vae, latents[0], 5)) < 1e-5


def test_the_dtype_is_a_choice(folders):
    models = load_reference(*folders, dtype=torch.bfloat16)
    assert {models.unet.dtype, models.vae.dtype, models.image_encoder.dtype} == {torch.bfloat16}
    exact, image = load_reference(*folders), random(1, 64, 64, 3)
    half, full = (photo_to_stack(m, image, 0, steps=1, guidance=1.0) for m in (models, exact))
    assert half.dtype == full.dtype == torch.float32 and 0 < error(half, full) < 0.1


def test_without_diffusers_it_says_so(monkeypatch, folders):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(RefocusError, match="pip install diffusers"):
        load_reference(*folders)
