"""Large pictures in tiles of the training size: 32 x 32 tokens, overlapping by 4, blended with Gaussian weights."""
from collections.abc import Iterator

import torch
from torch import Tensor

TILE = 32
SHARED = 8  # a tile overlaps the next by an eighth


def use_tiles(h: int, w: int, mode: str = "auto", tile: int = TILE) -> bool:
    """mode: auto (as published: when both sides reach a tile's), on (whenever a side is longer) or off."""
    if mode == "auto":
        return min(h, w) >= tile
    return mode == "on" and max(h, w) > tile


def starts(length: int, tile: int = TILE) -> list[int]:
    """First token of every tile along one side; the last tile is moved inwards to end at the border."""
    last, stride = max(length - tile, 0), tile - tile // SHARED
    return sorted({min(s, last) for s in range(0, last + stride, stride)})


def tiles(h: int, w: int, tile: int = TILE) -> list[tuple[slice, slice]]:
    """(rows, columns) of every tile of a grid, row by row; a side shorter than a tile is one tile."""
    return [(slice(y, min(y + tile, h)), slice(x, min(x + tile, w)))
            for y in starts(h, tile) for x in starts(w, tile)]


def window(h: int, w: int, device=None) -> Tensor:
    """[h, w] weights exp(-(x^2 + y^2)), x and y from -2 to 2 over the tile."""
    y, x = (torch.linspace(-2, 2, n, device=device) for n in (h, w))
    return torch.exp(-(y[:, None] ** 2 + x[None] ** 2))


def blend(shape: tuple[int, ...], parts: Iterator[tuple[tuple[slice, slice], Tensor]], like: Tensor) -> Tensor:
    """Weighted mean [B, H, W, C] of the parts ((rows, columns), [B, h, w, C]) that cover a grid of that shape."""
    total = torch.zeros(shape, dtype=torch.float32, device=like.device)
    weight = torch.zeros(1, *shape[1:3], 1, device=like.device)
    for (rows, columns), part in parts:
        gauss = window(*part.shape[1:3], device=like.device)[None, :, :, None]
        total[:, rows, columns] += part * gauss
        weight[:, rows, columns] += gauss
    return (total / weight).to(like.dtype)
