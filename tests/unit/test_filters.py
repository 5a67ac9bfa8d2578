"""Filters, by brute force and by hand."""

import pytest
import torch

from rackfocus.pipelines.image.filters import fft_size, gaussian, gradient, guided, window_max, window_mean, window_min
from rackfocus.tests.pictures import random

H, W = 23, 37


def by_hand(x, k, what):
    """what() of each k x k window, cut at the border."""
    p = k // 2
    out = torch.empty_like(x)
    for i in range(H):
        for j in range(W):
            out[0, 0, i, j] = what(x[0, 0, max(0, i - p) : i + p + 1, max(0, j - p) : j + p + 1])
    return out


@pytest.mark.parametrize(("windowed", "what"), [(window_max, torch.max), (window_min, torch.min)])
def test_largest_and_smallest_of_each_window(windowed, what):
    x = random(1, 1, H, W) - 0.5
    assert torch.equal(windowed(x, 5), by_hand(x, 5, what))
    assert torch.equal(windowed(x, 5, pad=False), by_hand(x, 5, what)[..., 2:-2, 2:-2])


def test_mean_of_each_window():
    x = random(1, 1, H, W)
    assert torch.allclose(window_mean(x, 5), by_hand(x, 5, torch.mean), atol=1e-6)
    assert torch.allclose(window_mean(x, 5, inside=False), by_hand(x, 5, lambda v: v.sum() / 25), atol=1e-6)


@pytest.mark.parametrize("sigma", [1.5, 3.0])
def test_a_gaussian_has_its_sigma_along_both_axes(sigma):
    x = torch.zeros(2, 41, 53)
    x[1, 20, 25] = 1
    y = gaussian(x, sigma)
    assert y.shape == x.shape and (y[0] == 0).all()
    assert float(y[1].sum()) == pytest.approx(1, abs=1e-5)
    for axis, centre in ((1, 20), (0, 25)):
        t = torch.arange(y.shape[2 - axis]) - centre
        profile = y[1].sum(axis)
        assert float((profile * t).sum()) == pytest.approx(0, abs=1e-4)
        assert float((profile * t**2).sum()) == pytest.approx(sigma**2, rel=0.04)
    assert (y[1, :, : 25 - round(3 * sigma) - 1] == 0).all() and y[1, 20, 25 - round(3 * sigma) + 1] > 0


def test_a_gaussian_replicates_the_border():
    x = torch.zeros(H, W)
    x[:, 0] = 1
    assert gaussian(torch.full((H, W), 0.3), 2.0).allclose(torch.tensor(0.3))
    assert float(gaussian(x, 2.0)[10, 0]) > 0.55


def test_the_guided_filter_keeps_what_is_linear_in_the_guide_and_is_a_box_beyond_eps():
    guide, x = random(H, W), random(2, H, W, seed=1)
    assert torch.allclose(guided(3 * guide[None] + 0.2, guide, 2, 1e-6)[0], 3 * guide + 0.2, atol=1e-2)
    box = window_mean(window_mean(x[None], 5), 5)[0]
    inner = (slice(None), slice(4, -4), slice(4, -4))
    assert torch.allclose(guided(x, guide, 2, 1e6)[inner], box[inner], atol=1e-4)


def test_the_guided_filter_does_not_cross_an_edge_of_its_guide():
    guide = torch.zeros(H, W)
    guide[:, 15:] = 1
    x = guide[None] * 5 + 0.1 * random(1, H, W)
    y = guided(x, guide, 3, 1e-3)[0]
    assert y[:, :15].max() < 0.2 and y[:, 15:].min() > 4.9
    assert y[5:-5, :15].std() < 0.5 * x[0, 5:-5, :15].std()


def test_the_gradient_of_a_slope():
    y, x = torch.meshgrid(torch.arange(H).float(), torch.arange(W).float(), indexing="ij")
    gx, gy = gradient(torch.stack([3 * x - 5 * y, 0.5 * y])[:, None])
    assert gx.shape == gy.shape == (2, 1, H, W)
    assert torch.allclose(gx[0, 0, :, 1:-1], torch.tensor(3.0)) and torch.allclose(gy[0, 0, 1:-1], torch.tensor(-5.0))
    assert (gx[1] == 0).all() and torch.allclose(gy[1, 0, 1:-1], torch.tensor(0.5))
    assert torch.allclose(gx[0, 0, :, 0], torch.tensor(1.5))  # the border is replicated


def test_fast_sizes_are_even_and_smooth_and_the_least():
    def fast(n):
        for p in (2, 3, 5):
            while n % p == 0:
                n //= p
        return n == 1

    for n in range(1, 130):
        assert fft_size(n) == next(m for m in range(n, 2 * n + 2) if m % 2 == 0 and fast(m))
