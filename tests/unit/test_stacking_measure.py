"""The measure of sharpness, and what is made of it: weights, position, fusion. By hand."""

import math

import pytest
import torch

from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.optical.stacking import fuse_stack, methods
from rackfocus.pipelines.optical.stacking import sharpness as S
from rackfocus.pipelines.optical.stacking.source import Stack
from rackfocus.tests.pictures import random, stripes

H, W = 37, 53


def grid(h=H, w=W):
    return torch.meshgrid(torch.arange(h).float(), torch.arange(w).float(), indexing="ij")


def test_the_measure_is_the_sum_of_both_second_differences():
    """|2x - left - right| + |2x - up - down| of a x^2 + b y^2 is 2 |a| + 2 |b|; of a plane it is 0."""
    y, x = grid()
    for a, b in ((0.01, 0.0), (0.0, 0.02), (0.01, -0.02)):
        m = S.sharpness((a * x * x + b * y * y).expand(1, 3, H, W))
        assert torch.allclose(m[0, 8:-8, 8:-8], torch.tensor(3 * (2 * abs(a) + 2 * abs(b))), rtol=1e-3)
    assert S.sharpness((0.01 * x - 0.02 * y).expand(1, 3, H, W))[0, 8:-8, 8:-8].max() < 1e-5
    assert S.sharpness(torch.full((1, 3, H, W), 0.7)).max() < 1e-5  # also at the border


def test_the_fine_measure_adds_two_octaves_where_they_lie():
    x = torch.full((1, 3, 48, 76), 0.5)
    x[..., 20, 60] = 1.0
    m = S.fine_measure(x)[0]
    assert divmod(int(m.argmax()), 76) == (20, 60)
    centre = [float((m * t).sum() / m.sum()) for t in grid(48, 76)]
    assert centre == pytest.approx([20, 60], abs=0.3)
    assert float(m.sum()) > 1.2 * float(S.sharpness(x).sum())
    _, q = grid(48, 76)
    m = S.fine_measure((0.001 * q * q).expand(1, 3, 48, 76))[0]
    assert torch.allclose(m[16:-16, 16:-16], torch.tensor(3 * 0.002 * (1 + 4)), rtol=0.02)


def test_the_coarse_measure_adds_an_octave_for_each_doubling():
    """Octave k sees a x^2 with 4^k times the second difference."""
    _, x = grid(120, 152)
    for octaves in (1, 3):
        m = S.coarse_measure((0.0001 * x * x).expand(1, 3, 120, 152), octaves)[0]
        want = 3 * 0.0002 * sum(4**k for k in range(octaves))
        assert torch.allclose(m[48:-48, 48:-48], torch.tensor(want), rtol=0.02)
    assert [S.coarse_octaves(h, w) for h, w in ((320, 480), (480, 320), (20, 30), (1080, 1920), (2160, 3840))] == [
        1,
        1,
        1,
        3,
        4,
    ]


def test_a_quarter_keeps_colour_light_and_what_clips():
    frame = torch.zeros(3, 45, 62)
    frame[0], frame[1] = 0.8, 0.4
    frame[2, 16:25, 40:49] = 1.0
    colour, light, clipped = S.quarter(frame)
    assert colour.shape == (3, 12, 16) and light.shape == clipped.shape == (1, 12, 16)
    assert torch.allclose(colour[:2, 0, 0], torch.tensor([0.8, 0.4]))
    assert float(light[0, 0, 0]) == pytest.approx(float(decode_srgb(torch.tensor([0.8, 0.4, 0.0])).mean()), abs=1e-5)
    assert clipped[0, 5, 11] > 0.9 and clipped[0, 5, 4] == clipped[0, 10, 5] == 0  # sample (5, 11) lies on (20, 44)


def test_lost_light_tells_the_frame_in_which_a_highlight_is_small():
    """The same light: a dot far above white in frame 1, a clipped disc in frames 0 and 2. Contrast prefers the disc."""
    y, x = grid(80, 132)
    distance = torch.hypot(y - 30, x - 90)
    frames = torch.full((3, 80, 132, 3), 0.1)
    frames[0][distance < 12] = 1.0
    frames[1][distance < 3] = 1.0
    frames[2][distance < 14] = 1.0
    survey = S.survey(Stack(frames), lambda: None)
    assert survey.shape == (3, 20, 33)
    assert survey[:, 7, 22].argmax() == 1  # sample (7, 22) lies on pixel (28, 88)
    plain = torch.stack([S.coarse_measure(S.quarter(f.movedim(-1, 0))[0][None], 1)[0] for f in frames])
    assert torch.allclose(survey[:, 15, 3], plain[:, 15, 3], atol=1e-4)  # far from any clipped pixel
    fused = fuse_stack(frames, method="depth")
    assert torch.allclose(fused.image[0][distance > 5], torch.tensor(0.1), atol=0.02)
    assert torch.allclose(fused.order[0, 28:33, 88:93], torch.tensor(0.5), atol=0.1)


def test_the_survey_is_the_same_in_tiles(monkeypatch):
    frames, ticks = random(2, 150, 210, 3), []
    whole = S.survey(Stack(frames), lambda: ticks.append(1))
    assert len(ticks) == 2 * len(S.survey_tiles(150, 210)) == 2
    monkeypatch.setattr(S, "SURVEY_AREA", 80 * 80)
    assert torch.allclose(S.survey(Stack(frames), lambda: ticks.append(1)), whole, atol=1e-5)
    assert len(ticks) == 2 + 2 * len(S.survey_tiles(150, 210)) > 12


