"""Registration of a stack: focal breathing (scale), shift, small rotation and exposure drift.

Each frame is registered to its neighbour, whose blur is nearly its own; the steps are chained back to the first.
"""
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...optics.light import decode_srgb
from .filters import gaussian
from .warp import Pose, chain, coordinates, place, sample, similarity

# Pictures are registered at this many pixels of the long side at most; the short side of the coarsest level.
SIDE, COARSEST = 1024, 20
ITERATIONS = 12
# A step below this many pixels at the picture's border ends a level.
SETTLED = 0.003
# Window in which the change of blur between neighbours is taken as constant.
BLUR_WINDOW = 4.0
# sRGB; residuals beyond this and beyond a multiple of their median are occlusion, not misalignment. The multiple
# narrows at the finest level (graduated non-convexity, Blake and Zisserman 1987).
ROBUST, WIDE, NARROW = 0.002, 2.0, 1.0
# Light between these counts for exposure: not noise, not clipped.
EXPOSED = (0.02, 0.9)


def align(frames: Callable[[int], Tensor], count: int, distortion: list[float], tick: Callable[[], None],
          pulse: Callable[[], None]) -> list[Pose]:
    """frames(i) -> [3, H, W] sRGB; distortion: one coefficient a frame (see Pose) -> a pose for each frame, the first
    being the reference. tick is called after each frame, pulse within it."""
    poses, before = [], None
    for i in range(count):
        frame = frames(i)
        h, w = frame.shape[-2:]
        factor = max(1, -(-max(h, w) // SIDE))
        small = F.avg_pool2d(F.pad(frame[None], (0, -w % factor, 0, -h % factor), mode="replicate"), factor)[0]
        if distortion[i]:
            sh, sw = small.shape[-2:]
            straight = Pose(torch.eye(2, 3, dtype=torch.float64), distortion[i])
            grid = coordinates(slice(0, sh), slice(0, sw), sh, sw, small.device)
            small = sample(small, place(grid, straight, sh, sw), sh, sw)
        if before is None:
            poses.append(Pose(torch.eye(2, 3, dtype=torch.float64), distortion[i]))
        else:
            theta = register(small.mean(0), before.mean(0), pulse)
            step = similarity(theta)
            gain = exposure(small, before, step)
            step[:, 2] *= factor
            poses.append(Pose(chain(step, poses[-1].matrix), distortion[i], gain * poses[-1].gain))
        before = small
        tick()
    return poses


def register(moving: Tensor, fixed: Tensor, pulse: Callable[[], None] = lambda: None) -> Tensor:
    """moving, fixed [H, W] luma -> theta [4] float64 with fixed(p) = moving(similarity(theta) p), coarse to fine."""
    levels = [(moving, fixed)]
    while min(levels[-1][0].shape) >= 2 * COARSEST:
        levels.append(tuple(F.avg_pool2d(x[None, None], 2)[0, 0] for x in levels[-1]))
    theta = torch.zeros(4, dtype=torch.float64)
    for level in reversed(range(len(levels))):
        unit = torch.tensor([1.0, 1.0, 0.5 ** level, 0.5 ** level], dtype=torch.float64)
        theta = theta * unit
        for multiple in ((WIDE,) if level else (WIDE, NARROW)):
            theta = _refine(theta, *levels[level], multiple, pulse)
        theta = theta / unit
    return theta


def exposure(moving: Tensor, fixed: Tensor, step: Tensor) -> float:
    """moving, fixed [3, H, W] sRGB, step [2, 3] -> factor on moving's light that gives fixed's: the median ratio of
    the two after a blur, which makes defocus count little."""
    h, w = fixed.shape[-2:]
    q = place(coordinates(slice(0, h), slice(0, w), h, w, fixed.device), Pose(step), h, w)
    sigma = max(h, w) / 100
    a = gaussian(decode_srgb(sample(moving, q, h, w).clamp(0, 1)), sigma)
    b = gaussian(decode_srgb(fixed), sigma)
    good = (torch.minimum(a, b) > EXPOSED[0]) & (torch.maximum(a, b) < EXPOSED[1])
    return float((b[good] / a[good]).median()) if good.any() else 1.0


def _refine(theta: Tensor, moving: Tensor, fixed: Tensor, multiple: float, pulse: Callable[[], None]) -> Tensor:
    """One level of Lucas-Kanade (Baker and Matthews, 2004): Gauss-Newton on fixed(p) - gain * moving(M p) - offset -
    change of blur, with Geman-McClure weights against occlusion."""
    h, w = fixed.shape
    p = coordinates(slice(0, h), slice(0, w), h, w, fixed.device)
    source, (fx, fy) = torch.stack([moving, *_gradient(moving)]), _gradient(fixed)
    for _ in range(ITERATIONS):
        q = place(p, Pose(similarity(theta)), h, w)
        seen = ((q[0].abs() < w / 2 - 2) & (q[1].abs() < h / 2 - 2)).float()
        if not seen.any():
            return theta
        value, gx, gy = sample(source, q, h, w)
        gain, offset = _match(value, fixed, seen)
        # Gradient of both (efficient second-order minimisation, Malis 2004): of one alone, a change of blur biases.
        gx, gy = ((a + b / gain) / 2 for a, b in ((gx, fx), (gy, fy)))
        rx, ry = q[0] - float(theta[2]), q[1] - float(theta[3])   # d(M p) / d(log scale); rotation: (-ry, rx)
        j = torch.stack([gx * rx + gy * ry, gy * rx - gx * ry, gx, gy]) * gain
        j = torch.cat([j, value[None], torch.ones_like(value)[None]])
        r = fixed - gain * value - offset
        r = r - _blur_change(r, fixed + gain * value)
        scale = max(ROBUST, multiple * float(r[seen > 0].abs().median()))
        weight = seen / (1 + (r / scale).square()).square()
        a = torch.einsum("ihw,jhw->ij", j * weight, j).double().cpu()
        b = torch.einsum("ihw,hw->i", j * weight, r).double().cpu()
        step = torch.linalg.solve(a + torch.diag(a.diagonal() * 1e-6 + 1e-9), b)[:4]
        theta = theta + step
        pulse()
        if float(step[:2].norm() * max(h, w) / 2 + step[2:].norm()) < SETTLED:
            break
    return theta


def _match(value: Tensor, fixed: Tensor, seen: Tensor) -> tuple[float, float]:
    """Gain and offset that bring value to fixed where seen, by least squares."""
    n = seen.sum()
    mv, mf = (value * seen).sum() / n, (fixed * seen).sum() / n
    gain = ((fixed - mf) * (value - mv) * seen).sum() / (((value - mv).square() * seen).sum() + 1e-6)
    gain = gain.clamp(0.5, 2.0)
    return float(gain), float(mf - gain * mv)


def _blur_change(r: Tensor, both: Tensor) -> Tensor:
    """The part of the residual that a local change of blur explains: to first order that is a multiple of the
    Laplacian (the heat equation), and the multiple is fitted in a window."""
    p = F.pad(both[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    bend = p[1:-1, 2:] + p[1:-1, :-2] + p[2:, 1:-1] + p[:-2, 1:-1] - 4 * both
    num, den = gaussian(torch.stack([r * bend, bend * bend]), BLUR_WINDOW)
    return num / (den + 1e-6) * bend


def _gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    p = F.pad(x[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    return (p[1:-1, 2:] - p[1:-1, :-2]) / 2, (p[2:, 1:-1] - p[:-2, 1:-1]) / 2
