"""Poses, resampling and reading of frames, by hand; never on a square picture."""

import math

import pytest
import torch

from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.optical.stacking.source import Stack, gather_frames
from rackfocus.pipelines.optical.stacking.warp import (
    IDENTITY,
    Pose,
    chain,
    coordinates,
    inside,
    place,
    sample,
    sample_sharply,
    similarity,
)
from rackfocus.tests.pictures import random, texture

H, W = 36, 53
WHOLE = (slice(0, H), slice(0, W))


def theta(scale=1.0, degrees=0.0, x=0.0, y=0.0):
    return torch.tensor([math.log(scale), math.radians(degrees), x, y], dtype=torch.float64)


def at(p, pose):
    """One position (x, y) through a pose of [H, W]."""
    return place(torch.tensor(p, dtype=torch.float64)[:, None, None], pose, H, W)[:, 0, 0].tolist()


def test_a_similarity_by_hand():
    """Scale, then a turn from x (right) towards y (down), then the shift."""
    assert at([2.0, 1.0], Pose(similarity(theta(3, 90, 10, 20)))) == pytest.approx([10 - 3, 20 + 6])
    assert at([2.0, 1.0], Pose(similarity(theta(1, 0, 5, -4)))) == pytest.approx([7, -3])
    assert at([4.0, 0.0], Pose(similarity(theta(1, 30)))) == pytest.approx([4 * math.cos(math.pi / 6), 2])


def test_a_chain_applies_the_inner_one_first():
    shift, turn = similarity(theta(x=5)), similarity(theta(2, 90))
    assert at([1.0, 0.0], Pose(chain(turn, shift))) == pytest.approx([0, 12])
    assert at([1.0, 0.0], Pose(chain(shift, turn))) == pytest.approx([5, 2])


def test_positions_are_counted_from_the_centre():
    p = coordinates(slice(3, 5), slice(10, 13), H, W)
    assert p.shape == (2, 2, 3)
    assert p[0].tolist() == [[-16, -15, -14]] * 2 and p[1, :, 0].tolist() == [-14.5, -13.5]


def test_distortion_moves_a_point_outwards():
    """p (1 + k r^2), r = 1 at half the diagonal, after the matrix."""
    corner = [W / 2, H / 2]
    assert at(corner, Pose(IDENTITY, 0.1)) == pytest.approx([1.1 * v for v in corner])
    half = [W / 4, -H / 4]
    assert at(half, Pose(IDENTITY, -0.2)) == pytest.approx([(1 - 0.2 / 4) * v for v in half])
    assert at(half, Pose(similarity(theta(2)), 0.1)) == pytest.approx([2 * 1.1 * v for v in half])


@pytest.mark.parametrize("how", [sample, sample_sharply])
def test_samples_at_pixels_are_the_pixels(how):
    x = random(2, H, W)
    whole = coordinates(*WHOLE, H, W)
    assert torch.allclose(how(x, whole, H, W), x, atol=1e-4)
    shifted = how(x, whole + torch.tensor([3.0, -2.0])[:, None, None], H, W)
    assert torch.allclose(shifted[:, 2:, :-3], x[:, :-2, 3:], atol=1e-4)
    assert torch.allclose(shifted[:, 12, -3:], x[:, 10, -1:], atol=0.05)  # the border's colour goes on
    part = how(x[:, 10:30, 20:50], coordinates(slice(14, 26), slice(26, 44), H, W), H, W, (10, 20))
    assert torch.allclose(part, x[:, 14:26, 26:44], atol=1e-4)


@pytest.mark.parametrize("axis", [0, 1])
def test_samples_between_pixels_follow_a_wave(axis):
    """Sharp sampling to 3 percent of a wave of five pixels; also a quarter from a pixel."""
    grid = coordinates(*WHOLE, H, W)
    for offset in (0.5, 0.25, -0.25):
        shift = torch.tensor([offset, 0.0] if axis == 0 else [0.0, offset])[:, None, None]
        wave = (2 * math.pi / 5 * grid[axis]).sin()[None]
        want = (2 * math.pi / 5 * (grid + shift)[axis]).sin()
        got = sample_sharply(wave, grid + shift, H, W)[0]
        assert (got - want)[10:-10, 10:-10].abs().max() < 0.03


def test_inside_reaches_half_a_pixel_beyond_the_last():
    q = torch.tensor([[-26.5, -26.4, 0.0, 26.5, 26.6], [0.0, 0.0, 18.1, 17.9, 0.0]])[:, None]
    assert inside(q, H, W)[0].tolist() == [1, 1, 0, 1, 0]
    assert inside(torch.tensor([[0.0, 0.0], [-18.0, 18.01]])[:, None], H, W)[0].tolist() == [1, 0]


@pytest.mark.parametrize(
    "pose", [Pose(similarity(theta(1.05, 3, 4, -6)), 0.05), Pose(similarity(theta(0.9, -2, -9, 3)))]
)
def test_a_window_reads_what_the_whole_frame_shows_there(pose):
    frames = torch.cat([texture(H, W, seed=k) for k in (1, 2)])
    stack = Stack(frames, [Pose(IDENTITY), pose])
    x, covered = stack.read(1, WHOLE)
    q = place(coordinates(*WHOLE, H, W), pose, H, W)
    assert torch.allclose(x, sample_sharply(frames[1].movedim(-1, 0), q, H, W).clamp(0, 1), atol=1e-5)
    assert torch.equal(covered, inside(q, H, W)) and 0 < covered.mean()
    for window in ((slice(8, 20), slice(16, 40)), (slice(0, 8), slice(48, 53)), (slice(28, 36), slice(0, 9))):
        part, there = stack.read(1, window)
        assert torch.allclose(part, x[(slice(None), *window)], atol=1e-4)
        assert torch.equal(there, covered[window])


def test_gain_is_on_light():
    frames = 0.4 * random(1, H, W, 3)
    x, _ = Stack(frames, [Pose(IDENTITY, 0.0, 1.5)]).read(0, WHOLE)
    assert torch.allclose(x.movedim(0, -1), encode_srgb(1.5 * decode_srgb(frames[0])), atol=1e-4)


def test_without_poses_frames_are_read_as_they_are():
    frames = random(2, H, W, 3)
    x, covered = Stack(frames.half()).read(1, (slice(5, 9), slice(30, 41)))
    assert covered is None and x.dtype == torch.float32
    assert torch.equal(x, frames[1, 5:9, 30:41].half().float().movedim(-1, 0))
    assert Stack(frames).size == (H, W) and len(Stack(frames)) == 2


def test_frames_gather_in_their_order():
    frames = random(3, H, W, 3)
    assert torch.equal(gather_frames(frames), frames)
    for stream in (iter(frames), [frames[:1], frames[1:]]):
        gathered = gather_frames(stream)
        assert gathered.shape == (3, H, W, 3) and torch.equal(gathered.float(), frames.half().float())
