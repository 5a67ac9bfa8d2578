"""A large picture is worked on tile by tile; each tile sees its neighbourhood, so that no seam shows."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

# Tiles start on multiples of this, so that the grid of every octave used in a tile is that of the whole.
GRID = 8


@dataclass(frozen=True)
class Tile:
    """outer: the window that is read; core: the part of the picture that is kept; inner: the core within outer."""

    outer: tuple[slice, slice]
    core: tuple[slice, slice]
    inner: tuple[slice, slice]


def _spans(size: int, step: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    step = -(-size // (math.ceil(size / step) * GRID)) * GRID  # near equal parts
    for a in range(0, size, step):
        b = min(size, a + step)
        outer = max(0, a - halo) // GRID * GRID
        yield slice(outer, min(size, b + halo)), slice(a, b), slice(a - outer, b - outer)


def tiles(height: int, width: int, *, halo: int, area: int) -> list[Tile]:
    """Cut [height, width] into tiles that read about `area` pixels each, `halo` of them round the core."""
    side = max(8 * GRID, math.isqrt(area) - 2 * halo)
    return [
        Tile((oy, ox), (cy, cx), (iy, ix))
        for oy, cy, iy in _spans(height, side, halo)
        for ox, cx, ix in _spans(width, side, halo)
    ]
