"""refocus: a photo of one focus becomes one of another."""

import sys

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optical import refocus, render_bokeh
from rackfocus.pipelines.optics import DefocusMap, aperture_mask, defocus_from_disparity
from rackfocus.tests.pictures import psnr, ramp, stripes, texture

H, W = 120, 200
NEAR, FAR = (0.9, 0.5), (0.1, 0.5)  # points of `ramp`, which is nearest at the right
door = sys.modules[refocus.__module__]  # the module, which the function hides
FAST = {"quality": "fast", "highlights": 1.0}


def taken(disparity, focus, strength, seed=0):
    made = render_bokeh(texture(H, W, seed), defocus_from_disparity(disparity, focus, strength), **FAST)
    return (made * 255).round() / 255


@pytest.fixture(scope="module")
def far():
    """A photo focused on the far end, and its depth."""
    return taken(ramp(H, W), 0.2, 8.0), ramp(H, W)


def test_a_sharp_picture_is_only_blurred():
    """As RefocusLens and BokehSynthesize do it, bit for bit."""
    image, depth = texture(H, W), ramp(H, W)
    image[:, 5, 20] = 1.0
    depth[:, :40] = 0.45
    made = refocus(image, depth, focus=FAR, blur=15.0, aperture=aperture_mask(blades=5), quality="fast")
    lens = defocus_from_disparity(depth, made.defocus.focus_disparity, 15.0)
    expected = render_bokeh(image, lens, aperture=aperture_mask(blades=5), quality="fast")
    assert made.source.max_radius == 0 and torch.equal(made.defocus.radius, lens.radius)
    assert torch.equal(made.image, expected) and made.describe() == "the photo was sharp"


