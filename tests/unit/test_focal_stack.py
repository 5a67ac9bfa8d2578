"""Focal stacks: from near to far when made, and the right picture when browsed."""

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optical import render_bokeh, render_stack, stack_disparities
from rackfocus.pipelines.optical.focal_stack import frame_at, sharpest_position
from rackfocus.pipelines.optics import DefocusMap, aperture_mask
from rackfocus.tests.pictures import photograph, psnr, ramp, random, stripes, texture

H, W = 37, 53


def test_planes_fall_evenly_from_the_nearest_to_the_farthest_surface():
    assert stack_disparities(ramp(H, W, 0.2, 1.0), 5, robust=0) == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])
    assert stack_disparities(ramp(H, W, 1.0, 0.2), 2, robust=0) == pytest.approx([1.0, 0.2])


@pytest.mark.parametrize("robust, ends", [(0.0, (200, 0)), (0.01, (198, 2)), (0.1, (180, 20))])
def test_noise_at_either_end_is_left_out(robust, ends):
    d = torch.arange(201.0).reshape(1, 3, 67)
    assert stack_disparities(d, 3, robust) == pytest.approx([ends[0], 100, ends[1]])


def test_the_share_that_is_left_out_is_rounded_down():
    assert stack_disparities(torch.arange(200.0).reshape(1, 4, 50), 2, 0.1) == [180, 19]  # 0.1 * 199 = 19.9


def test_the_default_leaves_out_a_hundredth():
    d = torch.arange(201.0).reshape(1, 3, 67)
    assert stack_disparities(d, 3) == stack_disparities(d, 3, 0.01)


def test_fewer_than_two_frames_are_refused():
    with pytest.raises(RefocusError, match="frames of a focal stack is 1, but"):
        stack_disparities(ramp(H, W), 1)


@pytest.fixture(scope="module")
def rendered():
    """(image, disparity with the near half at the left, a stack of it)."""
    image, disparity = texture(H, W), stripes(H, W, 0.8, 0.2)
    return image, disparity, render_stack(image, disparity, [0.8, 0.5, 0.2], 10.0, quality="fast", highlights=1.0)


def test_a_stack_runs_from_near_to_far(rendered):
    image, _, stack = rendered
    assert stack.shape == (3, H, W, 3)
    left, right = torch.arange(W).expand(H, W) < 18, torch.arange(W).expand(H, W) >= 35
    near = [psnr(frame[None], image, left) for frame in stack]
    far = [psnr(frame[None], image, right) for frame in stack]
    assert near[0] > 60 and near[0] > near[1] + 10 and near[1] > near[2]
    assert far[2] > 60 and far[2] > far[1] + 10 and far[1] > far[0]


def test_a_frame_is_the_picture_of_its_plane(rendered):
    image, disparity, stack = rendered
    for frame, focus in zip(stack, (0.8, 0.5, 0.2), strict=True):
        defocus = DefocusMap(10.0 * (focus - disparity))
        assert torch.equal(frame[None], render_bokeh(image, defocus, quality="fast", highlights=1.0))


def test_keywords_reach_the_renderer(rendered):
    image, disparity, stack = rendered
    heart = render_stack(
        image, disparity, [0.5], 10.0, quality="fast", highlights=1.0, aperture=aperture_mask(shape="heart")
    )
    assert (heart[0] - stack[1]).abs().max() > 0.01


def test_progress_counts_the_points_of_all_frames(rendered):
    image, disparity, _ = rendered
    seen = []
    render_stack(image, disparity, [0.8, 0.2], 4.0, quality="fast", progress=lambda *counts: seen.append(counts))
    done, total = zip(*seen, strict=True)
    assert len(set(total)) == 1 and done[-1] == total[0]
    assert list(done) == sorted(done) and done[0] <= total[0] / 4
    assert any(total[0] / 2 < d for d in done) and total[0] / 2 in done


@pytest.mark.parametrize(
    "image, disparity, planes, said",
    [
        (torch.zeros(2, 4, 6, 3), torch.ones(1, 4, 6), [0.5], "2 images were given"),
        (torch.zeros(1, 4, 6, 3), torch.ones(3, 4, 6), [0.5], "disparity has 3 frames and image has 1"),
        (torch.zeros(1, 4, 6, 3), torch.ones(1, 4, 6), [], "no focal plane"),
        ("photo", torch.ones(1, 4, 6), [0.5], "image is a str"),
    ],
)
def test_what_a_stack_cannot_be_made_of(image, disparity, planes, said):
    with pytest.raises(RefocusError, match=said):
        render_stack(image, disparity, planes, 1.0)


# Browsing.

LEVELS = torch.tensor([0.0, 0.2, 0.8, 0.4, 1.0])[:, None, None, None].expand(5, 4, 7, 3)


@pytest.mark.parametrize(
    "position, value, index",
    [
        (0.0, 0.0, 0),
        (0.05, 0.04, 0),
        (0.2, 0.16, 1),
        (0.3, 0.32, 1),
        (0.4, 0.56, 2),
        (0.9, 0.76, 4),
        (0.5, 0.8, 2),
        (1.0, 1.0, 4),
    ],
)
def test_a_position_between_two_frames_blends_them(position, value, index):
    frame, nearest, used = frame_at(LEVELS, position)
    assert frame.shape == (1, 4, 7, 3) and (nearest, used) == (index, position)
    assert torch.allclose(frame, torch.tensor(value), atol=1e-6)


