"""The reference of learn2refocus on networks so simple that what they are given can be read from what they give."""

import math
from types import SimpleNamespace

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.learn2refocus import Reference, clip_pixels, generate, photo_to_stack, place
from rackfocus.pipelines.learn2refocus.reference import decode, decode_signed, encode, guided_velocity, velocity


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


class Unet:
    """v = (x + 2 condition + 3 embed) / 50, and a note of what came."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self):
        self.calls = []

    def __call__(self, both, timestep, encoder_hidden_states, added_time_ids):
        self.calls.append((float(timestep), added_time_ids))
        x, condition = both.chunk(2, dim=2)
        embed = encoder_hidden_states.mean((1, 2)).view(-1, 1, 1, 1, 1)
        return SimpleNamespace(sample=(x + 2 * condition + 3 * embed) / 50)


class Vae:
    """Latents are every eighth pixel and a count of one; a decoded frame is grey, told by its latent's mean."""

    dtype, config = torch.float32, SimpleNamespace(scaling_factor=0.18215)

    def __init__(self):
        self.decoded = []

    def encode(self, x):
        assert x.shape[1] == 3
        latent = torch.cat([x[..., ::8, ::8], torch.ones_like(x[:, :1, ::8, ::8])], 1)
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: latent))

    def decode(self, z, num_frames):
        assert num_frames == len(z)
        self.decoded.append(len(z))
        h, w = z.shape[-2:]
        return SimpleNamespace(sample=z.mean(1, keepdim=True).expand(-1, 3, -1, -1).reshape(len(z), 3, h, w))


@pytest.fixture
def given():
    """x, condition, embed of two photos."""
    return random(2, 9, 4, 2, 3), place(random(2, 4, 2, 3, seed=1), 5), random(2, 1, 16, seed=2)


def test_one_pass_gives_the_unet_noise_then_conditioning_and_log_sigma(given):
    x, condition, embed = given
    unet = Unet()
    expected = (x + 2 * condition + 3 * embed.mean((1, 2)).view(2, 1, 1, 1, 1)) / 50
    assert torch.allclose(velocity(unet, x, condition, embed, 7.0), expected)
    ((timestep, ids),) = unet.calls
    assert timestep == pytest.approx(math.log(7) / 4) and ids.tolist() == [[6, 0, 0]] * 2


@pytest.mark.parametrize("guidance", [0.0, 1.0, 1.5])
def test_guidance_leads_away_from_what_has_neither_embedding_nor_conditioning(given, guidance):
    x, condition, embed = given
    extra = 2 * condition + 3 * embed.mean((1, 2)).view(2, 1, 1, 1, 1)
    unet = Unet()
    assert torch.allclose(
        guided_velocity(unet, x, condition, embed, 2.0, guidance) * 50, x + guidance * extra, atol=1e-5
    )
    assert len(unet.calls) == (1 if guidance == 1 else 2)  # without guidance half the time


def test_generate_conditions_the_frame_at_the_photos_position():
    """One step from 700 with v = 2 condition: x0 = noise / 700 - 2 condition, nearly."""
    noise, latent = random(2, 9, 4, 2, 3), random(2, 4, 2, 3, seed=1) + 1
    unet = lambda both, *_, **__: SimpleNamespace(sample=2 * both.chunk(2, dim=2)[1])  # noqa: E731
    unet.dtype = torch.float32
    for position in (0, 3, 8):
        made = generate(unet, noise, latent, torch.zeros(2, 1, 16), position, steps=1, guidance=1.0)
        assert torch.allclose(made, noise / math.sqrt(700**2 + 1) - 2 * place(latent, position), atol=1e-3)


def test_generate_uses_guidance_steps_and_reports(given):
    x, _, embed = given
    unet, seen = Unet(), []
    generate(unet, x, x[:, 0], embed, 4, steps=3, progress=lambda *at: seen.append(at))
    assert len(unet.calls) == 6 and seen == [(1, 3), (2, 3), (3, 3)]
    assert [t for t, _ in unet.calls[::2]] == pytest.approx([math.log(700) / 4, unet.calls[2][0], math.log(0.002) / 4])
    with pytest.raises(RefocusError, match=r"noise is 2 x 8 x 4 x 2 x 3 .* latents 2 x 4 x 2 x 3"):
        generate(unet, x[:, :8], x[:, 0], embed, 4)


def test_the_vae_is_given_minus_one_to_one():
    image = random(1, 16, 24, 3)
    latent = encode(Vae(), image)
    assert latent.shape == (1, 4, 2, 3)
    assert torch.allclose(latent[0, :3].movedim(0, -1), image[0, ::8, ::8] * 2 - 1)


def test_decoding_undoes_the_scale_and_goes_from_minus_one_to_one_to_zero_to_one():
    grey = torch.linspace(-1.5, 1.5, 9)
    scaled = grey.view(9, 1, 1, 1).expand(9, 4, 2, 3) * 0.18215
    signed, made = decode_signed(Vae(), scaled), decode(Vae(), scaled)
    assert signed.shape == (9, 3, 2, 3) and made.shape == (9, 2, 3, 3)
    assert torch.allclose(signed[:, 0, 0, 0], grey, atol=1e-6)
    assert torch.allclose(made[:, 0, 0, 0], ((grey + 1) / 2).clamp(0, 1), atol=1e-6)


def test_decoding_in_chunks_keeps_the_order_and_reports_frames():
    latents, vae, seen = random(9, 4, 2, 3), Vae(), []
    made = decode(vae, latents, 4, lambda *at: seen.append(at))
    assert vae.decoded == [4, 4, 1] and seen == [(4, 9), (8, 9), (9, 9)]
    whole = Vae()
    assert torch.equal(made, decode(whole, latents)) and whole.decoded == [9]
    with pytest.raises(RefocusError, match="0 frames"):
        decode(vae, latents, 0)


@pytest.fixture
def models():
    shown = []

    def tower(pixels):
        shown.append(pixels)
        return SimpleNamespace(image_embeds=pixels.mean((2, 3)))

    tower.dtype, tower.shown = torch.float32, shown
    return Reference(Unet(), Vae(), tower)


def test_a_photo_becomes_nine_frames_at_the_models_size(models):
    image, seen = random(1, 70, 133, 3), []
    stack = photo_to_stack(models, image, 4, steps=2, progress=lambda *at: seen.append(at))
    assert stack.shape == (9, 8, 16, 3) and seen == [(1, 11), (2, 11), (11, 11)]  # the tiny VAE gives a pixel a latent
    assert torch.equal(photo_to_stack(models, image, 4, steps=2), stack)
    for change in ({"seed": 1}, {"steps": 3}, {"guidance": 1.0}, {"corrected_clip": True}):
        assert float((photo_to_stack(models, image, 4, **{"steps": 2, **change}) - stack).abs().max()) > 1e-4, change
    assert photo_to_stack(models, image, 4, steps=1, megapixels=0.005).shape == (9, 8, 8, 3)
    photo_to_stack(models, image, 4, steps=1, chunk=2)
    assert models.vae.decoded[-5:] == [2, 2, 2, 2, 1]


def test_clip_sees_the_photo_as_released_unless_corrected(models):
    image = random(1, 64, 128, 3)
    for corrected in (False, True):
        photo_to_stack(models, image, 0, steps=1, corrected_clip=corrected)
        assert torch.equal(models.image_encoder.shown[-1], clip_pixels(image, corrected=corrected))


def test_one_photo_at_a_time(models):
    with pytest.raises(RefocusError, match="2 images were given"):
        photo_to_stack(models, random(2, 64, 64, 3), 0)
