"""Registration of a stack as properties: known motions and exposures are found and undone."""

import math

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.image.pyramid import down, up
from rackfocus.pipelines.optical.stacking import fuse_stack
from rackfocus.pipelines.optical.stacking.align import exposure
from rackfocus.pipelines.optical.stacking.register import register
from rackfocus.pipelines.optical.stacking.warp import Pose, coordinates, place, sample, sample_sharply, similarity

H, W = 160, 224


def picture(seed=0):
    """[3, H, W] with detail at several scales, a margin wider than the picture that is used."""
    g = torch.Generator().manual_seed(seed)
    x = (
        sum(
            torch.nn.functional.interpolate(torch.rand(1, 3, H // s, W // s, generator=g), (H, W), mode="bicubic")
            for s in (2, 4, 8, 16)
        )[0]
        / 4
    )
    return x.clamp(0.05, 0.95)


def moved(x, theta, gain=1.0, distortion=0.0):
    """x(p) -> y with y(similarity(theta) p) = x(p), so that register(y, x) is theta."""
    m = similarity(torch.tensor(theta, dtype=torch.float64))
    back = torch.linalg.inv(torch.cat([m, torch.tensor([[0.0, 0, 1]], dtype=torch.float64)]))[:2]
    grid = coordinates(slice(0, H), slice(0, W), H, W)
    if distortion:  # y(p (1 + k r^2)) = x(p): invert by fixed point
        q = grid.clone()
        for _ in range(20):
            q = grid / (1 + distortion * q.square().sum(0) * 4 / (H * H + W * W))
        grid = q
    y = sample(x, place(grid, Pose(back), H, W), H, W).clamp(0, 1)
    return encode_srgb(decode_srgb(y) * gain)


def border_error(a, b):
    """Largest distance in pixels at the corners between two motions."""
    corner = torch.tensor([[-W / 2, W / 2, W / 2], [-H / 2, H / 2, -H / 2], [1, 1, 1]], dtype=torch.float64)
    return float(((similarity(a) - similarity(b)) @ corner).norm(dim=0).max())


@pytest.mark.parametrize(
    "theta",
    [
        (0.0, 0.0, 0.0, 0.0),
        (0.03, 0.0, 0.0, 0.0),
        (-0.03, 0.0, 0.0, 0.0),
        (0.0, math.radians(0.5), 0.0, 0.0),
        (0.0, 0.0, 5.0, -5.0),
        (0.03, math.radians(-0.5), -5.0, 3.0),
    ],
)
def test_motion_is_found(theta):
    x = picture()
    found = register(moved(x, theta, gain=1.1), x)
    assert border_error(found, torch.tensor(theta, dtype=torch.float64)) < 0.1


def test_motion_is_found_in_spite_of_another_focus():
    """The left half of one frame is as blurred as the right half of the other."""
    x = picture()
    soft = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(x[None], (2, 2, 2, 2), mode="reflect"), 5, 1)[0]
    left = (torch.arange(W) < W // 2).float()
    theta = (0.01, math.radians(0.3), 2.0, -1.5)
    found = register(moved(soft * left + x * (1 - left), theta), x * left + soft * (1 - left))
    assert border_error(found, torch.tensor(theta, dtype=torch.float64)) < 0.2


def test_resampling_keeps_fine_detail():
    """Half a pixel to and fro costs a wave of three pixels at most 3 percent; bicubic alone takes more than 10."""
    wave = (torch.arange(96) * 2 * math.pi / 3).sin().expand(1, 24, 96)
    grid = coordinates(slice(0, 24), slice(0, 96), 24, 96)
    half = torch.tensor([0.5, 0.0])[:, None, None]

    def left(how):
        back = how(how(wave, grid + half, 24, 96), grid - half, 24, 96)
        return float(back[0, 12, 24:-24].std() / wave[0, 12, 24:-24].std())

    assert left(sample_sharply) > 0.97
    assert left(sample) < 0.9


@pytest.mark.parametrize("gain", [0.9, 1.1])
def test_exposure_is_found(gain):
    x = picture()
    theta = (0.01, 0.0, 2.0, 0.0)
    got = exposure(moved(x, theta, gain), x, similarity(torch.tensor(theta, dtype=torch.float64)))
    assert abs(got * gain - 1) < 0.005


def test_align_undoes_motion_and_exposure():
    x = picture()
    frames = torch.stack([x, moved(x, (0.02, 0.005, 4.0, -3.0), 0.92), moved(x, (0.03, -0.004, -2.0, 5.0), 1.08)])
    frames = frames.movedim(1, -1)
    inner = (slice(12, -12), slice(12, -12))
    want = frames[0][inner]

    def error(**k):
        return float((fuse_stack(frames, method="average", **k).image[0][inner] - want).square().mean().sqrt())

    assert error(align=True) < 0.01
    assert error() > 4 * error(align=True)


def test_given_distortion_is_undone():
    x = picture()
    bent = moved(x, (0.0, 0.0, 0.0, 0.0), distortion=0.03).movedim(0, -1)[None]
    inner = (slice(16, -16), slice(16, -16))
    want = x.movedim(0, -1)[inner]
    straight = fuse_stack(bent, distortion=0.03).image[0][inner]
    assert (straight - want).abs().mean() < 0.2 * (bent[0][inner] - want).abs().mean()


def test_what_a_frame_does_not_show_comes_from_the_others():
    x = picture().movedim(0, -1)
    shifted = torch.zeros_like(x)
    shifted[:, :-16] = x[:, 16:]  # the frame lost the 16 columns at the left
    shifted[:, -16:] = x[:, -1:]
    fused = fuse_stack(torch.stack([x, shifted]), method="depth", align=True).image[0]
    assert (fused[8:-8, 2:14] - x[8:-8, 2:14]).abs().mean() < 1e-3


def test_distortion_must_fit_the_stack():
    with pytest.raises(RefocusError, match="3 frames"):
        fuse_stack(torch.rand(3, 8, 8, 3), distortion=[0.1, 0.2])


def test_up_puts_samples_back_where_down_took_them():
    ramp = torch.arange(33.0).expand(1, 1, 33, 33)
    assert torch.allclose(up(down(ramp), 33, 33)[..., 4:-4], ramp[..., 4:-4])
