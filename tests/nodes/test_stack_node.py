"""FocalStackGenerate by the optical engine, SelectFocusFrame and StackFuse against the functions they call."""

import pytest
import torch

from rackfocus.pipelines.image import RefocusError
from rackfocus.pipelines.optical import fuse_stack, render_stack, stack_disparities
from rackfocus.pipelines.optical.focal_stack import frame_at, sharpest_position
from rackfocus.pipelines.optics import aperture_mask, resize_depth, to_disparity
from rackfocus.tests.nodes.scenes import run
from rackfocus.tests.pictures import psnr, random, stripes, texture

H = 37
WIDTHS = pytest.mark.parametrize("width", [53, 84])


def generate(image, depth, **widgets):
    given = {"frames": 3, "strength": 120.0, "quality": "fast", "highlights": 1.0, "depth_kind": "auto", **widgets}
    return run("FocalStackGenerate", image=image, depth=depth, **given)


@WIDTHS
@pytest.mark.parametrize(
    "kind, values, ends",
    [("metres", (1.25, 2.0, 5.0), (0.8, 0.2)), ("inverted", (0.9, 0.5, 0.2), (0.1 / 0.19, 0.1 / 0.82))],
)
def test_a_stack_is_that_of_the_function_with_strength_scaled_to_the_width(width, kind, values, ends):
    picture, depth, heart = texture(H, width), stripes(20, 31, *values), aperture_mask(shape="heart")
    stacks, positions, info = generate(picture, depth, depth_kind=kind, aperture=heart, highlights=6.0)
    disparity = resize_depth(to_disparity(depth, kind), H, width)
    planes = stack_disparities(disparity, 3)
    expected = render_stack(
        picture, disparity, planes, 120 * width / 1000, quality="fast", highlights=6.0, aperture=heart
    )
    assert len(stacks) == 1 and torch.equal(stacks[0], expected)
    assert planes == pytest.approx([ends[0], (ends[0] + ends[1]) / 2, ends[1]])
    assert info == f"focus disparity {ends[0]:.4g} to {ends[1]:.4g}" and positions == [0.0, 0.5, 1.0]


def test_a_stack_runs_from_near_to_far():
    image, depth = texture(H, 53), stripes(H, 53, 0.8, 0.2)
    frames = generate(image, depth)[0][0]
    left, right = torch.arange(53).expand(H, 53) < 18, torch.arange(53).expand(H, 53) >= 35
    assert psnr(frames[:1], image, left) > psnr(frames[1:2], image, left) > psnr(frames[2:], image, left)
    assert psnr(frames[:1], image, right) < psnr(frames[1:2], image, right) < psnr(frames[2:], image, right)


def test_every_image_of_a_batch_has_its_own_stack():
    image = torch.cat([texture(H, 53), texture(H, 53, seed=1)])
    depth = torch.cat([stripes(H, 53, 0.8, 0.2), stripes(H, 53, 0.3, 0.9)])
    stacks, positions, info = generate(image, depth, frames=2)
    assert len(stacks) == 2 and positions == [0.0, 1.0]
    assert info.splitlines() == ["focus disparity 0.8 to 0.2", "focus disparity 0.9 to 0.3"]
    for i in range(2):
        assert torch.equal(stacks[i], generate(image[i : i + 1], depth[i : i + 1], frames=2)[0][0])
    shared = generate(image, depth[:1], frames=2)[0]
    assert torch.equal(shared[0], stacks[0]) and not torch.equal(shared[1], stacks[1])


@pytest.mark.parametrize(
    "depth, widgets, said",
    [
        (None, {}, "no depth map is connected"),
        (torch.ones(2, H, 53), {}, "depth has 2 frames and image has 1"),
        (torch.ones(1, H, 53), {"frames": 1}, "frames( of a focal stack)? is 1"),
    ],
)
def test_wrong_input_is_one_sentence(depth, widgets, said):
    with pytest.raises(RefocusError, match=said):
        generate(texture(H, 53), depth, **widgets)


# SelectFocusFrame


def select(stack, **widgets):
    return run("SelectFocusFrame", stack=stack, **widgets)


@pytest.mark.parametrize("position, index", [(0.0, 0), (0.1, 0), (0.15, 1), (0.25, 1), (0.5, 2), (0.8, 3), (1.0, 4)])
def test_a_frame_is_taken_from_near_to_far(position, index):
    stack = random(5, H, 53, 3)
    frame, number, used = select(stack, position=position, blend=True)
    at = position * 4
    low = min(int(at), 3)
    assert torch.allclose(frame[0], (low + 1 - at) * stack[low] + (at - low) * stack[low + 1], atol=1e-6)
    assert (number, used) == (index, pytest.approx(position))
    frame, number, used = select(stack, position=position)  # as it comes: one frame, untouched
    assert torch.equal(frame[0], stack[number]) and (number, used) == (round(at), round(at) / 4)


def test_a_point_selects_the_sharpest_frame():
    stack = torch.full((4, 40, 90, 3), 0.5)
    stack[3, :20, 60:] = random(20, 30, 3)  # upper right
    stack[1, 20:, :30] = random(20, 30, 3)  # lower left
    for x, y, index in ((0.85, 0.2, 3), (0.15, 0.8, 1)):
        frame, number, used = select(stack, select_by="point", focus_x=x, focus_y=y, position=0.0, blend=True)
        assert number == index and used == pytest.approx(sharpest_position(stack, x, y))
        assert torch.equal(frame, frame_at(stack, used)[0])


def test_alpha_is_dropped_from_a_frame():
    assert select(random(3, H, 53, 4))[0].shape == (1, H, 53, 3)


# StackFuse


@pytest.mark.parametrize("first, last, kept", [(0, -1, slice(0, 5)), (1, 3, slice(1, 4)), (2, -1, slice(2, 5))])
@pytest.mark.parametrize("method", ["average", "depth"])
def test_fuse_takes_the_frames_from_first_to_last(first, last, kept, method):
    stack = random(5, 48, 70, 3)
    outputs = run("StackFuse", stack=stack, method=method, first=first, last=last)
    expected = fuse_stack(stack, method=method, first=kept.start, last=kept.stop - 1)
    assert torch.equal(outputs[0], expected.image)
    assert torch.equal(outputs[1], expected.order) and torch.equal(outputs[2], expected.confidence)
    assert torch.allclose(outputs[0], fuse_stack(stack[kept], method=method).image, atol=1e-6)


def test_frame_0_alone_is_the_last_one_that_takes_part():
    stack = random(3, 22, 33, 3)
    image, order, _ = run("StackFuse", stack=stack, first=0, last=0)
    assert torch.equal(image, stack[:1]) and order.max() == 0
    image, order, _ = run("StackFuse", stack=stack, first=2, last=-1)
    assert torch.equal(image, stack[2:]) and order.min() == 1
