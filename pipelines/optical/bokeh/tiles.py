"""A picture in tiles whose photographs agree at their borders.

Convention: pixels are counted from the picture's top left; a window may reach past the frame, into negative ones.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ...image.progress import PIECE, look
from .lens import Field
from .surfaces import FILL_REACH, GRID

TILE = 2048
# Past its frame the picture goes on as its outermost pixels, for most of the blur's reach, but at most this.
BORDER = 64
_SURFACE_WINDOW = 16  # pixels around a pixel that decide to which surfaces it belongs


class Window(NamedTuple):
    """Rows [top, bottom) and columns [left, right)."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    def within(self, outer: "Window") -> tuple[slice, slice]:
        """Where this window lies in an array that covers `outer`."""
        y, x = self.top - outer.top, self.left - outer.left
        return slice(y, y + self.height), slice(x, x + self.width)


class Tile(NamedTuple):
    """core: the pixels that the tile makes. seen: those whose light or shadow can reach the core, past the frame
    included. known: those that must be known to tell the surfaces in `seen`. picture: the whole frame."""

    core: Window
    seen: Window
    known: Window
    picture: Window

    @property
    def field(self) -> Field:
        return Field(self.seen.left, self.seen.top, self.picture.width, self.picture.height)

    def in_frame(self, device=None) -> Tensor:
        """bool [h, w] over `seen`: which pixels lie in the picture."""
        y = torch.arange(self.seen.top, self.seen.bottom, device=device)
        x = torch.arange(self.seen.left, self.seen.right, device=device)
        return ((y >= 0) & (y < self.picture.height))[:, None] & ((x >= 0) & (x < self.picture.width))

    def take(self, plane: Tensor) -> Tensor:
        """[H, W, ...] of the picture -> [h, w, ...] over `known`, continued past the frame by the outermost pixels."""
        y = torch.arange(self.known.top, self.known.bottom, device=plane.device).clamp(0, self.picture.height - 1)
        x = torch.arange(self.known.left, self.known.right, device=plane.device).clamp(0, self.picture.width - 1)
        out = plane.new_empty(len(y), len(x), *plane.shape[2:])
        step = max(1, PIECE // out[0].numel())
        for top in range(0, len(y), step):
            look()
            out[top : top + step] = plane[y[top : top + step, None], x]
        return out


def tile_count(height: int, width: int) -> int:
    """Of a picture, whatever its blur."""
    return math.ceil(height / TILE) * math.ceil(width / TILE)


def tiles(height: int, width: int, radius: float) -> list[Tile]:
    """The tiles of a picture height x width whose largest blur radius is `radius` pixels.

    `known` begins on a multiple of FILL_REACH, where the pyramids of the whole picture have a cell's first pixel.
    """
    known = math.ceil((radius + _SURFACE_WINDOW + 3 * FILL_REACH) / FILL_REACH) * FILL_REACH
    # Twice the radius and more: what occludes a highlight one radius away decides how its light is spread here.
    seen = min(known, math.ceil(2.25 * radius) + _SURFACE_WINDOW)
    border = min(BORDER, math.ceil((0.6 * radius + 1) / GRID) * GRID)
    picture = Window(0, height, 0, width)

    def around(core: Window, by: int) -> Window:
        return Window(
            max(-border, core.top - by),
            min(height + border, core.bottom + by),
            max(-border, core.left - by),
            min(width + border, core.right + by),
        )

    cores = [
        Window(y, min(y + TILE, height), x, min(x + TILE, width))
        for y in range(0, height, TILE)
        for x in range(0, width, TILE)
    ]
    return [Tile(core, around(core, seen), around(core, known), picture) for core in cores]