@pytest.mark.parametrize("position, index", [(0.0, 0), (0.1, 0), (0.15, 1), (0.6, 2), (0.65, 3), (1.0, 4)])
def test_without_blending_the_nearest_frame_comes_with_its_own_position(position, index):
    frame, nearest, used = frame_at(LEVELS, position, blend=False)
    assert torch.equal(frame, LEVELS[index : index + 1]) and (nearest, used) == (index, index / 4)


def test_a_position_on_a_frame_gives_it_bit_for_bit_and_apart():
    stack = random(4, H, W, 3)
    for i in range(4):
        frame, index, used = frame_at(stack, i / 3)
        assert torch.equal(frame, stack[i : i + 1]) and index == i and used == pytest.approx(i / 3)
    assert torch.equal(frame_at(stack, 1 / 3 + 1e-8)[0], stack[1:2])
    assert torch.equal(frame_at(stack, 1 / 3 - 1e-8)[0], stack[1:2])
    frame_at(stack, 0.0)[0].zero_()
    assert stack[0].abs().max() > 0


def test_one_frame_is_the_whole_stack():
    one = random(1, H, W, 3)
    for position in (0.0, 0.4, 1.0):
        frame, index, used = frame_at(one, position)
        assert torch.equal(frame, one) and (index, used) == (0, 0.0)
    assert sharpest_position(one, 0.5, 0.5) == 0


@pytest.mark.parametrize("position", [-0.01, 1.01])
def test_a_position_outside_the_stack(position):
    with pytest.raises(RefocusError, match=f"position is {position:g}"):
        frame_at(LEVELS, position)


def patches(*sharp, n=5, h=40, w=90):
    """A stack of n flat frames; at (x, y, frame, contrast) in 0..1 a patch of +-8 px holds detail in that frame."""
    stack = torch.full((n, h, w, 3), 0.5)
    for x, y, frame, contrast in sharp:
        cx, cy = int(x * w), int(y * h)
        part = (frame, slice(max(0, cy - 8), cy + 9), slice(max(0, cx - 8), cx + 9))
        stack[part] += contrast * (random(*stack[part].shape, seed=7) - 0.5)
    return stack


def test_the_sharpest_frame_is_found_at_the_point():
    stack = patches((0.2, 0.25, 3, 0.5), (0.8, 0.25, 1, 0.5), (0.2, 0.75, 0, 0.5), (0.8, 0.75, 4, 0.5))
    found = [round(4 * sharpest_position(stack, x, y)) for y in (0.25, 0.75) for x in (0.2, 0.8)]
    assert found == [3, 1, 0, 4]


@pytest.mark.parametrize("point", [(0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0)])
def test_a_corner_has_a_window_too(point):
    stack = patches((*point, 2, 0.5))
    assert sharpest_position(stack, *point) == pytest.approx(0.5, abs=0.13)


@pytest.mark.parametrize("width, reach", [(90, 4), (300, 4), (1000, 15)])
@pytest.mark.parametrize("side", [-1, 1])
def test_the_window_is_3_percent_of_the_width_but_never_under_9_pixels(width, reach, side):
    columns, rows = (torch.full((3, 40, width, 3), 0.5) for _ in range(2))
    columns[2, :, width // 2 + side * reach] = rows[2, 20 + side * reach] = 0.6  # just within
    columns[1, :, width // 2 + side * (reach + 1)] = rows[1, 20 + side * (reach + 1)] = 0.9  # just outside
    assert sharpest_position(columns, 0.5, 0.5) == sharpest_position(rows, 0.5, 0.5) == 1


def test_the_window_holds_the_first_and_the_last_row_and_column():
    for x, y, line in (
        (0.5, 0.0, (0,)),
        (0.5, 1.0, (39,)),
        (0.0, 0.5, (slice(None), 0)),
        (1.0, 0.5, (slice(None), 89)),
    ):
        stack = torch.full((3, 40, 90, 3), 0.5)
        stack[(2, *line)] = 0.6
        assert sharpest_position(stack, x, y) == 1


@pytest.mark.parametrize("energies, position", [((1, 3, 2), 0.5 + 0.5 * 1 / 6), ((2, 3, 1), 0.5 - 0.5 * 1 / 6)])
def test_a_parabola_refines_between_frames(energies, position):
    # log energy e, so an amplitude of exp(e / 2): the parabola through (-1, a), (0, b), (1, c) peaks at
    # (a - c) / (2 (a - 2 b + c)) frames.
    detail = random(1, 40, 90, 3) - 0.5
    stack = torch.cat([0.5 + 0.05 * detail * torch.tensor(e / 2).exp() for e in energies])
    assert sharpest_position(stack, 0.5, 0.5) == pytest.approx(position, abs=1e-4)


def test_a_stack_without_detail_and_peaks_at_the_ends():
    assert sharpest_position(torch.full((5, 20, 30, 3), 0.5), 0.5, 0.5) == 0
    assert sharpest_position(patches((0.5, 0.5, 0, 0.5)), 0.5, 0.5) == 0
    assert sharpest_position(patches((0.5, 0.5, 4, 0.5)), 0.5, 0.5) == 1


def test_a_photographed_stack_is_sharpest_where_it_is_in_focus():
    image = texture(40, 70, seed=3)
    stack = torch.cat([image if i == 1 else photograph(image, 1.5 * abs(i - 1)) for i in range(4)])
    assert sharpest_position(stack, 0.4, 0.6) == pytest.approx(1 / 3, abs=0.1)


@pytest.mark.parametrize("x, y", [(1.5, 0.5), (0.5, -0.5)])
def test_a_point_outside_the_picture(x, y):
    with pytest.raises(RefocusError, match="outside the picture"):
        sharpest_position(LEVELS, x, y)
