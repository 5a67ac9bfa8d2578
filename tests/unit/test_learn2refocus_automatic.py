"""The input position found from depth: by photographs of slopes whose focus is known."""

import functools
import math

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.learn2refocus import position_at
from rackfocus.pipelines.learn2refocus.automatic import automatic_position
from rackfocus.pipelines.optical import render_bokeh
from rackfocus.pipelines.optics import DefocusMap, sharpest
from rackfocus.pipelines.optics.sharpest import _energies, _of_one_size, sharpest_disparity
from rackfocus.tests.pictures import ramp, random

SIZE = (60, 152)


@functools.cache
def photo(focus: float, near=20.0):
    """A textured slope from 0 at its left to `near` dioptres, photographed with a focus there."""
    return render_bokeh(random(1, *SIZE, 3), DefocusMap(5.0 * (focus - slope(near)) / near), highlights=1.0)


def slope(near=20.0):
    return ramp(*SIZE, 0.0, near)


@pytest.mark.parametrize("focus", [0.0, 5.0, 17.5])
def test_the_position_of_a_slope_is_found(focus):
    assert sharpest_disparity(photo(focus), slope()) == pytest.approx(focus, abs=1.5)
    assert abs(automatic_position(photo(focus), slope()) - position_at(focus)) <= 1


def test_near_and_far_are_told_apart():
    """Position 0 is near: dioptres fall as positions rise."""
    assert automatic_position(photo(17.5), slope()) < 3 and automatic_position(photo(0.0), slope()) > 6


def test_texture_does_not_decide():
    """Where the subject has twenty times less contrast than all behind it, the focus is still on the subject."""
    scene, faint = random(1, *SIZE, 3), 2 * SIZE[1] // 3
    scene[:, :, faint:] = 0.5 + (scene[:, :, faint:] - 0.5) / 20
    image = render_bokeh(scene, DefocusMap(5.0 * (17.5 - slope()) / 20), highlights=1.0)
    assert sharpest_disparity(image, slope()) == pytest.approx(17.5, abs=2.0)


def test_how_often_a_depth_occurs_does_not_decide():
    """Most of the picture lies far, and blurred."""
    stretched = 20 * (slope() / 20) ** 3
    image = render_bokeh(random(1, *SIZE, 3), DefocusMap(5.0 * (15 - stretched) / 20), highlights=1.0)
    assert sharpest_disparity(image, stretched) == pytest.approx(15, abs=2.0)


def test_depth_of_another_size_is_taken_pixel_by_pixel():
    assert sharpest_disparity(photo(5.0), slope()[:, ::2, ::2]) == pytest.approx(5.0, abs=1.5)
    assert sharpest_disparity(photo(5.0), slope()[:, :1]) == pytest.approx(5.0, abs=1.5)


def test_no_depth_between_two_surfaces_is_made_up():
    steps = torch.full((1, 37, 53), 2.0)
    steps[:, :, 30:] = 8.0
    small, depth = _of_one_size(random(1, *SIZE, 3), steps)
    assert small.shape == (1, 3, *SIZE) and depth.shape == SIZE and depth.unique().tolist() == [2.0, 8.0]
    assert depth[0, 0] == 2 and depth[0, -1] == 8


def test_large_photos_are_looked_at_smaller(monkeypatch):
    """A photo of 16 times as many pixels, with a sensor's noise, which in its own pixels is all the fine detail."""
    image = photo(17.5)
    big = torch.nn.functional.interpolate(image.movedim(-1, 1), scale_factor=4, mode="bilinear").movedim(1, -1)
    big = (big + random(*big.shape, seed=1, low=-0.15, high=0.15)).clamp(0, 1)
    monkeypatch.setattr(sharpest, "LONGEST", SIZE[1])
    assert sharpest_disparity(big, slope()) == pytest.approx(17.5, abs=2.0)
    monkeypatch.setattr(sharpest, "LONGEST", 10 * SIZE[1])
    assert abs(sharpest_disparity(big, slope()) - 17.5) > 2.5


def test_what_stands_by_a_depth_edge_does_not_decide():
    """Thin structures, all of them within two pixels of their own edge, are the sharpest there is."""
    depth, thin = slope(8.0), torch.arange(SIZE[1]) % 16 < 4
    image = render_bokeh(random(1, *SIZE, 3), DefocusMap(5.0 * (4.0 - depth) / 8), highlights=1.0)
    image[:, :, thin] = random(1, *SIZE, 3, seed=1)[:, :, thin]
    depth[..., thin] = 20.0
    assert sharpest_disparity(image, depth) == pytest.approx(4.0, abs=1.0)


def test_a_disparity_counts_by_its_area():
    """A corner far nearer than all else, and as sharp as noise, is 4 percent of the picture and half the range."""
    depth, corner = slope(10.0), (slice(None), slice(0, 20), slice(0, 18))
    image = render_bokeh(random(1, *SIZE, 3), DefocusMap(5.0 * (5.0 - depth) / 10), highlights=1.0)
    image[corner] = random(1, 20, 18, 3, seed=1)
    depth[corner] = ramp(20, 18, 19.0, 20.0)
    assert sharpest_disparity(image, depth) == pytest.approx(5.0, abs=1.5)


def test_the_unit_of_disparity_does_not_decide():
    for unit in (0.02, 30.0):
        expected = unit * sharpest_disparity(photo(5.0), slope())
        assert sharpest_disparity(photo(5.0), unit * slope()) == pytest.approx(expected, rel=1e-3)


def test_detail_of_two_bands():
    """Of a wave of period p, a Gaussian of sigma leaves g(sigma) = exp(-2 (pi sigma / p)^2)."""
    for period in (3, 8):
        g1, g2 = (math.exp(-2 * (math.pi * sigma / period) ** 2) for sigma in (1, 2))
        wave = torch.sin(2 * torch.pi * torch.arange(240.0) / period).expand(1, 3, 40, 240)
        e1, e2 = (e[:, 24:-24].mean() * 2 for e in _energies(wave))
        assert float(e1) == pytest.approx((1 - g1) ** 2, rel=0.03) and float(e2) == pytest.approx(
            (g1 - g2) ** 2, rel=0.1
        )


def test_a_few_wild_depths_do_not_stretch_the_range():
    depth = slope().clone()
    depth[:, :1, :60] = 5000.0  # 0.7 percent
    assert sharpest_disparity(photo(5.0), depth) == pytest.approx(5.0, abs=1.5)


def test_one_distance_is_its_own_answer():
    assert sharpest_disparity(random(1, 20, 30, 3), torch.full((1, 20, 30), 3.0)) == pytest.approx(3.0)
    assert automatic_position(random(1, 1, 1, 3), torch.zeros(1, 1, 1)) == 8
    assert automatic_position(random(1, 1, 1, 3), torch.full((1, 1, 1), 12.5)) == 3
    assert automatic_position(random(1, 1, 1, 3), torch.full((1, 1, 1), 10.9)) == 4  # 3.64


def test_what_cannot_be_answered_is_said():
    plain = torch.full((1, *SIZE, 3), 0.5)
    assert sharpest_disparity(plain, slope()) is None
    with pytest.raises(RefocusError, match="no detail that tells"):
        automatic_position(plain, slope())
    with pytest.raises(RefocusError, match="2 images were given"):
        sharpest_disparity(random(2, *SIZE, 3), slope())
    with pytest.raises(RefocusError, match="depth has 3 frames"):
        sharpest_disparity(random(1, *SIZE, 3), slope().expand(3, -1, -1))
