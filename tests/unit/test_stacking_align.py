"""Registration of a stack as properties: known motions and exposures are found and undone."""

import math

import numpy as np
import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.optical.stacking import align as align_
from rackfocus.pipelines.optical.stacking import fuse_stack
from rackfocus.pipelines.optical.stacking import register as register_
from rackfocus.pipelines.optical.stacking.align import align, exposure
from rackfocus.pipelines.optical.stacking.register import PhaseFit, Waves, local_phase, register
from rackfocus.pipelines.optical.stacking.warp import Pose, coordinates, place, sample, sample_sharply, similarity

H, W = 160, 224


def picture(seed=0):
    """[3, H, W] with detail at several scales."""
    g = torch.Generator().manual_seed(seed)
    sizes = [(H // s, W // s) for s in (2, 4, 8, 16)]
    octaves = [
        torch.nn.functional.interpolate(torch.rand(1, 3, *s, generator=g), (H, W), mode="bicubic") for s in sizes
    ]
    return (sum(octaves)[0] / 4).clamp(0.05, 0.95)


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
    """Largest distance in pixels at the corners between two motions, matrices [2, 3] or theta [4]."""
    corner = torch.tensor([[-W / 2, W / 2, W / 2], [-H / 2, H / 2, -H / 2], [1, 1, 1]], dtype=torch.float64)
    a, b = (t if t.ndim == 2 else similarity(t) for t in (torch.as_tensor(v, dtype=torch.float64) for v in (a, b)))
    return float(((a - b) @ corner).norm(dim=0).max())


@pytest.mark.parametrize(
    "theta",
    [
        (0.0, 0.0, 0.0, 0.0),
        (0.03, 0.0, 0.0, 0.0),
        (0.0, math.radians(0.5), 0.0, 0.0),
        (0.0, 0.0, 5.0, -3.0),
        (-0.03, math.radians(-0.5), -5.0, 3.0),
    ],
)
def test_motion_is_found(theta):
    x = picture()
    assert border_error(register(moved(x, theta, gain=1.1), x), theta) < 0.06


def test_motion_is_found_in_spite_of_another_focus():
    """The left half of one frame is as blurred as the right half of the other."""
    x = picture()
    soft = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(x[None], (2, 2, 2, 2), mode="reflect"), 5, 1)[0]
    left = (torch.arange(W) < W // 2).float()
    theta = (0.01, math.radians(0.3), 2.0, -1.5)
    found = register(moved(soft * left + x * (1 - left), theta), x * left + soft * (1 - left))
    assert border_error(found, theta) < 0.1


def test_clipped_discs_do_not_pull():
    """A white disc that stays in place, or grows, says nothing about the motion."""
    y, x = torch.meshgrid(torch.arange(H) - 80.0, torch.arange(W) - 130.0, indexing="ij")
    theta, plain = (0.0, 0.0, 3.0, 2.0), picture()
    moving, fixed = moved(plain, theta), plain.clone()
    moving[:, torch.hypot(x, y) < 34] = 1.0
    fixed[:, torch.hypot(x, y) < 28] = 1.0
    assert border_error(register(moving, fixed), theta) < 0.06


def test_local_phase_of_a_wave():
    """Across: (cos, sin) of the phase, growing with x; the height is the wave's; nothing runs down."""
    x = torch.arange(90.0).expand(70, 90)
    wave = 0.4 + 0.1 * (2 * math.pi / 10 * (x - 3)).cos()
    phasor, height = local_phase(wave)
    inner = (slice(None), slice(20, -20), slice(20, -20))
    assert phasor.shape == (2, 2, 70, 90) and height.shape == (2, 1, 70, 90)
    angle = 2 * math.pi / 10 * (x - 3)
    for k, want in enumerate((angle.cos(), angle.sin())):
        assert (phasor[0, k] - want)[inner[1:]].abs().max() < 0.02
    assert torch.allclose(height[0][inner], torch.tensor(0.05), rtol=0.02) and height[1][inner].max() < 1e-4
    down_phasor, down_height = local_phase(wave.T.contiguous())
    assert torch.allclose(down_phasor[1], phasor[0].mT, atol=1e-4)
    assert torch.allclose(down_height[1], height[0].mT, atol=1e-5)
    assert local_phase(torch.full((70, 90), 0.4))[1].max() < 1e-5


def test_the_jacobian_is_the_derivative_of_the_residual():
    """At rest, where both frames' gradients agree: log scale, rotation, x, y, each in pixels at the border."""
    wave = 0.1 * (2 * math.pi / 10 * torch.arange(150.0)).cos()
    waves = Waves.of(0.4 + wave + wave[:96, None], None)
    fit = PhaseFit(waves, waves, lambda: None)
    assert np.abs(fit.residual(np.zeros(4))).max() < 1e-4 and fit.unit.tolist() == [1 / 75, 1 / 75, 1, 1]
    J = fit.jacobian(np.zeros(4))
    for k, step in enumerate(np.eye(4) / 2):  # half a pixel: between pixels bicubic samples have the better slope
        numeric = fit.residual(step) - fit.residual(-step)
        assert numeric @ J[:, k] > 0.98 * np.linalg.norm(numeric) * np.linalg.norm(J[:, k])
        assert np.linalg.norm(J[:, k]) == pytest.approx(np.linalg.norm(numeric), rel=0.25)


def test_residual_and_jacobian_share_one_evaluation():
    waves = Waves.of(decode_srgb(picture()).mean(0)[:60, :93], None)
    pulses = []
    fit = PhaseFit(waves, waves, lambda: pulses.append(1))
    v = np.array([0.5, 0.2, 1.0, -1.0])
    first = fit.residual(v)
    fit.jacobian(v)
    assert len(pulses) == 1
    v += 0.1  # the same array with other numbers is another place
    assert not np.array_equal(fit.residual(v), first) and len(pulses) == 2
    assert np.array_equal(fit.residual(v - 0.1), first)


def test_what_is_beyond_either_frame_counts_nothing():
    waves = Waves.of(decode_srgb(picture()).mean(0)[:80, :120], None)
    fit = PhaseFit(waves, waves, lambda: None)
    fit.residual(np.array([0.0, 0.0, 30.0, 0.0]))
    x, y = fit.p
    assert fit.p.shape[1:] == (27, 40) and x.max() == 118 - 59.5 and y.min() == 1 - 39.5
    outside = (x > 60 - 5 - 30) | (x < -55) | (y.abs() > 35)
    assert (fit.weight[:, 0][:, outside] == 0).all() and (fit.weight[:, 0][:, ~outside] > 0).float().mean() > 0.9


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


def test_exposure_looks_at_what_is_neither_dark_nor_clipped():
    fixed = torch.full((3, 60, 93), 0.5)
    moving = encode_srgb(decode_srgb(fixed) / 1.25)
    fixed[:, :, :50], moving[:, :, :50] = 1.0, 0.99  # more than half of the picture says nothing
    step = similarity(torch.zeros(4, dtype=torch.float64))
    assert exposure(moving, fixed, step) == pytest.approx(1.25, abs=0.02)
    fixed[:, :, :50], moving[:, :, :50] = 0.02, 0.01
    assert exposure(moving, fixed, step) == pytest.approx(1.25, abs=0.02)
    assert exposure(torch.ones(3, 60, 93), torch.ones(3, 60, 93), step) == 1


@pytest.mark.parametrize("side", [1024, 112])
def test_poses_lead_from_the_first_frame(side, monkeypatch):
    """Steps between neighbours are chained, gains multiply, and a reduced copy's shift counts in full pixels."""
    monkeypatch.setattr(align_, "SIDE", side)
    x = picture()
    thetas, gains = [(0.0, 0.0, 0.0, 0.0), (0.02, 0.004, 4.0, -3.0), (0.03, -0.005, 7.0, 2.0)], [1.0, 0.92, 0.85]
    frames = [moved(x, t, g) for t, g in zip(thetas, gains, strict=True)]
    ticks, pulses = [], []
    poses = align(frames.__getitem__, 3, [0.0] * 3, lambda: ticks.append(1), lambda: pulses.append(1))
    for pose, theta, gain in zip(poses, thetas, gains, strict=True):
        assert border_error(pose.matrix, theta) < (0.1 if side == 1024 else 0.3)
        assert pose.gain == pytest.approx(1 / gain, abs=0.01)
    assert poses[0].gain == 1 and len(ticks) == 3 and len(pulses) > 10


def test_frames_are_straightened_before_they_are_registered():
    x = picture()
    frames = [x, moved(x, (0.0, 0.0, 0.0, 0.0), distortion=0.04)]
    poses = align(frames.__getitem__, 2, [0.0, 0.04], lambda: None, lambda: None)
    assert [p.distortion for p in poses] == [0, 0.04]
    assert border_error(poses[1].matrix, (0.0, 0.0, 0.0, 0.0)) < 0.1


def test_align_undoes_motion_and_exposure():
    x = picture()
    frames = torch.stack([x, moved(x, (0.02, 0.005, 4.0, -3.0), 0.92), moved(x, (0.03, -0.004, -2.0, 5.0), 1.08)])
    frames = frames.movedim(1, -1)
    inner = (slice(12, -12), slice(12, -12))
    want = frames[0][inner]

    def error(**k):
        return float((fuse_stack(frames, method="average", **k).image[0][inner] - want).square().mean().sqrt())

    aligned = error(align=True)
    assert aligned < 0.01
    assert error() > 4 * aligned


def test_given_distortion_is_undone_frame_by_frame():
    x = picture()
    bent = torch.stack([x, moved(x, (0.0, 0.0, 0.0, 0.0), distortion=0.03)]).movedim(1, -1)
    inner = (slice(16, -16), slice(16, -16))
    want = x.movedim(0, -1)[inner]
    straight = fuse_stack(bent[1:], distortion=0.03).image[0]
    assert (straight[inner] - want).abs().mean() < 0.2 * (bent[1][inner] - want).abs().mean()
    each = fuse_stack(bent, distortion=[0.0, 0.03], first=1, last=1)
    assert torch.equal(each.image[0], straight) and (each.order == 1).all()


def test_what_a_frame_does_not_show_comes_from_the_others():
    x = picture().movedim(0, -1)
    shifted = torch.zeros_like(x)
    shifted[:, :-16] = x[:, 16:]  # the frame lost the 16 columns at the left
    shifted[:, -16:] = x[:, -1:]
    r = fuse_stack(torch.stack([x, shifted]), method="depth", align=True)
    assert (r.image[0, 8:-8, 2:14] - x[8:-8, 2:14]).abs().mean() < 1e-3
    assert torch.allclose(r.confidence[0, 20:-20, 4:10], torch.tensor(0.5), atol=0.02)  # 0 in one of two frames


def test_distortion_must_fit_the_stack():
    with pytest.raises(RefocusError, match="3 frames"):
        fuse_stack(torch.zeros(3, 8, 8, 3), distortion=[0.1, 0.2])


def test_coarse_levels_find_a_shift_of_many_wavelengths(monkeypatch):
    x, theta = picture(), (0.0, 0.0, 14.0, 9.0)
    assert border_error(register(moved(x, theta), x), theta) < 0.1
    monkeypatch.setattr(register_, "COARSEST", 1000)
    assert border_error(register(moved(x, theta), x), theta) > 1


def test_what_clips_is_left_out_at_full_size(monkeypatch):
    """Within a wavelength of a clipped pixel of either frame."""
    seen, real = [], register_._unclipped
    monkeypatch.setattr(register_, "_unclipped", lambda image: seen.append(real(image)) or seen[-1])
    moving, fixed = picture(), picture()
    moving[0, 50, 120] = 1.0
    register(moving, fixed)
    assert len(seen) == 2 and (seen[1] == 1).all()
    assert (seen[0][40:61, 110:131] == 0).all() and seen[0].sum() == H * W - 21 * 21
