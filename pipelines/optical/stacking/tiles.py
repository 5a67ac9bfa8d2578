"""A large stack is fused tile by tile; each tile sees its neighbourhood, so that no seam shows."""
import math
from collections.abc import Iterator
from dataclasses import dataclass

# Pixels seen round a tile: more than the reach of every filter used on it.
HALO = 64
# Floats of one tile over all frames. The fusion holds about ten times as many.
BUDGET = 24_000_000


@dataclass(frozen=True)
class Tile:
    """outer: the window that is read; core: the part of the picture that is kept; inner: the core within outer."""
    outer: tuple[slice, slice]
    core: tuple[slice, slice]
    inner: tuple[slice, slice]


def _spans(size: int, step: int, halo: int) -> Iterator[tuple[slice, slice, slice]]:
    n = math.ceil(size / step)
    for i in range(n):
        a, b = size * i // n, size * (i + 1) // n
        # Even origins keep the pyramid's grid the same in every tile.
        oa, ob = max(0, a - halo) // 16 * 16, min(size, b + halo)
        yield slice(oa, ob), slice(a, b), slice(a - oa, b - oa)


def tiles(height: int, width: int, frames: int, *, halo: int = HALO, budget: int = BUDGET) -> list[Tile]:
    """Cut [height, width] so that a tile of `frames` RGB frames holds about `budget` floats at most."""
    side = max(128, math.isqrt(max(1, budget // (3 * frames))) - 2 * halo)
    return [Tile((oy, ox), (cy, cx), (iy, ix))
            for oy, cy, iy in _spans(height, side, halo) for ox, cx, ix in _spans(width, side, halo)]
