"""A picture in tiles that agree at their borders."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .lens import Field
from .surfaces import FILL_REACH, GRID

TILE = 2048
# Past its frame the picture goes on as its outermost pixels, for most of the blur's reach, but at most this.
BORDER = 64
_WINDOWS = 16  # pixels that a surface's own windows look around it


@dataclass(frozen=True)
class Tile:
    """Rows and columns [y0, y1) x [x0, x1) of the picture; near is what can reach them, past the frame included, and
    outer what must be known to tell its surfaces."""

    y0: int
    y1: int
    x0: int
    x1: int
    near: tuple[int, int, int, int]
    outer: tuple[int, int, int, int]
    height: int
    width: int

    @property
    def inner(self) -> tuple[slice, slice]:
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def field(self) -> Field:
        return Field(self.near[2], self.near[0], self.width, self.height)

    def in_frame(self, device=None) -> Tensor:
        """[h, w] of the near part: what lies in the picture."""
        y0, y1, x0, x1 = self.near
        y, x = torch.arange(y0, y1, device=device), torch.arange(x0, x1, device=device)
        return ((y >= 0) & (y < self.height))[:, None] & ((x >= 0) & (x < self.width))

    def take(self, plane: Tensor) -> Tensor:
        """[H, W, ...] -> the outer part, continued past the frame by its outermost pixels."""
        y0, y1, x0, x1 = self.outer
        y = torch.arange(y0, y1, device=plane.device).clamp(0, self.height - 1)
        x = torch.arange(x0, x1, device=plane.device).clamp(0, self.width - 1)
        return plane[y[:, None], x]

    def crop(self, near: Tensor) -> Tensor:
        """The tile's own part of a near one."""
        y, x = self.y0 - self.near[0], self.x0 - self.near[2]
        return near[y : y + self.y1 - self.y0, x : x + self.x1 - self.x0]


def tiles(height: int, width: int, reach: float) -> list[Tile]:
    """Tiles for blur of radius `reach`; their outer parts begin where pyramids of the whole picture would."""
    halo = math.ceil((reach + _WINDOWS + 3 * FILL_REACH) / FILL_REACH) * FILL_REACH
    # As far again: what hides a light elsewhere decides how it is spread here.
    reached = min(halo, math.ceil(2.25 * reach) + _WINDOWS)
    border = min(BORDER, math.ceil((0.6 * reach + 1) / GRID) * GRID)

    def around(y0, y1, x0, x1, by):
        return max(-border, y0 - by), min(height + border, y1 + by), max(-border, x0 - by), min(width + border, x1 + by)

    out = []
    for y in range(0, height, TILE):
        for x in range(0, width, TILE):
            own = (y, min(y + TILE, height), x, min(x + TILE, width))
            out.append(Tile(*own, around(*own, reached), around(*own, halo), height, width))
    return out
