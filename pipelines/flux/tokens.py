"""Latents as tokens on a grid (2 x 2 latent pixels, 16 x 16 image pixels each) and their positions."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor

PATCH = 2
TOKEN = 16  # pixels


def pack(latents: Tensor) -> Tensor:
    """[B, C, 2h, 2w] -> token grid [B, h, w, 4C], the patch's channels ordered (channel, row, column) as in FLUX."""
    b, c, h, w = latents.shape
    grid = latents.reshape(b, c, h // PATCH, PATCH, w // PATCH, PATCH)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(b, h // PATCH, w // PATCH, c * PATCH * PATCH)


def unpack(grid: Tensor) -> Tensor:
    """[B, h, w, 4C] -> [B, C, 2h, 2w]; undoes pack."""
    b, h, w, c = grid.shape
    latents = grid.reshape(b, h, w, c // PATCH**2, PATCH, PATCH)
    return latents.permute(0, 3, 1, 4, 2, 5).reshape(b, c // PATCH**2, h * PATCH, w * PATCH)


def position_ids(h: int, w: int, offset: tuple[int, int] = (0, 0), device=None) -> Tensor:
    """[h * w, 3] float: (0, y + offset_y, x + offset_x) of each token, row by row."""
    y = torch.arange(h, device=device, dtype=torch.float32) + offset[0]
    x = torch.arange(w, device=device, dtype=torch.float32) + offset[1]
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([torch.zeros_like(y), y, x], dim=-1).flatten(0, 1)


# Where the branches lie in one fused row of tokens: text, noise, then the conditions in their order.


@dataclass(frozen=True)
class Rows:
    """Token counts of text, noise and each condition; loras: for each condition, which LoRA it runs through (0..)."""

    text: int
    noise: int
    conditions: tuple[int, ...]
    loras: tuple[int, ...]

    @cached_property
    def adapted(self) -> list[tuple[int, int, int]]:
        """[(start, end, lora)] of the condition rows in the image stream, behind the noise; neighbours merged."""
        found = []
        ends = list(accumulate(self.conditions, initial=self.noise))
        for start, end, lora in zip(ends[:-1], ends[1:], self.loras, strict=True):
            if found and found[-1][2] == lora:
                start = found.pop()[0]
            found.append((start, end, lora))
        return found

    def modulated(self, index, text: bool) -> list[tuple]:
        """[(start, end, index(row of vec))]: vec's row 0 modulates text and noise, row 1 + lora the conditions.

        text: whether the text's rows come first, as in the single-stream blocks.
        """
        shift = self.text if text else 0
        dims = [(0, shift + self.noise, index(0))]
        return dims + [(shift + start, shift + end, index(1 + lora)) for start, end, lora in self.adapted]


# Large pictures in tiles of the training size: 32 x 32 tokens, overlapping by 4, blended with Gaussian weights.

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
    return [(slice(y, min(y + tile, h)), slice(x, min(x + tile, w))) for y in starts(h, tile) for x in starts(w, tile)]


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


def pad_to_tokens(image: Tensor) -> Tensor:
    """[B, H, W, C] -> the same with both sides grown to multiples of 16 by repeating the last row and column."""
    h, w = image.shape[1:3]
    rows = torch.arange(-(-h // TOKEN) * TOKEN, device=image.device).clamp(max=h - 1)
    columns = torch.arange(-(-w // TOKEN) * TOKEN, device=image.device).clamp(max=w - 1)
    return image[:, rows][:, :, columns]


def query_groups(n_main: int, conditions: list[int], mutual: bool = False) -> list[tuple[slice, list[slice]]]:
    """The rule for one fused token row: [(rows that ask, ranges of rows that they see)], in the order of the rows.

    n_main: tokens of text and noise, which come first; conditions: tokens of each condition, behind them.
    """
    total = n_main + sum(conditions)
    if mutual or len(conditions) < 2:
        return [(slice(0, total), [slice(0, total)])]
    groups, start = [(slice(0, n_main), [slice(0, total)])], n_main
    for n in conditions:
        own = slice(start, start + n)
        groups.append((own, [slice(0, own.stop)] if start == n_main else [slice(0, n_main), own]))
        start += n
    return groups
