"""A picture in tiles that agree at their borders."""
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .lens import Field
from .prefilter import GRID
from .surfaces import FILL_REACH

TILE = 2048
# Past its frame the picture goes on as its outermost pixels, for as far as blur can bring it in, but at most this.
BORDER = 64


@dataclass(frozen=True)
class Tile:
    """Rows and columns [y0, y1) x [x0, x1) of the picture; outer is what can reach them, past the frame included."""
    y0: int
    y1: int
    x0: int
    x1: int
    outer: tuple[int, int, int, int]
    height: int
    width: int

    @property
    def inner(self) -> tuple[slice, slice]:
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    @property
    def field(self) -> Field:
        return Field(self.outer[2], self.outer[0], self.width, self.height)

    def take(self, plane: Tensor) -> Tensor:
        """[H, W, ...] -> the outer part, continued past the frame by its outermost pixels."""
        y0, y1, x0, x1 = self.outer
        y = torch.arange(y0, y1, device=plane.device).clamp(0, self.height - 1)
        x = torch.arange(x0, x1, device=plane.device).clamp(0, self.width - 1)
        return plane[y[:, None], x]

    def crop(self, outer: Tensor) -> Tensor:
        """The tile's own part of an outer one."""
        y, x = self.y0 - self.outer[0], self.x0 - self.outer[2]
        return outer[y:y + self.y1 - self.y0, x:x + self.x1 - self.x0]


def tiles(height: int, width: int, reach: float) -> list[Tile]:
    """Tiles for blur of radius `reach`; their outer parts begin where pyramids of the whole picture would."""
    halo = math.ceil((reach + 16 + 3 * FILL_REACH) / FILL_REACH) * FILL_REACH
    border = min(BORDER, math.ceil((reach + 1) / GRID) * GRID)
    out = []
    for y in range(0, height, TILE):
        for x in range(0, width, TILE):
            y1, x1 = min(y + TILE, height), min(x + TILE, width)
            outer = (max(-border, y - halo), min(height + border, y1 + halo),
                     max(-border, x - halo), min(width + border, x1 + halo))
            out.append(Tile(y, y1, x, x1, outer, height, width))
    return out
