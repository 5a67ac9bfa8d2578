"""The spatially varying blur A as a bank of discs with occlusion, and its exact adjoint.

The scene is cut into slices of equal blur radius r_k. With w_k the share of each pixel that lies in slice k, B_k the
convolution with the aperture's image at r_k, and T_k what the nearer slices let through,

    A x = sum_k T_k B_k (w_k x) / N,        N = sum_k T_k B_k w_k,        T_k = 1 - sum_{j nearer than k} B_j w_j

so light spreads from where it starts (scatter), nearer things hide farther ones, and a flat picture stays flat.
Reference: X. Zhu, S. Cohen, S. Schiller, P. Milanfar, "Estimating Spatially Varying Defocus Blur From A Single
Image", IEEE TIP 2013 (the bank); M. Kraus, M. Strengert, "Depth-of-Field Rendering by Pyramidal Image Processing",
2007 (the normalised sum over slices).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...image.filters import fft_size
from ...optics.aperture import aperture_kernel

# Neighbouring discs of the bank differ by 1 px or 15 percent: the sum of two is then a disc with a soft rim, and
# the mean model error on a slope stays under a path tracer's noise.
STEP, GROWTH = 1.0, 0.15
# Two slices belong to one slope, and do not hide each other, as long as their radii differ by less than this.
SLOPE, SLOPE_GROWTH = 1.0, 0.2
SHARP = 0.3  # a disc of less than this radius is one pixel
_LEAST_COVER = 0.05


@dataclass(frozen=True)
class Slice:
    """Pixels of about one blur radius. source, target: windows (y0, y1, x0, x1) that light leaves and reaches."""

    radius: float
    weight: Tensor  # [h, w] on source
    through: Tensor  # [h', w'] on target; T_k / N once the operator is complete
    source: tuple[int, int, int, int]
    target: tuple[int, int, int, int]
    offset: tuple[int, int]  # of target inside the padded transform
    size: tuple[int, int]  # of the transform
    spectrum: Tensor | None  # None: a single pixel, no blur


class BlurOperator:
    """radius [H, W] signed in pixels, aperture mask [1, S, S] -> A and its adjoint on linear light [C, H, W].

    seen [H, W]: how much of what each pixel shows is known to the map; below 1 the rest was hidden in the sharp
    view. kept [H, W]: share of the pixel's own unspread light in what it shows; 1 = sharp and not covered.
    """

    def __init__(self, radius: Tensor, aperture: Tensor):
        h, w = radius.shape
        self.slices = [s for r, share in slice_weights(radius) if (s := _make_slice(r, share, aperture))]
        cover = [spread(s, s.weight) for s in self.slices]
        self.seen, self.kept = radius.new_zeros(h, w), radius.new_zeros(h, w)
        through = []
        for k, s in enumerate(self.slices):
            hidden = radius.new_zeros(h, w)
            for j in range(k):
                part = _hides(self.slices[j].radius, s.radius)
                if part:
                    _at(hidden, self.slices[j].target).add_(part * cover[j])
            through.append((1 - _at(hidden, s.target)).clamp(0, 1))
            light = through[k] * cover[k]
            _at(self.seen, s.target).add_(light)
            if s.spectrum is None:
                _at(self.kept, s.target).add_(light)
        n = self.seen.clamp(min=_LEAST_COVER)
        self.kept /= n
        self.slices = [
            Slice(s.radius, s.weight, t / _at(n, s.target), s.source, s.target, s.offset, s.size, s.spectrum)
            for s, t in zip(self.slices, through, strict=True)
        ]

    def forward(self, x: Tensor) -> Tensor:
        """A x."""
        y = torch.zeros_like(x)
        for s in self.slices:
            _at(y, s.target).add_(s.through * spread(s, s.weight * _at(x, s.source)))
        return y

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""
        x = torch.zeros_like(y)
        for s in self.slices:
            _at(x, s.source).add_(s.weight * gather(s, s.through * _at(y, s.target)))
        return x


def bank(least: float, most: float) -> list[float]:
    """Signed radii that enclose [least, most], from near (negative) to far."""
    side, top = [0.0], max(abs(least), abs(most))
    while side[-1] < top:
        side.append(side[-1] + max(STEP, GROWTH * side[-1]))
    every = sorted({-r for r in side[1:]} | set(side))
    first = max(i for i, r in enumerate(every) if r <= least)
    last = min(i for i, r in enumerate(every) if r >= most)
    return every[first : last + 1]


def slice_weights(radius: Tensor):
    """radius [H, W] -> (r_k, w_k [H, W]) by linear interpolation between the two nearest radii; sums to 1."""
    radii = bank(float(radius.min()), float(radius.max()))
    if len(radii) == 1:
        yield radii[0], torch.ones_like(radius)
        return
    knots = torch.tensor(radii, device=radius.device, dtype=radius.dtype)
    i = (torch.searchsorted(knots, radius.contiguous(), right=True) - 1).clamp(0, len(radii) - 2)
    f = ((radius - knots[i]) / (knots[i + 1] - knots[i])).clamp(0, 1)
    for k, r in enumerate(radii):
        yield r, torch.where(i == k, 1 - f, 0 * f) + torch.where(i == k - 1, f, 0 * f)


def spread(s: Slice, x: Tensor) -> Tensor:
    """B_k: [..., h, w] on the slice's source -> its target."""
    if s.spectrum is None:
        return x
    y = torch.fft.irfft2(torch.fft.rfft2(x, s=s.size) * s.spectrum, s=s.size)
    (oy, ox), (y0, y1, x0, x1) = s.offset, s.target
    return y[..., oy : oy + y1 - y0, ox : ox + x1 - x0]


def gather(s: Slice, y: Tensor) -> Tensor:
    """B_k^T: [..., h', w'] on the slice's target -> its source."""
    if s.spectrum is None:
        return y
    (oy, ox), (y0, y1, x0, x1) = s.offset, s.source
    y = F.pad(y, (ox, s.size[1] - ox - y.shape[-1], oy, s.size[0] - oy - y.shape[-2]))
    return torch.fft.irfft2(torch.fft.rfft2(y) * s.spectrum.conj(), s=s.size)[..., : y1 - y0, : x1 - x0]


def _make_slice(radius: float, weight: Tensor, aperture: Tensor) -> Slice | None:
    rows, cols = torch.nonzero(weight.amax(1) > 0)[:, 0], torch.nonzero(weight.amax(0) > 0)[:, 0]
    if not len(rows):
        return None
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1
    h, w = weight.shape
    weight = weight[y0:y1, x0:x1].contiguous()
    if abs(radius) < SHARP:
        box = (y0, y1, x0, x1)
        return Slice(radius, weight, weight, box, box, (0, 0), (0, 0), None)
    kernel = aperture_kernel(aperture, abs(radius))
    if radius < 0:
        kernel = kernel.flip(0, 1)
    p = kernel.shape[0] // 2
    target = max(0, y0 - p), min(h, y1 + p), max(0, x0 - p), min(w, x1 + p)
    size = fft_size(y1 - y0 + 2 * p), fft_size(x1 - x0 + 2 * p)
    return Slice(
        radius,
        weight,
        weight,
        (y0, y1, x0, x1),
        target,
        (target[0] - y0 + p, target[2] - x0 + p),
        size,
        torch.fft.rfft2(kernel, s=size),
    )


def _hides(near: float, far: float) -> float:
    slope = SLOPE + SLOPE_GROWTH * max(abs(near), abs(far))
    return min(1.0, max(0.0, 2 * (far - near - slope) / slope))


def _at(t: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    y0, y1, x0, x1 = box
    return t[..., y0:y1, x0:x1]
