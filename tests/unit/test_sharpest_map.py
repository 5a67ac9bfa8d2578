"""sharpest_map against sharpest_position, which it repeats at the middle of every cell."""

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optical import render_stack, stack_disparities
from rackfocus.pipelines.optical.focal_stack import sharpest_map, sharpest_position
from rackfocus.tests.pictures import ramp, random, texture


def assert_equal(made, stack, rows, columns, most=250):
    """Cell by cell; of a map of more than `most` cells its rim's corners and some of all the others."""
    assert made.shape == (rows, columns)
    step = max(1, rows * columns // most)
    for cell in {*range(0, rows * columns, step), columns - 1, (rows - 1) * columns, rows * columns - 1}:
        j, i = divmod(cell, columns)
        expected = sharpest_position(stack, (i + 0.5) / columns, (j + 0.5) / rows)
        assert float(made[j, i]) == pytest.approx(expected, abs=1e-5), (i, j)


@pytest.mark.parametrize(
    "size, grid",
    [
        ((5, 37, 53), (37, 53)),  # a window reaches 4 pixels to each side
        ((3, 9, 200), (4, 96)),
        ((3, 330, 460), (69, 96)),  # and here 6
        ((4, 50, 4), (50, 4)),
        ((2, 200, 3), (96, 1)),
        ((3, 2, 1), (2, 1)),
        ((3, 1, 1), (1, 1)),
        ((1, 7, 9), (7, 9)),
    ],
)
def test_every_cell_is_sharpest_position_at_its_middle(size, grid):
    stack = random(*size, 3)
    made = sharpest_map(stack)
    assert made.dtype == torch.float32
    assert_equal(made, stack, *grid)


def test_an_edge_just_outside_a_window_leaves_no_mark():
    stack = torch.full((4, 30, 200, 3), 0.5)
    stack[:, :, 100:] = 0.9  # in every frame
    stack[2, :, :60] += 1e-3 * (random(30, 60, 3) - 0.5)
    assert_equal(sharpest_map(stack), stack, 14, 96)


@pytest.fixture(scope="module")
def rendered():
    """Nine frames of a slope, near at the right."""
    image, depth = texture(120, 180), ramp(120, 180)
    return render_stack(image, depth, stack_disparities(depth, 9), 24, quality="fast", highlights=1)


def test_wherever_one_points_the_cell_names_the_frame_that_sharpest_position_gives(rendered):
    made = sharpest_map(rendered)
    rows, columns = made.shape
    points = torch.rand(300, 2, generator=torch.Generator().manual_seed(5)).tolist()
    exact = [sharpest_position(rendered, x, y) for x, y in points]
    cells = [float(made[int(y * rows), int(x * columns)]) for x, y in points]
    frames = [(round(8 * a), round(8 * b)) for a, b in zip(exact, cells, strict=True)]
    assert sum(a == b for a, b in frames) >= 285 and all(abs(a - b) <= 1 for a, b in frames)
    assert len({a for a, _ in frames}) == 9


def test_fewer_cells_are_wider_ones(rendered):
    assert_equal(sharpest_map(rendered, 12), rendered, 8, 12)
    with pytest.raises(RefocusError, match="cells of a map is 97"):
        sharpest_map(rendered, 97)
