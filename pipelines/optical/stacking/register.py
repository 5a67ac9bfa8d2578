"""The similarity that brings one frame onto another whose focus differs: local phase, fitted coarse to fine."""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import least_squares
from torch import Tensor

from ...image.light import decode_srgb
from .warp import Pose, coordinates, place, sample, similarity

# Local phase: where the waves of a picture's detail stand, whatever their height.
#
# Defocus changes the height of every wave but, its disc being symmetric, not its place. So phase, unlike brightness,
# tells the motion between two frames that are blurred differently (Fleet and Jepson, "Computation of component image
# velocity from local phase information", 1990).

# Pixels from crest to crest, and the Gaussian window's sigma in wavelengths.
WAVELENGTH, WINDOW = 10.0, 0.5
# Light; waves lower than this are noise and rounding.
FAINT = 2e-4


def local_phase(light: Tensor) -> tuple[Tensor, Tensor]:
    """light [H, W] -> (unit phasors [2, 2, H, W], amplitude [2, 1, H, W]): of waves across and of waves down, each by
    a Gabor filter without its mean; a phasor is (cos, sin) of the phase and shrinks where the wave is FAINT."""
    sigma = WINDOW * WAVELENGTH
    n = math.ceil(3 * sigma)
    t = torch.arange(-n, n + 1, dtype=light.dtype, device=light.device)
    window = torch.exp(-t * t / (2 * sigma * sigma))
    window = window / window.sum()
    wave = 2 * math.pi / WAVELENGTH * t
    even, odd = window * wave.cos(), -window * wave.sin()
    even = even - even.sum() * window
    padded = F.pad(light[None, None], (n, n, n, n), mode="replicate")
    across = F.conv2d(F.conv2d(padded, window[None, None, :, None]), torch.stack([even, odd])[:, None, None])
    down = F.conv2d(F.conv2d(padded, window[None, None, None]), torch.stack([even, odd])[:, None, :, None])
    both = torch.cat([across, down])
    amplitude = both.square().sum(1, keepdim=True).sqrt()
    return both / (amplitude + FAINT), amplitude


# Short side of the coarsest level, at which a shift of WAVELENGTH / 2 can be found.
COARSEST = 40
# Phase is smooth: one pixel in so many of a row and of a column tells all.
STRIDE = 3
# This part of the short side is left out all round: what lies beyond a frame is not known.
MARGIN = 1 / 16
# A difference of phasors beyond this is occlusion, not misalignment.
ROBUST = 0.05
# Waves of equal height in both frames are in equal focus, and their phase is the surest.
AGREEMENT = 4.0
# sRGB value from which light may be clipped, also where exposure was lowered afterwards: the rim of a clipped disc
# moves with the disc's size.
CLIPPED = 0.95
ITERATIONS = 30


def register(moving: Tensor, fixed: Tensor, pulse: Callable[[], None] = lambda: None) -> Tensor:
    """moving, fixed [3, H, W] sRGB -> theta [4] float64 with fixed(p) = moving(similarity(theta) p).

    pulse is called often and may raise to cancel."""
    levels = [(decode_srgb(moving).mean(0), decode_srgb(fixed).mean(0))]
    while min(levels[-1][0].shape) >= 2 * COARSEST:
        levels.append(tuple(F.avg_pool2d(x[None, None], 2)[0, 0] for x in levels[-1]))
    theta = np.zeros(4)
    for level in reversed(range(len(levels))):
        unit = np.array([1.0, 1.0, 0.5**level, 0.5**level])
        trusted = [
            torch.ones_like(x) if level else _unclipped(full)
            for x, full in zip(levels[level], (moving, fixed), strict=True)
        ]
        theta = _fit(theta * unit, *levels[level], *trusted, pulse) / unit
    return torch.from_numpy(theta)


def _unclipped(image: Tensor) -> Tensor:
    """[3, H, W] sRGB -> [H, W], 0 within a wavelength of a clipped pixel, else 1."""
    r = round(WAVELENGTH)
    clipped = (image.amax(0) >= CLIPPED).float()[None, None]
    for window in ((1, 2 * r + 1), (2 * r + 1, 1)):
        clipped = F.max_pool2d(clipped, window, 1, (window[0] // 2, window[1] // 2))
    return 1 - clipped[0, 0]


def _fit(
    theta: np.ndarray, moving: Tensor, fixed: Tensor, trust: Tensor, fixed_trust: Tensor, pulse: Callable[[], None]
) -> np.ndarray:
    """One level: Cauchy's robust loss of the phasors' difference, minimised by scipy.

    The gradient is the mean of both frames' (efficient second-order minimisation, Malis 2004)."""
    h, w = fixed.shape
    thin = (..., slice(min(STRIDE // 2, h - 1), None, STRIDE), slice(min(STRIDE // 2, w - 1), None, STRIDE))
    p = coordinates(slice(0, h), slice(0, w), h, w, fixed.device)[thin]
    margin = MARGIN * min(h, w)

    def inner(q):
        return (q[0].abs() <= w / 2 - margin) & (q[1].abs() <= h / 2 - margin)

    (there, height), (here, here_height) = local_phase(moving), local_phase(fixed)
    source = torch.cat([there, *_gradient(there), height * trust], 1).flatten(0, 1)  # [2 * 7, H, W]
    here, slope_x, slope_y, here_height = (x[thin] for x in (here, *_gradient(here), here_height * fixed_trust))
    reach = max(h, w) / 2  # scale and rotation count in pixels at the border
    unit = np.array([1 / reach, 1 / reach, 1.0, 1.0])

    def system(v):
        pulse()
        q = place(p, Pose(similarity(torch.from_numpy(v * unit))), h, w)
        x, gx, gy, height = sample(source, q, h, w).unflatten(0, (2, 7)).split([2, 2, 2, 1], 1)
        product = height.clamp(min=0) * here_height
        weight = (2 * product / (height.square() + here_height.square() + 1e-12)).pow(AGREEMENT / 2)
        weight = weight * (inner(q) & inner(p))
        gx, gy = (gx + slope_x) / 2, (gy + slope_y) / 2
        rx, ry = q[0] - v[2], q[1] - v[3]  # d(M p) / d(log scale); rotation: (-ry, rx)
        j = torch.stack([(gx * rx + gy * ry) / reach, (gy * rx - gx * ry) / reach, gx, gy]) * weight
        return ((x - here) * weight).flatten().double().cpu().numpy(), j.flatten(1).T.double().cpu().numpy()

    at = {}

    def once(v):
        if v.tobytes() not in at:
            at.clear()
            at[v.tobytes()] = system(v)
        return at[v.tobytes()]

    found = least_squares(
        lambda v: once(v)[0],
        theta / unit,
        lambda v: once(v)[1],
        loss="cauchy",
        f_scale=ROBUST,
        max_nfev=ITERATIONS,
        xtol=1e-5,
        ftol=1e-7,
    )
    return found.x * unit


def _gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    """[N, C, H, W] -> its central differences along x and y."""
    p = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return (p[..., 1:-1, 2:] - p[..., 1:-1, :-2]) / 2, (p[..., 2:, 1:-1] - p[..., :-2, 1:-1]) / 2
