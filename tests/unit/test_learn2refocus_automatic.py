"""The input position found from depth: by photographs of slopes whose focus is known."""

import functools

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.learn2refocus import automatic, position_at
from rackfocus.pipelines.learn2refocus.automatic import automatic_position, sharpest_disparity
from rackfocus.pipelines.optical import render_bokeh
from rackfocus.pipelines.optics import DefocusMap
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


def test_large_photos_are_looked_at_smaller(monkeypatch):
    """A photo of four times as many pixels, softened by its sensor: looked at in its own pixels it tells little."""
    image = photo(17.5)
    big = torch.nn.functional.interpolate(image.movedim(-1, 1), scale_factor=4, mode="bilinear").movedim(1, -1)
    expected = sharpest_disparity(image, slope())
    monkeypatch.setattr(automatic, "LONGEST", SIZE[1])
    assert sharpest_disparity(big, slope()) == pytest.approx(expected, abs=0.5)
    assert sharpest_disparity(image, slope()) == expected


def test_a_depth_edge_that_looks_sharp_does_not_decide():
    """A sharp silhouette before a blurred background: pixels by the step in depth are left out."""
    near = torch.zeros(1, *SIZE)
    near[..., 70:80] = 20.0
    depth = ramp(*SIZE, 0.0, 8.0) + near * (torch.arange(SIZE[1]) % 20 < 10)
    image = render_bokeh(random(1, *SIZE, 3), DefocusMap(5.0 * (2.0 - depth) / 20), highlights=1.0)
    image[:, :, 66:84] = (torch.arange(18) % 2).float()[None, None, :, None]
    assert sharpest_disparity(image, depth) < 8


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
    with pytest.raises(RefocusError, match="no detail that tells"):
        sharpest_disparity(torch.full((1, *SIZE, 3), 0.5), slope())
    with pytest.raises(RefocusError, match="2 images were given"):
        sharpest_disparity(random(2, *SIZE, 3), slope())
    with pytest.raises(RefocusError, match="depth has 3 frames"):
        sharpest_disparity(random(1, *SIZE, 3), slope().expand(3, -1, -1))
