"""Latents as tokens on a grid: how they are packed, where they stand, how a large grid is cut into tiles.

Convention: a token is 2 x 2 latent pixels, 16 x 16 image pixels. Grids are [B, h, w, C], rows first; positions are
(0, y, x) in tokens, y down and x to the right, the first token of a picture at (0, 0, 0).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch
from einops import rearrange
from torch import Tensor

# What a condition attends to: text, noise and itself (OminiControl's), everything, or conditions alone. With the last
# rule a condition is the same at every step of a picture, and its keys and values can be kept: see memory.py.
OWN, ALL, CONDITIONS = "own", "all", "conditions"
PATCH = 2  # latent pixels
TOKEN = 16  # image pixels


def pack(latents: Tensor) -> Tensor:
    """[B, C, 2h, 2w] -> token grid [B, h, w, 4C], as FLUX packs."""
    return rearrange(latents, "b c (h ph) (w pw) -> b h w (c ph pw)", ph=PATCH, pw=PATCH)


def unpack(grid: Tensor) -> Tensor:
    """[B, h, w, 4C] -> [B, C, 2h, 2w]; undoes pack."""
    return rearrange(grid, "b h w (c ph pw) -> b c (h ph) (w pw)", ph=PATCH, pw=PATCH)


def pad_to_tokens(image: Tensor) -> Tensor:
    """[B, H, W, C] -> the same with both sides grown to multiples of 16 by repeating the last row and column."""
    h, w = image.shape[1:3]
    rows = torch.arange(-(-h // TOKEN) * TOKEN, device=image.device).clamp(max=h - 1)
    columns = torch.arange(-(-w // TOKEN) * TOKEN, device=image.device).clamp(max=w - 1)
    return image[:, rows][:, :, columns]


def position_ids(h: int, w: int, offset: tuple[int, int] = (0, 0), device=None) -> Tensor:
    """[h * w, 3] float: (0, y + offset_y, x + offset_x) of each token, row by row."""
    y = torch.arange(h, device=device, dtype=torch.float32) + offset[0]
    x = torch.arange(w, device=device, dtype=torch.float32) + offset[1]
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([torch.zeros_like(y), y, x], dim=-1).flatten(0, 1)


@dataclass(frozen=True)
class Rows:
    """Where the branches lie in one row of tokens: text | noise | condition 0 | condition 1 | ...

    text, noise, conditions: their token counts; loras: for each condition, which LoRA it runs through (0, 1, ...);
    apart: whether the noise is modulated by a row of vec of its own, and not by the text's.
    """

    text: int
    noise: int
    conditions: tuple[int, ...]
    loras: tuple[int, ...]
    apart: bool = False

    @property
    def main(self) -> int:
        """Tokens of text and noise."""
        return self.text + self.noise

    def vec_row(self, lora: int) -> int:
        """The row of vec that modulates the conditions of a LoRA."""
        return 1 + self.apart + lora

    @cached_property
    def condition_ranges(self) -> list[tuple[int, int, int]]:
        """[(start, end, lora)] in the image stream, which begins with the noise; neighbours of one LoRA are merged."""
        ranges: list[tuple[int, int, int]] = []
        ends = list(accumulate(self.conditions, initial=self.noise))
        for start, end, lora in zip(ends[:-1], ends[1:], self.loras, strict=True):
            if ranges and ranges[-1][2] == lora:
                start = ranges.pop()[0]
            ranges.append((start, end, lora))
        return ranges

    def modulation_ranges(self, index: Callable, text: bool) -> list[tuple]:
        """[(start, end, index(row of vec))]: vec's row 0 modulates text and noise, or the text alone and row 1 the
        noise; the rows behind, one for each LoRA, the conditions.

        text: whether the text's tokens come first, as in the single-stream blocks.
        """
        first = self.text if text else 0
        main = [(0, first, index(0))] if text and self.apart else []
        main.append((first if self.apart else 0, first + self.noise, index(int(self.apart))))
        ranges = self.condition_ranges
        return main + [(first + start, first + end, index(self.vec_row(lora))) for start, end, lora in ranges]

    def query_groups(self, rule: str = OWN) -> list[tuple[slice, list[slice]]]:
        """The attention rule of blocks.sees: [(tokens that ask, ranges of tokens that they see)], in their order."""
        main, total = self.main, self.main + sum(self.conditions)
        if rule == CONDITIONS and self.conditions:
            return [(slice(0, main), [slice(0, total)]), (slice(main, total), [slice(main, total)])]
        if rule != OWN or len(self.conditions) < 2:
            return [(slice(0, total), [slice(0, total)])]
        groups, start = [(slice(0, main), [slice(0, total)])], main
        for n in self.conditions:
            own = slice(start, start + n)
            groups.append((own, [slice(0, own.stop)] if start == main else [slice(0, main), own]))
            start += n
        return groups


# Large grids are predicted in tiles of the training size, 32 x 32 tokens, that overlap by an eighth.
TILE = 32
SHARED = 8


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


def by_tiles(predict: Callable[[slice, slice], Tensor], grid: Tensor, tile: int = TILE) -> Tensor:
    """sum(window * prediction) / sum(window) over the tiles of a grid [B, h, w, C], of the grid's shape and type.

    predict(rows, columns) -> [B, rows, columns, C] for one tile.
    """
    h, w = grid.shape[1:3]
    total = torch.zeros(grid.shape, dtype=torch.float32, device=grid.device)
    weight = torch.zeros(1, h, w, 1, device=grid.device)
    for rows, columns in tiles(h, w, tile):
        prediction = predict(rows, columns)
        high, wide = prediction.shape[1:3]
        gauss = window(high, wide, grid.device)[None, :, :, None]  # [1, rows, columns, 1]
        total[:, rows, columns] += prediction * gauss
        weight[:, rows, columns] += gauss
    return (total / weight).to(grid.dtype)
