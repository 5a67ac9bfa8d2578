"""estimate_lens: the lens that took a photo, from its depth."""

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optical import estimate_defocus, render_bokeh
from rackfocus.pipelines.optical.deconvolution.photo_lens import estimate_lens
from rackfocus.pipelines.optics import defocus_from_disparity
from rackfocus.tests.pictures import photograph, ramp, texture

H, W = 120, 200


def taken(focus, strength, disparity, seed=0):
    """A photo [1, H, W, 3], in 8 bits."""
    lens = defocus_from_disparity(disparity, focus, strength)
    made = render_bokeh(texture(H, W, seed), lens, quality="fast", highlights=1.0)
    return (made * 255).round() / 255


@pytest.mark.parametrize("focus, strength", [(0.2, 9.0), (0.8, 7.0), (0.5, 12.0)])
def test_focal_plane_and_strength_are_found(focus, strength):
    """With the sign: near is larger, and what is nearer than the plane has a radius below 0."""
    depth = ramp(H, W)
    found = estimate_lens(taken(focus, strength, depth), depth)
    true = defocus_from_disparity(depth, focus, strength).radius
    assert float(found.focus_disparity) == pytest.approx(focus, abs=0.1)
    assert float((found.radius - true).abs().mean()) < 0.25 * float(true.abs().mean())


def test_any_unit_of_disparity():
    depth = ramp(H, W)
    photo = taken(0.2, 9.0, depth)
    plain, other = estimate_lens(photo, depth), estimate_lens(photo, 40 * depth + 3)
    assert torch.allclose(plain.radius, other.radius, atol=0.05)
    assert float(other.strength) == pytest.approx(float(plain.strength) / 40, rel=1e-3)


def test_frames_are_found_apart_and_told():
    depth = torch.cat([ramp(H, W), ramp(H, W).flip(2)])
    photos = torch.cat([taken(0.2, 9.0, depth[:1]), taken(0.8, 7.0, depth[1:], seed=1)])
    told = []
    both = estimate_lens(photos, depth, progress=lambda done, total: told.append(done / total))
    assert torch.equal(both.radius[1:], estimate_lens(photos[1:], depth[1:]).radius)
    assert torch.equal(both.radius[:1], estimate_lens(photos[:1], depth[:1]).radius)
    assert told == sorted(told) and told[-1] == 1 and len(told) > 50


def test_a_sharp_picture_is_found_sharp():
    assert estimate_lens(texture(H, W), ramp(H, W)).radius.abs().mean() < 0.3


def test_where_the_depth_tells_nothing_the_photo_does():
    photo = photograph(texture(H, W), 4.0)
    flat = torch.full((1, H, W), 0.5)
    assert torch.equal(estimate_lens(photo, flat).radius, estimate_defocus(photo).radius)


@pytest.mark.parametrize("size", [(120, 200), (20, 30), (1, 1)])
def test_a_plain_or_a_small_picture_is_left_sharp(size):
    found = estimate_lens(torch.full((1, *size, 3), 0.5), ramp(*size))
    assert found.radius.shape == (1, *size) and found.radius.abs().max() == 0


def test_wrong_input_is_one_sentence():
    with pytest.raises(RefocusError, match="both must have one size"):
        estimate_lens(texture(H, W), ramp(H, W + 1))
    with pytest.raises(RefocusError, match="2 frames"):
        estimate_lens(texture(H, W), ramp(H, W).expand(2, -1, -1))


def test_cancel_is_heard():
    def stop(done, total):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        estimate_lens(texture(H, W), ramp(H, W), progress=stop)
