"""The similarity that brings one frame onto another whose focus differs: local phase, fitted coarse to fine.

Local phase tells where the waves of a picture's detail stand, whatever their height. Defocus changes the height of
every wave but, its disc being symmetric, not its place. So phase, unlike brightness, tells the motion between two
frames that are blurred differently (Fleet and Jepson, "Computation of component image velocity from local phase
information", 1990). On each level of a pyramid

    theta = argmin  sum_p rho( w(p) |phi_moving(M p) - phi_fixed(p)| ),        M = similarity(theta)

with phi the phasors of waves across and of waves down, rho Cauchy's robust loss, and w high where both frames have
waves of equal height: such a place is in equal focus.

Convention: positions are (x, y) in pixels from the picture's centre, x right, y down, as in warp.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import least_squares
from torch import Tensor

from ...image.filters import gradient, window_max
from ...image.light import decode_srgb
from .warp import Pose, coordinates, place, sample, similarity

WAVELENGTH, WINDOW = 10.0, 0.5  # px from crest to crest; sigma of the Gaussian window in wavelengths
FAINT = 2e-4  # light: waves lower than this are noise and rounding
COARSEST = 40  # px, short side of the coarsest level, at which a shift of WAVELENGTH / 2 can be found
STRIDE = 3  # phase is smooth: one pixel in so many of a row and of a column tells all
MARGIN = 1 / 16  # of the short side, left out all round: what lies beyond a frame is not known
ROBUST = 0.05  # a difference of phasors beyond this is occlusion, not misalignment
AGREEMENT = 4.0  # power of w: how fast trust falls where the waves' heights differ
# sRGB value from which light may be clipped, also where exposure was lowered afterwards: the rim of a clipped disc
# moves with the disc's size.
CLIPPED = 0.95
ITERATIONS = 30


def register(moving: Tensor, fixed: Tensor, pulse: Callable[[], None] = lambda: None) -> Tensor:
    """moving, fixed [3, H, W] sRGB -> theta [4] float64 with fixed(p) = moving(similarity(theta) p).

    pulse is called often and may raise to cancel."""
    levels = [(decode_srgb(moving).mean(0), decode_srgb(fixed).mean(0))]
    while min(levels[-1][0].shape) >= 2 * COARSEST:
        a, b = (F.avg_pool2d(x[None, None], 2)[0, 0] for x in levels[-1])
        levels.append((a, b))
    theta = np.zeros(4)
    for level in reversed(range(len(levels))):
        pulse()
        unit = np.array([1.0, 1.0, 0.5**level, 0.5**level])  # shift in the level's pixels
        trust = [None, None] if level else [_unclipped(x) for x in (moving, fixed)]
        of_moving = Waves.of(levels[level][0], trust[0])
        pulse()
        of_fixed = Waves.of(levels[level][1], trust[1])
        pulse()
        theta = _minimise(PhaseFit(of_moving, of_fixed, pulse), theta * unit) / unit
    return torch.from_numpy(theta)


def _unclipped(image: Tensor) -> Tensor:
    """[3, H, W] sRGB -> [H, W], 0 within a wavelength of a clipped pixel, else 1."""
    clipped = (image.amax(0) >= CLIPPED).float()[None, None]
    return 1 - window_max(clipped, 2 * round(WAVELENGTH) + 1)[0, 0]


def local_phase(light: Tensor) -> tuple[Tensor, Tensor]:
    """light [H, W] -> (phasor [2, 2, H, W], height [2, 1, H, W]): of waves across and of waves down, each by a Gabor
    filter without its mean; a phasor is (cos, sin) of the phase and shrinks where the wave is FAINT."""
    sigma = WINDOW * WAVELENGTH
    n = math.ceil(3 * sigma)
    t = torch.arange(-n, n + 1, dtype=light.dtype, device=light.device)
    window = torch.exp(-t * t / (2 * sigma * sigma))
    window = window / window.sum()
    wave = 2 * math.pi / WAVELENGTH * t
    even, odd = window * wave.cos(), -window * wave.sin()
    even = even - even.sum() * window
    gabor = torch.stack([even, odd])  # [2, 2 n + 1]
    padded = F.pad(light[None, None], (n, n, n, n), mode="replicate")
    across = F.conv2d(F.conv2d(padded, window[None, None, :, None]), gabor[:, None, None])
    down = F.conv2d(F.conv2d(padded, window[None, None, None]), gabor[:, None, :, None])
    both = torch.cat([across, down])  # [2, 2, H, W]
    height = both.square().sum(1, keepdim=True).sqrt()
    return both / (height + FAINT), height


@dataclass(frozen=True)
class Waves:
    """The local phase of one frame: waves across, then waves down (first axis)."""

    phasor: Tensor  # [2, 2, h, w] (cos, sin)
    slope_x: Tensor  # [2, 2, h, w] d phasor / dx
    slope_y: Tensor  # [2, 2, h, w] d phasor / dy
    height: Tensor  # [2, 1, h, w], 0 where the frame is not trusted

    @classmethod
    def of(cls, light: Tensor, trust: Tensor | None) -> "Waves":
        """light, trust [H, W] (0..1, None: all of it)."""
        phasor, height = local_phase(light)
        return cls(phasor, *gradient(phasor), height if trust is None else height * trust)

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.phasor.shape[-2:]
        return height, width

    def every(self, step: tuple[slice, slice]) -> "Waves":
        """On these rows and columns only."""
        rows, columns = step
        return Waves(*(x[..., rows, columns] for x in (self.phasor, self.slope_x, self.slope_y, self.height)))

    def stacked(self) -> Tensor:
        """[2 * 7, h, w], for at()."""
        return torch.cat([self.phasor, self.slope_x, self.slope_y, self.height], 1).flatten(0, 1)

    @classmethod
    def at(cls, stacked: Tensor, q: Tensor, size: tuple[int, int]) -> "Waves":
        """stacked waves of a frame [H, W] -> those at the positions q [2, h, w]."""
        return cls(*sample(stacked, q, *size).unflatten(0, (2, 7)).split([2, 2, 2, 1], 1))


class PhaseFit:
    """The least-squares problem of one level, over one pixel in STRIDE x STRIDE:

        residual  w (phi_moving(M p) - phi_fixed(p)),
        Jacobian  w (grad phi_moving(M p) + grad phi_fixed(p)) / 2 . d(M p) / d v

    The mean of both frames' gradients makes each step second-order (Malis, "Improving vision-based control using
    efficient second-order minimization techniques", 2004). w counts as constant.

    v [4] is theta in `unit`s, so that each number is about the pixels that it moves the border by: log scale and
    rotation times half the long side, x, y.
    """

    def __init__(self, moving: Waves, fixed: Waves, pulse: Callable[[], None]):
        h, w = self.size = fixed.size
        rows, columns = (slice(min(STRIDE // 2, n - 1), None, STRIDE) for n in self.size)
        self.moving, self.fixed, self.pulse = moving.stacked(), fixed.every((rows, columns)), pulse
        self.p = coordinates(slice(0, h), slice(0, w), h, w, fixed.phasor.device)[:, rows, columns]  # [2, h', w']
        self.inner = self._inner(self.p)
        self.reach = max(h, w) / 2
        self.unit = np.array([1 / self.reach, 1 / self.reach, 1.0, 1.0])
        self.v: np.ndarray | None = None  # where q, waves and weight were last evaluated

    def residual(self, v: np.ndarray) -> np.ndarray:
        """v [4] -> [2 * 2 * h' * w']."""
        self._move_to(v)
        return _rows((self.waves.phasor - self.fixed.phasor) * self.weight)

    def jacobian(self, v: np.ndarray) -> np.ndarray:
        """v [4] -> [2 * 2 * h' * w', 4]."""
        self._move_to(v)
        gx = (self.waves.slope_x + self.fixed.slope_x) / 2
        gy = (self.waves.slope_y + self.fixed.slope_y) / 2
        # d(M p) / d(log scale) = (rx, ry), d(M p) / d(rotation) = (-ry, rx): M p without its shift, and that turned.
        rx, ry = self.q[0] - v[2], self.q[1] - v[3]
        scale, rotation = (gx * rx + gy * ry) / self.reach, (gy * rx - gx * ry) / self.reach
        return np.stack([_rows(d * self.weight) for d in (scale, rotation, gx, gy)]).T

    def _move_to(self, v: np.ndarray) -> None:
        """Samples the moving frame at M p, unless that is where it was sampled last."""
        if self.v is not None and np.array_equal(v, self.v):
            return
        self.pulse()
        self.v = v.copy()
        self.q = place(self.p, Pose(similarity(torch.from_numpy(v * self.unit))), *self.size)  # [2, h', w']
        self.waves = Waves.at(self.moving, self.q, self.size)
        a, b = self.waves.height.clamp(min=0), self.fixed.height
        agreement = (2 * a * b / (a.square() + b.square() + 1e-12)).pow(AGREEMENT / 2)
        self.weight = agreement * (self._inner(self.q) & self.inner)  # [2, 1, h', w']

    def _inner(self, q: Tensor) -> Tensor:
        """q [2, h, w] -> [h, w]: inside the frame by MARGIN."""
        h, w = self.size
        margin = MARGIN * min(h, w)
        return (q[0].abs() <= w / 2 - margin) & (q[1].abs() <= h / 2 - margin)


def _rows(x: Tensor) -> np.ndarray:
    return x.flatten().cpu().double().numpy()  # in this order: not every device holds float64


def _minimise(fit: PhaseFit, theta: np.ndarray) -> np.ndarray:
    """theta [4] -> theta [4] at the minimum near it, by scipy's trust-region least squares."""
    found = least_squares(
        fit.residual,
        theta / fit.unit,
        fit.jacobian,
        loss="cauchy",
        f_scale=ROBUST,
        max_nfev=ITERATIONS,
        xtol=1e-5,
        ftol=1e-7,
    )
    return found.x * fit.unit
