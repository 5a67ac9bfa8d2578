"""The spatially varying blur A as a bank of discs with occlusion, and its exact adjoint.

The scene is cut into slices of equal blur radius r_k. With w_k the share of each pixel that lies in slice k, B_k the
convolution with the aperture's image at r_k, and T_k what the nearer slices let through,

    A x = sum_k T_k B_k (w_k x) / N,        N = sum_k T_k B_k w_k,        T_k = 1 - sum_{j nearer than k} h_jk B_j w_j

so light scatters from where it starts, nearer slices occlude farther ones, and a flat picture stays flat. h_jk is 0 for
two slices of one slope and 1 for two surfaces.

Convention: r < 0 in front of the focal plane, r > 0 behind it, so slices run from near to far as r rises.

References: X. Zhu, S. Cohen, S. Schiller, P. Milanfar, "Estimating Spatially Varying Defocus Blur From A Single
Image", IEEE TIP 2013 (the bank); M. Kraus, M. Strengert, "Depth-of-Field Rendering by Pyramidal Image Processing",
2007 (the normalised sum over slices).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...image.filters import fft_size
from ...image.progress import look
from ...optics.aperture import aperture_kernel

# Neighbouring discs of the bank differ by 1 px or 15 percent: the sum of two is then a disc with a soft rim, and
# the mean model error on a slope stays under a path tracer's noise.
STEP, GROWTH = 1.0, 0.15
# Two slices whose radii differ by less than this belong to one slope and do not occlude each other.
SLOPE, SLOPE_GROWTH = 1.0, 0.2
SHARP = 0.3  # px: a disc of a smaller radius is one pixel
_LEAST_COVER = 0.05

Box = tuple[int, int, int, int]  # y0, y1, x0, x1: rows y0 to y1 - 1, columns x0 to x1 - 1


@dataclass(frozen=True)
class Slice:
    """Pixels of about one blur radius. Light leaves them within `source` and arrives within `target`."""

    radius: float
    weight: Tensor  # [h, w] on source: w_k
    through: Tensor  # [h', w'] on target: T_k / N
    source: Box
    target: Box
    offset: tuple[int, int]  # (y, x) of target's first pixel in the transform
    size: tuple[int, int]  # of the transform
    spectrum: Tensor | None  # of the aperture's image; None: one pixel, no blur

    def scatter(self, x: Tensor) -> Tensor:
        """B_k x: [..., h, w] on source -> [..., h', w'] on target."""
        look()
        if self.spectrum is None:
            return x
        y = torch.fft.irfft2(torch.fft.rfft2(x, s=self.size) * self.spectrum, s=self.size)
        (oy, ox), (y0, y1, x0, x1) = self.offset, self.target
        return y[..., oy : oy + y1 - y0, ox : ox + x1 - x0]

    def gather(self, y: Tensor) -> Tensor:
        """B_k^T y: [..., h', w'] on target -> [..., h, w] on source."""
        look()
        if self.spectrum is None:
            return y
        (oy, ox), (y0, y1, x0, x1) = self.offset, self.source
        y = F.pad(y, (ox, self.size[1] - ox - y.shape[-1], oy, self.size[0] - oy - y.shape[-2]))
        return torch.fft.irfft2(torch.fft.rfft2(y) * self.spectrum.conj(), s=self.size)[..., : y1 - y0, : x1 - x0]


class BlurOperator:
    """radius [H, W] signed in pixels, aperture mask [1, S, S] -> A and its adjoint on linear light [C, H, W].

    seen [H, W]: share of what each pixel shows that comes from surfaces in the map; below 1 the rest was hidden in the
    sharp view. kept [H, W]: share of the pixel's own, unscattered light in what it shows; 1 = sharp and not occluded.
    """

    def __init__(self, radius: Tensor, aperture: Tensor):
        slices = [s for r, weight in slice_weights(radius) if (s := _make_slice(r, weight, aperture))]
        cover = [s.scatter(s.weight) for s in slices]  # B_k w_k
        through = [_through(k, slices, cover, radius) for k in range(len(slices))]  # T_k
        self.seen, self.kept = torch.zeros_like(radius), torch.zeros_like(radius)
        for s, t, c in zip(slices, through, cover, strict=True):
            _at(self.seen, s.target).add_(t * c)
            if s.spectrum is None:
                _at(self.kept, s.target).add_(t * c)
        norm = self.seen.clamp(min=_LEAST_COVER)  # N
        self.kept /= norm
        self.slices = [replace(s, through=t / _at(norm, s.target)) for s, t in zip(slices, through, strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        """A x."""
        y = torch.zeros_like(x)
        for s in self.slices:
            _at(y, s.target).add_(s.through * s.scatter(s.weight * _at(x, s.source)))
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""
        x = torch.zeros_like(y)
        for s in self.slices:
            _at(x, s.source).add_(s.weight * s.gather(s.through * _at(y, s.target)))
        return x


def bank(least: float, most: float) -> list[float]:
    """The signed radii r_k that enclose [least, most], from near (negative) to far."""
    side, top = [0.0], max(abs(least), abs(most))
    while side[-1] < top:
        side.append(side[-1] + max(STEP, GROWTH * side[-1]))
    every = sorted({-r for r in side[1:]} | set(side))
    first = max(i for i, r in enumerate(every) if r <= least)
    last = min(i for i, r in enumerate(every) if r >= most)
    return every[first : last + 1]


def slice_weights(radius: Tensor) -> Iterator[tuple[float, Tensor]]:
    """radius [H, W] -> (r_k, w_k [H, W]) from near to far: linear interpolation between the nearest two; sums to 1."""
    radii = bank(float(radius.min()), float(radius.max()))
    if len(radii) == 1:
        yield radii[0], torch.ones_like(radius)
        return
    knots = torch.tensor(radii, device=radius.device, dtype=radius.dtype)
    i = (torch.searchsorted(knots, radius.contiguous(), right=True) - 1).clamp(0, len(radii) - 2)
    f = ((radius - knots[i]) / (knots[i + 1] - knots[i])).clamp(0, 1)
    for k, r in enumerate(radii):
        yield r, torch.where(i == k, 1 - f, 0 * f) + torch.where(i == k - 1, f, 0 * f)


def _make_slice(radius: float, weight: Tensor, aperture: Tensor) -> Slice | None:
    """weight [H, W] -> its slice, nothing let through yet; None where no pixel has a weight."""
    look()
    rows, columns = torch.nonzero(weight.amax(1) > 0)[:, 0], torch.nonzero(weight.amax(0) > 0)[:, 0]
    if not len(rows):
        return None
    h, w = weight.shape
    y0, y1, x0, x1 = source = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    weight = weight[y0:y1, x0:x1].contiguous()
    if abs(radius) < SHARP:
        return Slice(radius, weight, torch.zeros_like(weight), source, source, (0, 0), (0, 0), None)
    kernel = aperture_kernel(aperture, abs(radius), max(h, w))
    if radius < 0:
        kernel = kernel.flip(0, 1)
    p = kernel.shape[0] // 2
    ty0, ty1, tx0, tx1 = target = max(0, y0 - p), min(h, y1 + p), max(0, x0 - p), min(w, x1 + p)
    through = weight.new_zeros(ty1 - ty0, tx1 - tx0)
    size = fft_size(y1 - y0 + 2 * p), fft_size(x1 - x0 + 2 * p)
    # Light reaches p pixels beyond source, so the transform's first pixel is the picture's (y0 - p, x0 - p).
    offset = ty0 - y0 + p, tx0 - x0 + p
    return Slice(radius, weight, through, source, target, offset, size, torch.fft.rfft2(kernel, s=size))


def _through(k: int, slices: list[Slice], cover: list[Tensor], like: Tensor) -> Tensor:
    """T_k on slice k's target: 1 less what the nearer slices, which come before it, cover."""
    look()
    hidden = torch.zeros_like(like)
    for nearer, c in zip(slices[:k], cover[:k], strict=True):
        share = occlusion(nearer.radius, slices[k].radius)
        if share:
            _at(hidden, nearer.target).add_(share * c)
    return (1 - _at(hidden, slices[k].target)).clamp(0, 1)


def occlusion(near: float, far: float) -> float:
    """h: how far a slice of radius `near` occludes one of radius `far`; 0 on one slope, 1 between two surfaces."""
    slope = SLOPE + SLOPE_GROWTH * max(abs(near), abs(far))
    return min(1.0, max(0.0, 2 * (far - near - slope) / slope))


def _at(t: Tensor, box: Box) -> Tensor:
    """The view of t [..., H, W] in the box."""
    y0, y1, x0, x1 = box
    return t[..., y0:y1, x0:x1]
