"""Tiles: a large picture is worked on piece by piece; each reads its neighbourhood too, so that no seam shows."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

# Tiles start on multiples of this, so that the grid of every octave used in a tile is that of the whole.
GRID = 8


@dataclass(frozen=True)
class Tile:
    """Slices (rows, columns). outer: what is read, in the picture; core: what is kept of it, in the picture; inner: the
    core again, counted from outer's first pixel."""

    outer: tuple[slice, slice]
    core: tuple[slice, slice]
    inner: tuple[slice, slice]


def tiles(height: int, width: int, *, halo: int, area: int) -> list[Tile]:
    """Tiles whose cores cover [height, width] once; each reads about `area` pixels, `halo` px of them round its core
    (up to GRID - 1 more at the top and left, none beyond the picture)."""
    side = max(8 * GRID, math.isqrt(area) - 2 * halo)
    return [
        Tile((outer_y, outer_x), (core_y, core_x), (inner_y, inner_x))
        for outer_y, core_y, inner_y in _spans(height, side, halo)
        for outer_x, core_x, inner_x in _spans(width, side, halo)
    ]


def _spans(size: int, side: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    """(outer, core, inner) along one axis: near equal cores of at most `side` pixels, to the next multiple of GRID."""
    step = -(-size // (math.ceil(size / side) * GRID)) * GRID
    for start in range(0, size, step):
        end = min(size, start + step)
        first = max(0, start - halo) // GRID * GRID
        yield slice(first, min(size, end + halo)), slice(start, end), slice(start - first, end - first)
