"""The lens as the renderer needs it: points of the aperture, and how much light each passes on which side of focus."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...optics.aperture import aperture_points, cell_light

_CELLS = 192  # raster on which the nearest lens point is looked up


@dataclass(frozen=True)
class Lens:
    """points [N, 2] in units of the blur radius; behind and front [N]: each point's share of the light of surfaces
    behind and in front of the focal plane; mask_behind and mask_front [1, S, S]: the same as apertures.

    cats_eye >= 0: the rim of the barrel is a second opening, shifted against the first by this many radii in the
    picture's corners and not at all in its centre (optical vignetting; Kingslake, Optics in Photography, 1992).
    """

    points: Tensor
    behind: Tensor
    front: Tensor
    mask_behind: Tensor
    mask_front: Tensor
    cats_eye: float = 0.0

    @property
    def symmetric(self) -> bool:
        return self.mask_behind is self.mask_front

    @property
    def rim(self) -> float:
        """Radius of the barrel's opening: it cuts nothing in the centre."""
        return max(1.0, float(self.points.norm(dim=-1).max()))

    @cached_property
    def nearest(self) -> Tensor:
        """[C, C] over -1..1 in x and y: which lens point is nearest."""
        c = (torch.arange(_CELLS, device=self.points.device) + 0.5) / _CELLS * 2 - 1
        grid = torch.stack(torch.meshgrid(c, c, indexing="xy"), -1).reshape(-1, 2)
        return torch.cdist(grid, self.points).argmin(1).view(_CELLS, _CELLS)

    def mask(self, radius: float) -> Tensor:
        return self.mask_front if radius < 0 else self.mask_behind


def make_lens(mask: Tensor, samples: int, spherical: float = 0.0, cats_eye: float = 0.0) -> Lens:
    """mask [1, S, S]; spherical -1..1: third-order spherical aberration. Above 0 (over-corrected) discs behind the
    focal plane have bright rims, soap bubbles, and in front bright middles; below 0 the other way round."""
    if not spherical:
        points, weight = aperture_points(mask, samples)
        return Lens(points, weight, weight, mask, mask, cats_eye)
    rim, middle = _piled(mask, abs(spherical)), _piled(mask, -abs(spherical))
    behind, front = (rim, middle) if spherical > 0 else (middle, rim)
    points, _ = aperture_points(mask, samples)
    return Lens(points, cell_light(behind, points), cell_light(front, points), behind, front, cats_eye)


def _piled(mask: Tensor, amount: float) -> Tensor:
    """Rays of an aberrated lens bunch up: brightness rho^4 towards the disc's rim, 1 - rho^4 on its other side."""
    c = (torch.arange(mask.shape[-1], device=mask.device) + 0.5) / mask.shape[-1] * 2 - 1
    rho = torch.hypot(c[:, None], c[None]).clamp(max=1) ** 4
    pile = rho if amount > 0 else 1 - rho
    out = mask * (1 - abs(amount) + abs(amount) * pile)
    return out if out.max() > 0 else mask


@dataclass(frozen=True)
class Field:
    """Where a tile lies in the whole picture: its first pixel (x, y) and the picture's size."""

    x: int
    y: int
    width: int
    height: int

    def shift(self, x: Tensor, y: Tensor, amount: float) -> tuple[Tensor, Tensor]:
        """Pixels of the tile -> shift of the barrel's opening in blur radii: amount in the corners."""
        each = amount * 2 / math.hypot(self.width, self.height)
        return each * (x + self.x + 0.5 - self.width / 2), each * (y + self.y + 0.5 - self.height / 2)
