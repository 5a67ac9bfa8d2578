"""The blur operator: slices, occlusion, and its adjoint."""

from itertools import pairwise

import pytest
import torch

from rackfocus.pipelines.optical.deconvolution.operator import BlurOperator, bank, occlusion, slice_weights
from rackfocus.pipelines.optics import aperture_kernel, aperture_mask
from rackfocus.tests.pictures import ramp, random, stripes

H, W = 37, 53
CIRCLE = aperture_mask()


def dot(a, b):
    return float((a * b).sum())


@pytest.mark.parametrize("seed", [0, 1])
def test_the_adjoint_is_exact(seed):
    """<A x, y> = <x, A^T y> in float64, with occlusion, borders and an aperture that is not symmetric."""
    radius = (stripes(H, W, -4.0, 5.0, 0.0)[0] + torch.linspace(-1, 2, H)[:, None]).double()
    A = BlurOperator(radius, aperture_mask(shape="heart"))
    x, y = random(3, H, W, seed=seed).double(), random(3, H, W, seed=seed + 7).double()
    assert dot(A.forward(x), y) == pytest.approx(dot(x, A.adjoint(y)), rel=1e-9)


@pytest.mark.parametrize("radius", [3.0, -3.0])
def test_a_point_becomes_the_image_of_the_aperture(radius):
    """Behind the focal plane as aperture_kernel has it, in front turned by 180 degrees; its light is kept."""
    heart = aperture_mask(shape="heart")
    kernel = aperture_kernel(heart, 3.0)
    p = kernel.shape[0] // 2
    x = torch.zeros(1, H, W)
    x[0, 14, 31] = 2
    y = BlurOperator(torch.full((H, W), radius), heart).forward(x)[0]
    want = torch.zeros(H, W)
    want[14 - p : 15 + p, 31 - p : 32 + p] = 2 * (kernel if radius > 0 else kernel.flip(0, 1))
    assert torch.allclose(y, want, atol=1e-5)
    assert not torch.allclose(kernel, kernel.flip(0, 1), atol=1e-3)


@pytest.mark.parametrize("values", [(2.0, 2.0), (-5.0, 3.0), (0.0, 6.0)])
def test_a_flat_picture_stays_flat_to_the_corners(values):
    A = BlurOperator(stripes(H, W, *values)[0], CIRCLE)
    y = A.forward(torch.full((3, H, W), 0.7))
    assert torch.allclose(y, torch.tensor(0.7), atol=1e-5)


def test_nearer_slices_occlude_farther_ones():
    """A sharp right half: what lies behind it cannot scatter over it, what lies in front does."""
    x = random(3, H, W)
    for left, occluded in ((6.0, True), (-6.0, False)):
        radius = torch.zeros(H, W)
        radius[:, :26] = left
        y = BlurOperator(radius, CIRCLE).forward(x)
        assert torch.allclose(y[..., 34:], x[..., 34:], atol=1e-6)
        assert torch.allclose(y[..., 26:], x[..., 26:], atol=1e-6) == occluded
        assert not torch.allclose(y[..., :26], x[..., :26], atol=1e-2)


def test_a_middle_slice_is_occluded_by_the_nearer_one_alone():
    radius = torch.full((H, W), 0.0)
    radius[:, :20] = -6.0
    radius[:, 36:] = 6.0
    lit = torch.zeros(1, H, W)
    lit[..., 36:] = 1  # light of the farthest slice
    y = BlurOperator(radius, CIRCLE).forward(lit)[0]
    assert y[:, :36].max() < 1e-6 and y[18, 50] == pytest.approx(1, abs=1e-4)


def test_seen_and_kept():
    radius = torch.zeros(H, W)
    radius[:, :26] = 6.0
    A = BlurOperator(radius, CIRCLE)
    assert torch.allclose(A.kept[:, 26:], torch.tensor(1.0)) and torch.allclose(A.seen[:, 26:], torch.tensor(1.0))
    assert A.kept[:, :26].max() == 0
    assert A.seen[18, 10] == pytest.approx(1, abs=1e-4)
    assert 0.4 < A.seen[18, 25] < 0.7  # half its disc lies behind the sharp half


def test_occlusion_by_hand():
    """slope = 1 + 0.2 max(|near|, |far|), then 0 below it and 1 from 1.5 slopes on."""
    assert occlusion(-4.0, 4.0) == 1 and occlusion(4.0, -4.0) == 0
    assert occlusion(2.0, 3.0) == 0
    assert occlusion(0.0, 2.0) == pytest.approx(2 * (2 - 1.4) / 1.4)
    assert occlusion(-5.0, -2.5) == pytest.approx(2 * (2.5 - 2) / 2)


def test_the_bank_by_hand():
    assert bank(2.3, 5.1) == [2, 3, 4, 5, 6]
    assert bank(-1.5, 0.5) == [-2, -1, 0, 1]
    assert bank(0.0, 0.0) == [0] and bank(3.0, 3.0) == [3]
    wide = bank(0.0, 30.0)
    assert all(b - a == pytest.approx(max(1, 0.15 * a)) for a, b in pairwise(wide))
    assert wide[-2] < 30 <= wide[-1]


def test_slices_share_each_pixel_by_its_radius():
    """sum_k w_k = 1 and sum_k w_k r_k = r, from near to far, at most two slices a pixel."""
    radius = ramp(H, W, -4.3, 6.8)[0]
    radii, weights = zip(*slice_weights(radius), strict=True)
    weights = torch.stack(weights)
    assert list(radii) == sorted(radii) and radii[0] == -5 and radii[-1] == 7
    assert torch.allclose(weights.sum(0), torch.tensor(1.0))
    assert torch.allclose((weights * torch.tensor(radii)[:, None, None]).sum(0), radius, atol=1e-5)
    assert (weights > 0).sum(0).max() <= 2 and weights.min() >= 0


def test_slices_touch_what_is_theirs_and_no_more():
    """Windows: rows first, wide enough for the disc, cut at the picture."""
    radius = torch.zeros(H, W)
    radius[4:9, 30:50] = 4.0
    A = BlurOperator(radius, CIRCLE)
    (s,) = (s for s in A.slices if s.radius == 4)
    p = aperture_kernel(CIRCLE, 4.0).shape[0] // 2
    assert s.source == (4, 9, 30, 50) and s.target == (0, 9 + p, 30 - p, 53)
    assert s.scatter(s.weight).shape == s.through.shape == (9 + p, 53 - 30 + p)
