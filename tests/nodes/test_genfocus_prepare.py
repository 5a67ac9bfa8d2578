"""What a Genfocus run is made of: what reaches the VAE, in which order, on which schedule."""

from types import SimpleNamespace

import pytest
import torch

from rackfocus.dev.host.library import use_comfy

use_comfy()
import comfy.samplers  # noqa: E402

from rackfocus.dev.tiny.genfocus import TinyClip, tiny_flux, tiny_lora, tiny_transformer  # noqa: E402
from rackfocus.nodes.flux.lora import lora_patcher  # noqa: E402
from rackfocus.nodes.genfocus.prepare import prepare_bokeh, prepare_deblur  # noqa: E402
from rackfocus.pipelines.flux.sampling import sigmas  # noqa: E402
from rackfocus.pipelines.genfocus import BOKEH, DEBLUR, DEBLUR_PRE, architecture_of, read_lora, with_aperture  # noqa: E402
from rackfocus.pipelines.image.checks import RefocusError  # noqa: E402
from rackfocus.pipelines.optics import DefocusMap  # noqa: E402

SETTINGS = {"prompt": "fog", "guidance": 2.5, "tiling": "off"}


class Vae:
    """Its latents are the pictures' own pixels, every eighth: what it was given can be read off them."""

    first_stage_model = torch.nn.Identity()

    def __init__(self):
        self.given = []

    def encode(self, pixels):
        self.given.append(pixels)
        return pixels[:, ::8, ::8, :1].permute(0, 3, 1, 2).expand(-1, 16, -1, -1)


@pytest.fixture(scope="module")
def tiny():
    """(MODEL, two LoRAs)."""
    flux = tiny_transformer()
    sizes = architecture_of(flux)
    return tiny_flux(flux), [lora_patcher(read_lora(tiny_lora(flux, seed), sizes), sizes) for seed in (1, 2)]


@pytest.fixture
def models(tiny):
    flux, (first, second) = tiny
    return SimpleNamespace(
        model=flux,
        clip=TinyClip(),
        vae=Vae(),
        deblurring=lambda pre: (DEBLUR_PRE if pre else DEBLUR, [first]),
        blurring=lambda aperture: (with_aperture(BOKEH), [first, first, second]) if aperture else (BOKEH, [first]),
    )


