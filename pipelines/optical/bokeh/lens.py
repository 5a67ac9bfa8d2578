"""The lens as the renderer needs it: points of the aperture, and how much light each passes on which side of focus.

Convention: lens points are (x right, y down) in units of the blur radius, for light from behind the focal plane; in
front of it the radius is negative, which turns everything by 180 degrees.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...optics.aperture import aperture_points, cell_light

_RASTER = 192  # cells along x and y in which the nearest lens point is looked up


@dataclass(frozen=True)
class Lens:
    """points [N, 2]; behind and front [N]: each point's share of the light of surfaces behind and in front of the
    focal plane, each summing to 1; mask_behind and mask_front [1, S, S]: the same as apertures.

    cats_eye >= 0: mechanical vignetting. The exit pupil's rim is a second opening, shifted against the aperture by
    this many blur radii in the picture's corners and not at all in its centre (Kingslake, Optics in Photography, 1992).
    """

    points: Tensor
    behind: Tensor
    front: Tensor
    mask_behind: Tensor
    mask_front: Tensor
    cats_eye: float = 0.0

    @property
    def symmetric(self) -> bool:
        """Whether a lens point passes the same light on both sides of the focal plane."""
        return self.mask_behind is self.mask_front

    @property
    def rim(self) -> float:
        """Radius of the second opening: large enough to cut nothing in the picture's centre."""
        return max(1.0, float(self.points.norm(dim=-1).max()))

    @cached_property
    def nearest(self) -> Tensor:
        """[R, R] over -1..1 in y and x: number of the lens point nearest to each cell's centre."""
        c = (torch.arange(_RASTER, device=self.points.device) + 0.5) / _RASTER * 2 - 1
        grid = torch.stack(torch.meshgrid(c, c, indexing="xy"), -1).reshape(-1, 2)  # [R * R, (x, y)]
        return torch.cdist(grid, self.points).argmin(1).view(_RASTER, _RASTER)

    def mask(self, radius: float) -> Tensor:
        """[1, S, S]: the aperture as light of this signed blur radius passes it."""
        return self.mask_front if radius < 0 else self.mask_behind


def make_lens(mask: Tensor, samples: int, spherical: float = 0.0, cats_eye: float = 0.0) -> Lens:
    """mask [1, S, S] as seen from the front, about `samples` lens points.

    spherical -1..1: third-order spherical aberration. Above 0 (over-corrected) discs behind the focal plane have
    bright rims, soap bubbles, and discs in front bright centres; below 0 the other way round.
    """
    points, weight = aperture_points(mask, samples)
    if not spherical:
        return Lens(points, weight, weight, mask, mask, cats_eye)
    rim, centre = _bright_rim(mask, abs(spherical)), _bright_centre(mask, abs(spherical))
    behind, front = (rim, centre) if spherical > 0 else (centre, rim)
    return Lens(points, cell_light(behind, points), cell_light(front, points), behind, front, cats_eye)


def _bright_rim(mask: Tensor, amount: float) -> Tensor:
    """mask (1 - a + a rho^4): rays bunch up towards the disc's rim; rho is the distance from the centre in radii."""
    return _shaded(mask, amount, _rho4(mask))


def _bright_centre(mask: Tensor, amount: float) -> Tensor:
    """mask (1 - a + a (1 - rho^4)): the same rays on the other side of the focal plane."""
    return _shaded(mask, amount, 1 - _rho4(mask))


def _rho4(mask: Tensor) -> Tensor:
    c = (torch.arange(mask.shape[-1], device=mask.device) + 0.5) / mask.shape[-1] * 2 - 1
    return torch.hypot(c[:, None], c[None]).clamp(max=1) ** 4  # [S, S]


def _shaded(mask: Tensor, amount: float, shade: Tensor) -> Tensor:
    out = mask * (1 - amount + amount * shade)
    return out if out.max() > 0 else mask


@dataclass(frozen=True)
class Field:
    """Where a window lies in the whole picture: its first pixel (x, y), and the picture's size in pixels."""

    x: int
    y: int
    width: int
    height: int

    def pupil_shift(self, x: Tensor, y: Tensor, amount: float) -> tuple[Tensor, Tensor]:
        """Pixels (x, y) of the window -> shift (x, y) of the exit pupil's rim in blur radii.

            shift = amount * (pixel - centre) / (half the picture's diagonal)

        so it points outwards, and is `amount` long in the corners of a picture of any aspect ratio.
        """
        per_pixel = amount * 2 / math.hypot(self.width, self.height)
        return per_pixel * (x + self.x + 0.5 - self.width / 2), per_pixel * (y + self.y + 0.5 - self.height / 2)
