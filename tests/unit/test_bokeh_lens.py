"""The lens's points, shades and shifts by their formulas."""

import math

import pytest
import torch

from rackfocus.pipelines.optical.bokeh.lens import Field, Lens, make_lens
from rackfocus.pipelines.optics import aperture_mask


def test_without_aberration_both_sides_pass_alike():
    lens = make_lens(aperture_mask(), 40)
    assert lens.symmetric and torch.equal(lens.behind, lens.front)
    assert abs(float(lens.behind.sum()) - 1) < 1e-5 and 30 <= len(lens.points) <= 40


@pytest.mark.parametrize("spherical", [0.6, -0.6, 1.0])
def test_spherical_aberration_shades_by_the_fourth_power(spherical):
    mask = aperture_mask(size=64)
    lens = make_lens(mask, 60, spherical, cats_eye=0.3)
    assert not lens.symmetric and lens.cats_eye == 0.3
    bubble, other = (lens.mask(5.0), lens.mask(-5.0)) if spherical > 0 else (lens.mask(-5.0), lens.mask(5.0))
    a = abs(spherical)
    for row, column in ((32, 32), (20, 40), (32, 60), (5, 30)):
        rho = math.hypot((column + 0.5) / 32 - 1, (row + 0.5) / 32 - 1)
        assert float(bubble[0, row, column]) == pytest.approx(
            float(mask[0, row, column]) * (1 - a + a * rho**4), abs=1e-5
        )
        shade = 1 - a + a * (1 - rho**4)
        assert float(other[0, row, column]) == pytest.approx(float(mask[0, row, column]) * shade, abs=1e-5)
    outer = lens.points.norm(dim=1) > 0.8
    for weight in (lens.behind, lens.front):
        assert abs(float(weight.sum()) - 1) < 1e-5
    more, less = (lens.behind, lens.front) if spherical > 0 else (lens.front, lens.behind)
    assert more[outer].sum() > 1.3 * less[outer].sum()


def test_a_shade_that_leaves_nothing_is_left_out():
    dot = torch.zeros(1, 64, 64)
    dot[:, 0, 0] = 1  # in the corner rho counts as 1: the bright centre has no light here
    assert torch.equal(make_lens(dot, 8, 1.0).mask_front, dot)


def test_the_mask_in_front_is_another_than_behind():
    behind, front = torch.ones(1, 4, 4), torch.zeros(1, 4, 4)
    lens = Lens(torch.zeros(1, 2), torch.ones(1), torch.ones(1), behind, front)
    assert lens.mask(2.0) is behind and lens.mask(0.0) is behind and lens.mask(-2.0) is front


def test_the_nearest_lens_point_is_looked_up_by_row_and_column():
    points = torch.tensor([[0.5, -0.25], [-0.75, 0.0], [0.1, 0.8]])  # (x right, y down)
    nearest = Lens(points, *[torch.ones(3)] * 2, *[torch.ones(1, 4, 4)] * 2).nearest
    n = nearest.shape[0]
    assert nearest.shape == (n, n)
    for row, column in ((0, 0), (n - 1, 0), (0, n - 1), (n // 2, n // 4), (n // 3, 2 * n // 3)):
        x, y = (column + 0.5) / n * 2 - 1, (row + 0.5) / n * 2 - 1
        distance = [math.hypot(x - px, y - py) for px, py in points.tolist()]
        assert int(nearest[row, column]) == distance.index(min(distance))


def test_the_rim_holds_every_lens_point():
    ones = [torch.ones(2)] * 2
    masks = [torch.ones(1, 4, 4)] * 2
    assert Lens(torch.tensor([[0.9, 0.9], [0.0, -0.1]]), *ones, *masks).rim == pytest.approx(math.hypot(0.9, 0.9))
    assert Lens(torch.tensor([[0.5, 0.1], [0.0, -0.1]]), *ones, *masks).rim == 1.0


@pytest.mark.parametrize("width, height", [(160, 90), (50, 120)])
def test_the_exit_pupil_is_shifted_outwards_by_its_full_amount_in_the_corners(width, height):
    field = Field(x=-7, y=4, width=width, height=height)
    half = math.hypot(width, height) / 2
    for px, py in ((0, 0), (width - 1, 0), (10, height - 1), (width // 3, height // 4)):
        sx, sy = field.pupil_shift(torch.tensor(px + 7), torch.tensor(py - 4), 0.7)
        assert float(sx) == pytest.approx(0.7 * (px + 0.5 - width / 2) / half, abs=1e-5)
        assert float(sy) == pytest.approx(0.7 * (py + 0.5 - height / 2) / half, abs=1e-5)
    corner = field.pupil_shift(torch.tensor(6.5 + width), torch.tensor(height - 4.5), 0.7)
    assert float(torch.hypot(*corner)) == pytest.approx(0.7, abs=1e-5)