def random(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def hook_of(prepared):
    ((hook,),) = [list(found) for kind in prepared.model.wrappers.values() for found in kind.values()]
    return hook


def test_deblur_sees_the_photo(models):
    image = random(2, 40, 52, 3)
    prepared = prepare_deblur(models, image, None, **SETTINGS)
    (given,) = models.vae.given
    assert given.shape == (2, 48, 64, 3) and torch.equal(given[:, :40, :52], image)  # padded, not mapped
    assert torch.equal(given[:, 40:, :52], image[:, 39:].expand(-1, 8, -1, -1))
    assert torch.equal(given[:, :40, 52:], image[:, :, 51:].expand(-1, -1, 12, -1))
    assert prepared.latent.shape == (2, 16, 6, 8) and not prepared.latent.any()
    assert len(prepared.conditions) == 1 and prepared.black == []
    assert hook_of(prepared).offsets == ((0, 0),) and hook_of(prepared).tiling == "off"


def test_what_is_sharpened_already_comes_first_and_stands_aside(models):
    image, pre = random(2, 32, 48, 3), random(1, 32, 48, 3, seed=1)
    prepared = prepare_deblur(models, image, pre, **SETTINGS)
    assert torch.equal(models.vae.given[0], pre.expand(2, -1, -1, -1)) and torch.equal(models.vae.given[1], image)
    assert hook_of(prepared).offsets == ((0, 32), (0, 0)) and hook_of(prepared).lora == (0, 0)
    with pytest.raises(RefocusError, match=r"pre_deblurred is 32 x 40 and the image 32 x 48"):
        prepare_deblur(models, image, pre[:, :, :40], **SETTINGS)
    with pytest.raises(RefocusError, match=r"pre_deblurred is 16 x 48 and the image 32 x 48"):
        prepare_deblur(models, image, pre[:, :16], **SETTINGS)
    with pytest.raises(RefocusError, match="pre_deblurred has 3 frames and image has 2"):
        prepare_deblur(models, image, random(3, 32, 48, 3), **SETTINGS)


def test_a_missing_pre_deblurred_picture_is_black(models):
    lora = models.deblurring(True)[1]
    models.deblurring = lambda pre: (DEBLUR_PRE, lora)
    image = random(1, 32, 48, 3)
    prepare_deblur(models, image, None, **SETTINGS)
    assert torch.equal(models.vae.given[0], torch.zeros(1, 32, 48, 3)) and torch.equal(models.vae.given[1], image)


def test_the_defocus_map_reaches_the_vae_unmapped(models):
    """The host's VAE takes 0..1 to -1..1: a map m goes in as (m + 1) / 2, the photo as it is."""
    image = random(2, 32, 48, 3)
    radius = torch.linspace(-20, 150, 48).expand(1, 32, 48)
    prepared = prepare_bokeh(models, image, DefocusMap(radius), None, **SETTINGS)
    photo, blur = models.vae.given
    assert torch.equal(photo, image)
    expected = ((radius.abs() / 100).clamp(max=1) + 1) / 2
    assert blur.shape == (2, 32, 48, 3)
    assert torch.allclose(blur, expected[..., None].expand(2, -1, -1, 3), atol=1e-6)
    assert hook_of(prepared).offsets == ((0, 0), (0, 0))


def test_a_map_of_another_size_is_the_same_blur(models):
    """A radius is in pixels of its own picture: at twice the width it is twice as many."""
    defocus = DefocusMap(torch.full((1, 16, 24), 10.0))
    prepare_bokeh(models, random(1, 32, 48, 3), defocus, None, **SETTINGS)
    assert torch.allclose(models.vae.given[1], torch.full((1, 32, 48, 3), (20 / 100 + 1) / 2))


def test_the_aperture_is_the_third_with_its_own_lora(models):
    image, shape = random(2, 32, 48, 3), torch.zeros(1, 16, 16)
    shape[:, :8] = 1  # the upper half is open
    prepared = prepare_bokeh(models, image, DefocusMap(torch.zeros(2, 32, 48)), shape, **SETTINGS)
    opening = models.vae.given[2]
    assert opening.shape == (2, 32, 48, 3) and opening[:, :16].eq(1).all() and opening[:, 16:].eq(0).all()
    assert hook_of(prepared).lora == (0, 0, 1) and len(hook_of(prepared).weights) == 2
    assert len(prepared.conditions) == 3


def test_black_images_are_black_in_the_vaes_own_range(models):
    image = random(2, 32, 48, 3)
    prepared = prepare_bokeh(models, image, DefocusMap(torch.ones(1, 32, 48)), None, black=True, **SETTINGS)
    photo, blur = models.vae.given[2:]
    assert photo.shape == (1, 32, 48, 3) and photo.eq(0).all()  # one serves all frames
    assert blur.eq(0.5).all()
    assert [d.shape for d in prepared.black] == [(2, 16, 4, 6)] * 2
    assert prepared.black[0].eq(0).all() and prepared.black[1].eq(0.5).all()
    negative, positive = prepared.negative()[0][1], prepared.positive()[0][1]
    assert (negative["reference_latents_method"], positive["reference_latents_method"]) == (
        "rackfocus_black",
        "rackfocus",
    )
    assert negative["reference_latents"][0].eq(0).all() and not positive["reference_latents"][0].eq(0).all()


def test_each_frame_has_its_own_conditions(models):
    image = random(3, 32, 48, 3)
    defocus = DefocusMap(torch.tensor([0.0, 20.0, 60.0])[:, None, None].expand(3, 32, 48))
    prepared = prepare_bokeh(models, image, defocus, None, black=True, **SETTINGS)
    for i in range(3):
        photo, blur = prepared.positive(slice(i, i + 1))[0][1]["reference_latents"]
        assert torch.equal(photo[:, 0], image[i : i + 1, ::8, ::8, 0])
        assert blur.shape[0] == 1 and torch.allclose(blur, torch.tensor(((0.0, 0.2, 0.6)[i] + 1) / 2))
        assert len(prepared.negative(slice(i, i + 1))[0][1]["reference_latents"][0]) == 1
    assert all(len(latent) == 3 for latent in prepared.positive()[0][1]["reference_latents"])


@pytest.mark.parametrize(("size", "tokens"), [((32, 48), 6), ((250, 333), 16 * 21), ((1000, 700), 63 * 44)])
def test_the_schedule_is_the_whole_pictures(models, size, tokens):
    model = prepare_deblur(models, torch.zeros(1, *size, 3), None, **SETTINGS).model
    for steps in (20, 28, 30):
        made = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", steps)
        assert torch.allclose(made, sigmas(steps, tokens), atol=1e-6)


def test_the_text_is_the_prompt_at_512_tokens(models):
    text, options = prepare_deblur(models, random(1, 32, 48, 3), None, **SETTINGS).text[0]
    expected, found = TinyClip({"t5xxl_min_length": 512}).encode_from_tokens_scheduled(("fog", 512))[0]
    assert torch.equal(text, expected) and options["guidance"] == 2.5
    assert torch.equal(options["pooled_output"], found["pooled_output"])
    assert models.clip.options == {}  # the artist's own is not changed


def test_a_map_that_is_none_is_said(models):
    with pytest.raises(RefocusError, match="defocus is a Tensor, but a DefocusMap is needed"):
        prepare_bokeh(models, random(1, 32, 48, 3), torch.zeros(1, 32, 48), None, **SETTINGS)
    with pytest.raises(RefocusError, match="the defocus map has 2 frames and image has 3"):
        prepare_bokeh(models, random(3, 32, 48, 3), DefocusMap(torch.zeros(2, 32, 48)), None, **SETTINGS)
    with pytest.raises(RefocusError, match="the aperture has 2 frames and image has 3"):
        defocus = DefocusMap(torch.zeros(1, 32, 48))
        prepare_bokeh(models, random(3, 32, 48, 3), defocus, torch.ones(2, 8, 8), **SETTINGS)
