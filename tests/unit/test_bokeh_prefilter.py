"""The prefilter: each surface smoothed over one lens point's cell, by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from rackfocus.pipelines.optical.bokeh.surfaces import prefilter

H, W, SAMPLES = 33, 47, 40


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def radius_of(width, samples=SAMPLES):
    """The blur radius whose disc of `samples` cells has cells `width` pixels wide."""
    return width / math.sqrt(math.pi / samples)


def box(picture, k):
    """Mean over k x k pixels of [H, W, 3], zeros not counted."""
    planes = F.pad(picture.permute(2, 0, 1), (k // 2,) * 4)
    one = F.pad(torch.ones(picture.shape[:2]), (k // 2,) * 4)
    windows = planes.unfold(1, k, 1).unfold(2, k, 1).sum((-1, -2)) / one.unfold(0, k, 1).unfold(1, k, 1).sum((-1, -2))
    return windows.permute(1, 2, 0)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("width, k", [(1.9, 1), (2.1, 3), (3.9, 3), (4.1, 5), (5.9, 5), (6.1, 7), (8.4, 7)])
def test_the_width_of_a_cell_is_averaged(width, k, sign):
    picture, radius = random(H, W, 3), torch.full((H, W), sign * radius_of(width))
    assert torch.allclose(prefilter(picture, radius, SAMPLES), box(picture, k), atol=1e-5)


def test_more_lens_points_have_smaller_cells():
    picture, radius = random(H, W, 3), torch.full((H, W), radius_of(5.0))
    assert torch.allclose(prefilter(picture, radius, 4 * SAMPLES), box(picture, 3), atol=1e-5)


@pytest.mark.parametrize("width", [10, 14, 20, 28, 40])
def test_wide_cells_are_averaged_about_as_wide(width):
    picture = torch.zeros(120, 150, 3)
    picture[61, 70] = 1.0
    out = prefilter(picture, torch.full((120, 150), radius_of(width)), SAMPLES)[..., 0]
    assert abs(float(out.sum()) - 1) < 0.02
    for axis, at in ((0, 70), (1, 61)):
        profile, place = out.sum(axis), torch.arange(out.shape[1 - axis]).float()
        mean = (profile * place).sum() / profile.sum()
        wide = float(((profile * (place - mean) ** 2).sum() / profile.sum()).sqrt()) * math.sqrt(12)
        assert 0.8 * width < wide < 1.35 * width
        assert abs(float(mean) - at) < width / 4


def test_the_sides_of_the_focal_plane_do_not_mix():
    picture, radius = torch.zeros(H, W, 3), torch.full((H, W), radius_of(5.0))
    picture[:, 20:], radius[:, 20:] = 1.0, -radius_of(5.0)
    assert torch.equal(prefilter(picture, radius, SAMPLES), picture)


def test_surfaces_of_another_blur_do_not_mix():
    picture, radius = torch.zeros(H, W, 3), torch.full((H, W), radius_of(5.0))
    picture[:, 20:], radius[:, 20:] = 1.0, radius_of(1.0)
    assert torch.equal(prefilter(picture, radius, SAMPLES), picture)
    radius[:, 20:] = radius_of(16.0)
    assert torch.allclose(prefilter(picture, radius, SAMPLES), picture, atol=1e-5)


def test_a_slope_of_blur_is_one_surface():
    """Half a step beyond the limit between two boxes counts in both."""
    picture, radius = torch.zeros(H, W, 3), torch.full((H, W), radius_of(3.9))
    picture[:, 20:], radius[:, 20:] = 1.0, radius_of(4.1)
    out = prefilter(picture, radius, SAMPLES)[..., 0]
    assert torch.allclose(out[10, 19], torch.tensor(1 / 3)) and torch.allclose(out[10, 20], torch.tensor(3 / 5))