def test_another_focus_is_nearer_to_the_photo_that_has_it(far):
    photo, depth = far
    made = refocus(photo, depth, focus=NEAR, blur=8.0, **FAST)
    truth = taken(depth, float(made.defocus.focus_disparity), 8.0)
    right, left = slice(3 * W // 4, W), slice(0, W // 4)
    for part, least in ((right, 0.5), (left, 3.0)):  # what is sharpened, and what is blurred
        gain = psnr(made.image[:, :, part], truth[:, :, part]) - psnr(photo[:, :, part], truth[:, :, part])
        assert gain > least, part
    assert "blurred by up to" in made.describe() and "depth map" not in made.describe()


def test_the_same_focus_and_blur_change_next_to_nothing(far):
    photo, depth = far
    source = refocus(photo, depth, focus=FAR, blur=0.0).source
    again = refocus(photo, depth, focus=(0.125, 0.5), blur=float(source.strength), **FAST)
    assert psnr(again.image, photo) > 38


def test_blur_0_sharpens_with_depth_and_without(far):
    photo, depth = far
    gains = []
    for known in (depth, None):
        made = refocus(photo, known, focus=NEAR, blur=0.0)
        assert made.defocus.max_radius == 0 and (made.disparity is None) == (known is None)
        gains.append(psnr(made.image, texture(H, W)) - psnr(photo, texture(H, W)))
    assert gains[0] > 1 and gains[1] > 0.2


@pytest.fixture(scope="module")
def portrait():
    """Sharp at the left, blurred by 4 px at the right; and the same picture as a wider aperture shows it."""
    depth = stripes(H, W, 1.0, 0.0)
    return [taken(depth, 1.0, strength) for strength in (4.0, 8.0)]


def test_without_depth_the_photos_own_blur_grows(portrait):
    """Radius 4 becomes 8: the most blurred counts as one unit of disparity."""
    photo, wider = portrait
    made = refocus(photo, focus=(0.2, 0.5), blur=8.0, **FAST)
    right = slice(W // 2 + 20, W)
    assert psnr(made.image[:, :, right], wider[:, :, right]) > psnr(photo[:, :, right], wider[:, :, right]) + 3
    assert psnr(made.image[:, :, : W // 2 - 20], photo[:, :, : W // 2 - 20]) > 45
    assert made.by_blur and "counts as behind" in made.describe()


def test_without_depth_what_cannot_be_known_is_refused(portrait):
    photo, _ = portrait
    with pytest.raises(RefocusError, match=r"out of focus at the point 0\.8, 0\.5, .*connect a depth map"):
        refocus(photo, focus=(0.8, 0.5), blur=8.0)
    with pytest.raises(RefocusError, match="sharp everywhere, so nothing tells what is near"):
        refocus(texture(H, W), focus=(0.8, 0.5), blur=8.0)
    assert refocus(texture(H, W), focus=(0.8, 0.5), blur=0.0).describe() == "the photo was sharp"


def test_a_light_that_was_spread_is_no_highlight():
    """A disc of light that the photo shows is white, not twelve times white; one in focus is."""
    image, depth = torch.full((1, H, W, 3), 0.1), stripes(H, W, 1.0, 0.0)
    image[:, 60, 50] = image[:, 58:63, 148:153] = 1.0
    image = image * 0.98 + 0.02 * texture(H, W)
    image[image > 0.9] = 1.0
    spread = DefocusMap(4.0 * (1 - depth))
    seen = door._without_spread_highlights(image, spread, DefocusMap(torch.full((1, H, W), 5.0)))
    assert torch.equal(seen[:, :, : W // 2], image[:, :, : W // 2])
    assert seen[:, :, W // 2 :].max() < 254 / 255 <= image[:, :, W // 2 :].max()
    untouched = door._without_spread_highlights(image, spread, DefocusMap(torch.zeros(1, H, W)))
    assert torch.equal(untouched, image)


def test_frames_are_refocused_apart(far):
    photo, depth = far
    other, there = taken(depth.flip(2), 0.8, 6.0, seed=1), depth.flip(2)
    both = refocus(torch.cat([photo, other]), torch.cat([depth, there]), focus=(0.5, 0.4), blur=6.0, **FAST)
    alone = refocus(other, there, focus=(0.5, 0.4), blur=6.0, **FAST)
    assert torch.equal(both.image[1:], alone.image) and both.image.shape == (2, H, W, 3)


def test_progress_goes_on_to_the_end_and_cancel_is_heard(far):
    photo, depth = far
    told = []
    refocus(photo, depth, focus=NEAR, blur=8.0, **FAST, progress=lambda done, total: told.append(done / total))
    assert told == sorted(told) and told[-1] == 1
    assert all(sum(low < t < low + 0.4 for t in told) > 20 for low in (0.1, 0.5))  # sharpening, and blurring
    for stop in (3, len(told) // 2, len(told) - 2):
        left = iter(range(stop))

        def cancel(done, total, left=left):
            if next(left, None) is None:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            refocus(photo, depth, focus=NEAR, blur=8.0, **FAST, progress=cancel)


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"blur": -1.0}, "blur"),
        ({"blur": float("nan")}, "blur"),
        ({"focus": (1.2, 0.5)}, "focus point's x"),
        ({"disparity": torch.zeros(3, H, W)}, "3 frames"),
        ({"disparity": torch.zeros(1, H, W + 1)}, "one size"),
        ({"image": torch.zeros(1, H, W)}, "image"),
    ],
)
def test_wrong_input_is_one_sentence(wrong, said):
    given = {"image": texture(H, W), "disparity": ramp(H, W), "focus": (0.5, 0.5), "blur": 5.0, **wrong}
    with pytest.raises(RefocusError, match=said) as error:
        refocus(**given)
    assert "\n" not in str(error.value)


def test_no_dark_hole_is_dug_about_a_light_whose_brightness_is_lost():
    photo = torch.full((H, W, 3), 0.4)
    photo[50:60, 40:50] = 1.0
    dug = photo - 0.3
    seen = door._floored(dug, photo, torch.full((H, W), 5.0))
    assert (seen[45:65, 35:55] >= 0.4).all(), "about the light"
    assert torch.equal(seen[:, 90:], dug[:, 90:]) and torch.equal(seen[90:], dug[90:]), "farther away"
    assert torch.equal(door._floored(dug, photo, torch.full((H, W), 1.5)), dug), "a point of light is no disc"
