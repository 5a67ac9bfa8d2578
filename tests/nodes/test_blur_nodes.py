"""BokehSynthesize and DeblurAiF against the functions they call, at two widths; the nodes' doors."""

import pytest
import torch

from rackfocus.dev.host.library import use_comfy

use_comfy()
import comfy.model_management as mm  # noqa: E402

from rackfocus.nodes import host, optical  # noqa: E402
from rackfocus.nodes.blur import BokehSynthesize, DeblurAiF  # noqa: E402
from rackfocus.nodes.engines import need  # noqa: E402
from rackfocus.nodes.host import RefocusModel  # noqa: E402
from rackfocus.pipelines.image import RefocusError  # noqa: E402
from rackfocus.pipelines.optical import deblur, estimate_coarse, estimate_defocus, render_bokeh  # noqa: E402
from rackfocus.pipelines.optics import DefocusMap, aperture_mask  # noqa: E402


def photo(width, height=38, batch=1, seed=0):
    """Texture on two scales with a few clipped pixels."""
    g = torch.Generator().manual_seed(seed)
    image = torch.rand(batch, height, width, 3, generator=g) * 0.6
    image[:, height // 3, width // 4] = 1
    return image


def slope(width, height=38, most=6.0):
    """Blur radius from -most at the left to most at the right, more at the bottom."""
    x = torch.linspace(-most, most, width)[None].repeat(height, 1)
    return DefocusMap((x + torch.linspace(0, 1, height)[:, None])[None])


@pytest.mark.parametrize("width", [45, 90])
def test_bokeh_is_the_lens_blur_with_chromatic_scaled_to_the_width(width):
    image, defocus, heart = photo(width), slope(width), aperture_mask(shape="heart")
    plate = photo(width, seed=1)
    given = {"quality": "fast", "highlights": 6.0, "cats_eye": 0.5, "spherical": 0.4}
    out = BokehSynthesize.execute(image, defocus, aperture=heart, background=plate, chromatic=30.0, **given).args[0]
    pixels = 30.0 * width / 1000
    assert torch.equal(out, render_bokeh(image, defocus, aperture=heart, background=plate, chromatic=pixels, **given))


def test_without_widgets_it_takes_the_renderers_own_defaults():
    image, defocus = photo(41), slope(41, most=3.0)
    assert torch.equal(BokehSynthesize.execute(image, defocus).args[0], render_bokeh(image, defocus))


def test_alpha_is_dropped_and_one_picture_becomes_a_frame_for_each_map():
    image = photo(45)
    rgba = torch.cat([image, torch.zeros(1, 38, 45, 1)], -1)
    maps = DefocusMap(torch.cat([slope(45).radius, -slope(45).radius]))
    out = BokehSynthesize.execute(rgba, maps, quality="fast").args[0]
    assert out.shape == (2, 38, 45, 3)
    for i in range(2):
        one = BokehSynthesize.execute(image, DefocusMap(maps.radius[i : i + 1]), quality="fast").args[0]
        assert torch.equal(out[i : i + 1], one)


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_deblur_is_the_deconvolution_with_the_map_that_was_given(strength):
    image, defocus, mask = photo(64, 48), slope(64, 48, 2.0), aperture_mask(blades=5)
    sharp, blur = DeblurAiF.execute(image, strength, defocus=defocus, aperture=mask).args
    assert torch.equal(sharp, deblur(image, defocus, aperture=mask, strength=strength))
    assert torch.equal(blur.radius, defocus.radius)


def test_deblur_estimates_what_is_not_given():
    image = render_bokeh(photo(96, 64), DefocusMap(torch.full((1, 64, 96), 2.5)))
    sharp, blur = DeblurAiF.execute(image, 1.0).args
    found = estimate_defocus(image)
    assert torch.equal(blur.radius, found.radius) and torch.equal(sharp, deblur(image, found))


def test_an_engine_that_needs_no_map_gets_none_and_a_coarse_one_goes_out():
    seen = {}

    def sharpen(image, **given):
        seen.update(given)
        return image / 2, None

    image = photo(96, 64)
    model = RefocusModel("genfocus", {"deblur": sharpen})
    sharp, blur = DeblurAiF.execute(image, 0.5, model=model, steps=3, seed=9).args
    assert torch.equal(sharp, image / 2) and torch.equal(blur.radius, estimate_coarse(image).radius)
    assert seen == {"strength": 0.5, "defocus": None, "aperture": None, "steps": 3, "seed": 9}
    given = slope(96, 64)
    DeblurAiF.execute(image, 0.5, model=model, defocus=given)
    assert seen["defocus"] is given


def test_options_of_other_engines_are_left_aside():
    seen = {}
    model = RefocusModel("optical", {"bokeh": lambda *args, **given: seen.update(given)})
    need(model, "bokeh")(1, 2, aperture=None, quality="best", steps=28, seed=1, prompt="x", tiling="on", chromatic=1.0)
    assert seen == {"aperture": None, "quality": "best", "chromatic": 1.0}


def test_progress_counts_every_frame_and_hears_cancel(monkeypatch):
    told = []

    class Bar:
        def __init__(self, total):
            self.total = total

        def update_absolute(self, done, total):
            told.append((done, total, self.total))

    monkeypatch.setattr(host.comfy.utils, "ProgressBar", Bar)
    optical.load().tasks["stack"](
        photo(33, 22, batch=2),
        depth=torch.rand(1, 22, 33, generator=torch.Generator().manual_seed(1)),
        depth_kind="disparity",
        frames=3,
        strength=60.0,
        aperture=None,
        quality="fast",
    )
    done = [d for d, _, _ in told]
    assert done == sorted(done) and done[-1] == told[-1][1] == told[-1][2]
    assert {(total, bar) for _, total, bar in told} == {(told[0][1],) * 2}
    monkeypatch.setattr(mm, "throw_exception_if_processing_interrupted", lambda: (_ for _ in ()).throw(KeyError))
    with pytest.raises(KeyError):
        BokehSynthesize.execute(photo(45), slope(45), quality="fast")


def test_what_moves_between_devices():
    defocus = slope(10, 8)
    assert torch.equal(host.to_device(defocus).radius, defocus.radius) and host.to_device(None) is None
    assert host.from_device(torch.ones(2)).tolist() == [1, 1] and host.to_device("text") == "text"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: BokehSynthesize.execute({"samples": 1}, slope(9)), "latent must go through VAE Decode"),
        (lambda: BokehSynthesize.execute(photo(9), "map"), "defocus is .map., but a DefocusMap is needed"),
        (lambda: DeblurAiF.execute(photo(9), 1.0, defocus="map"), "defocus is .map., but a DefocusMap is needed"),
        (lambda: DeblurAiF.execute(photo(9), 2.0, defocus=slope(9)), "strength is 2,"),
        (lambda: BokehSynthesize.execute(photo(9), slope(9), model=3), "the model is a int"),
    ],
)
def test_wrong_input_is_one_sentence(call, said):
    with pytest.raises(RefocusError, match=said) as error:
        call()
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