def test_weights_by_hand():
    """(m + 0.02)^contrast, over the sum: 0.1^2, 0.2^2, 0.2^2 -> 1 : 4 : 4."""
    measure = torch.tensor([0.08, 0.18, 0.18])[:, None, None].expand(3, 4, 6)
    assert torch.allclose(methods.weights(measure, 2.0)[:, 0, 0], torch.tensor([1, 4, 4]) / 9)
    assert torch.allclose(methods.weights(torch.zeros(4, 2, 3), 8.0), torch.tensor(0.25))


def test_the_average_is_of_light_with_its_contrast():
    frames = torch.stack([torch.full((4, 6, 3), v) for v in (0.2, 0.8)])
    measure = torch.tensor([0.18, 0.08])[:, None, None].expand(2, 4, 6)
    w = torch.tensor([2**8, 1]) / (2**8 + 1)
    want = encode_srgb((decode_srgb(torch.tensor([0.2, 0.8])) * w).sum())
    assert torch.allclose(methods.fuse_average(frames, measure), want)
    same = methods.fuse_average(frames, torch.zeros(2, 4, 6))
    assert torch.allclose(same, encode_srgb(decode_srgb(torch.tensor([0.2, 0.8])).mean()))


def test_the_pyramid_weighs_each_octave():
    """Equal measures: the mean of sRGB; a clear winner: that frame; the power is 16."""
    frames = torch.stack([random(H, W, 3), random(H, W, 3, seed=1)])
    mean = methods.fuse_pyramid(frames, torch.zeros(2, H, W))
    assert torch.allclose(mean, frames.mean(0), atol=1e-5)
    measure = torch.tensor([10.0, 0.1])[:, None, None].expand(2, H, W)
    assert torch.allclose(methods.fuse_pyramid(frames, measure), frames[0], atol=1e-5)
    measure = torch.tensor([0.08, 0.1])[:, None, None].expand(2, H, W)
    w = 1.2**16 / (1 + 1.2**16)
    want = frames[0] * (1 - w) + frames[1] * w
    assert torch.allclose(methods.fuse_pyramid(frames, measure), want, atol=1e-4)
    halves = torch.stack([stripes(H, W, 1.0, 0.0)[0], stripes(H, W, 0.0, 1.0)[0]])
    fused = methods.fuse_pyramid(frames, halves)
    assert torch.allclose(fused[:, :16], frames[0, :, :16], atol=1e-3)
    assert torch.allclose(fused[:, -16:], frames[1, :, -16:], atol=1e-3)


@pytest.mark.parametrize("at", [1.3, 1.7, 2.0, 2.45])
def test_the_peak_of_a_gaussian_lies_between_frames(at):
    k = torch.arange(5.0)
    measure = (2 * torch.exp(-((k - at) ** 2) / 2) - S.ROUNDING).clamp(min=0)[:, None, None].expand(5, 2, 3)
    position, confidence = methods.peak(measure)
    assert torch.allclose(position, torch.tensor(at), atol=1e-3)
    best = measure[:, 0, 0] + S.ROUNDING
    assert torch.allclose(confidence, 1 - best.mean() / best.max(), atol=1e-5)


def test_the_peak_at_either_end_and_of_a_plateau():
    measure = torch.zeros(4, 1, 3)
    measure[0, 0, 0] = measure[3, 0, 1] = 1  # the third pixel is alike in all frames
    measure[1, 0, 0] = measure[2, 0, 1] = 0.9
    position, confidence = methods.peak(measure)
    assert position[0, :2].tolist() == [0, 3]
    assert confidence[0, 2] == 0 and (confidence[0, :2] > 0.4).all()
    two = torch.tensor([[[0.5]], [[1.0]], [[1.0]]])
    assert float(methods.peak(two)[0]) == pytest.approx(1.5)  # two alike: half-way


def test_unsure_pixels_follow_sure_ones_of_their_surface():
    guide, position = stripes(H, 60, 0.2, 0.8)[0], stripes(H, 60, 1.0, 3.0)[0]
    confidence = torch.full((H, 60), 0.8)
    position[15:19, 10:14], confidence[15:19, 10:14] = 4.0, 0.0
    position[15:19, 45:49], confidence[15:19, 45:49] = 0.0, 0.0
    smooth = methods.smooth_position(position, confidence, guide)
    assert torch.allclose(smooth[:, :30], torch.tensor(1.0), atol=0.1)
    assert torch.allclose(smooth[:, 30:], torch.tensor(3.0), atol=0.1)
    assert smooth.min() >= 0 and smooth.max() <= 4
    nothing = methods.smooth_position(position, torch.zeros(H, 60), guide)
    assert nothing[16, 12] > smooth[16, 12] + 0.4  # without any confidence all count alike


@pytest.mark.parametrize(
    ("position", "share"), [(0.0, 0.0), (1.39, 1.0), (1.5, 1.5), (1.45, 1.25), (1.61, 2.0), (2.0, 2.0), (3.0, 3.0)]
)
def test_depth_takes_one_frame_or_two_neighbours(position, share):
    """Within 0.4 frames of its position a frame alone; between, linear."""
    frames = torch.arange(4.0)[:, None, None, None].expand(4, 3, 5, 3)
    got = methods.fuse_depth(frames, torch.full((3, 5), position))
    assert torch.allclose(got, torch.tensor(share), atol=1e-5)


def test_depth_of_one_frame():
    frame = random(1, 3, 5, 3)
    assert torch.equal(methods.fuse_depth(frame, torch.zeros(3, 5)), frame[0])
    assert math.isclose(methods.PLATEAU, 0.4)
