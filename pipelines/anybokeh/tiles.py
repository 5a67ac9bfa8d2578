"""Stage 2's collages [CoC now | photo ; CoC wanted | new photo], tile by tile, and the picture out of them.

Convention: as in photo.py. R is a tile's side.
Source: AnyBokeh (arXiv 2606.31959), published inference.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from .photo import RESOLUTION, resize_map, resize_picture

SHARE = 0.8  # of a tile, from one to the next
FLAT = 0.1  # of R: the CoC that is shown at tanh(1)
LEAST_WEIGHT = 1e-6


def canvas(width: int, height: int, side: int = RESOLUTION) -> tuple[float, tuple[int, int]]:
    """(f, size): small photos are enlarged f times until their shorter side is a tile's; large ones stay."""
    short = min(width, height)
    if short >= side:
        return 1.0, (width, height)
    f = side / short
    return f, (max(round(width * f), side), max(round(height * f), side))


def starts(length: int, side: int = RESOLUTION) -> list[int]:
    """Where tiles begin along a side; the last one ends with the picture."""
    if length <= side:
        return [0]
    return [*range(0, length - side, round(SHARE * side)), length - side]


def places(size: tuple[int, int], side: int = RESOLUTION) -> list[tuple[int, int]]:
    """(left, top) of every tile, row by row."""
    width, height = size
    return [(x, y) for y in starts(height, side) for x in starts(width, side)]


def count(width: int, height: int, side: int = RESOLUTION) -> int:
    """Tiles of a photo."""
    return len(places(canvas(width, height, side)[1], side))


def encode_coc(coc: Tensor, side: int = RESOLUTION) -> Tensor:
    """(tanh(c / 0.1 R) + 1) / 2 as a grey of 255, cut and not rounded: the model was shown no other."""
    flat = torch.from_numpy(np.tanh((coc / (FLAT * side)).cpu().numpy()))  # torch's tanh rounds another way near 1
    return (255 * ((flat + 1) / 2).clamp(0, 1)).floor() / 255


def collage(photo: Tensor, coc: Tensor, target: Tensor, side: int = RESOLUTION) -> Tensor:
    """[2R, 2R, 3] from tiles: photo [R, R, 3], CoC [R, R, 3] (each colour by itself) or [R, R], target [R, R]."""
    now, wanted = (
        encode_coc(c if c.ndim == 3 else c[..., None].expand(-1, -1, 3), side).to(photo) for c in (coc, target)
    )
    return torch.cat([torch.cat([now, photo], dim=1), torch.cat([wanted, torch.zeros_like(photo)], dim=1)])


def mask(side: int = RESOLUTION) -> Tensor:
    """[2R, 2R]: 1 where the model paints."""
    out = torch.zeros(2 * side, 2 * side)
    out[side:, side:] = 1
    return out


def window(side: int, *, as_published: bool = False) -> Tensor:
    """[R, R] Hann weights, above 0 everywhere; as_published 0 on the rim, which makes it black."""
    n = torch.arange(side, dtype=torch.float64)
    turn = n / (side - 1) if as_published else (n + 0.5) / side
    hann = 0.5 - 0.5 * torch.cos(2 * torch.pi * turn)
    return torch.outer(hann, hann).float()


class Blend:
    """sum(tile * window) / sum(window) over a canvas (width, height)."""

    def __init__(self, size: tuple[int, int], side: int = RESOLUTION, *, as_published: bool = False, device=None):
        self.window = window(side, as_published=as_published).to(device)[..., None]
        self.sum = torch.zeros(size[1], size[0], 3, device=device)
        self.weight = torch.zeros(size[1], size[0], 1, device=device)
        self.as_published, self.side = as_published, side

    def add(self, tile: Tensor, place: tuple[int, int]):
        """tile [R, R, 3] in 0..1 at (left, top)."""
        x, y = place
        at = slice(y, y + self.side), slice(x, x + self.side)
        tile = (255 * tile).round() if self.as_published else 255 * tile
        self.sum[at] += tile * self.window
        self.weight[at] += self.window

    def picture(self) -> Tensor:
        """[H, W, 3] in 0..1; as_published the weights have a floor, and bytes are cut."""
        if self.as_published:
            return cut(self.sum / self.weight.clamp(min=LEAST_WEIGHT))
        return (self.sum / self.weight / 255).clamp(0, 1)


def cut(picture: Tensor) -> Tensor:
    """0..255 -> 0..1, cut to bytes."""
    return picture.clamp(0, 255).floor() / 255


def tiles_of(photo: Tensor, coc: Tensor, target: Tensor, side: int = RESOLUTION, *, as_published: bool = False):
    """photo [H, W, 3], its CoC [H, W] or [H, W, 3] and the target [H, W], all in pixels of the photo
    -> (canvas size, how many times it was enlarged, iterator of (collage [2R, 2R, 3], place))."""
    height, width = photo.shape[:2]
    f, size = canvas(width, height, side)
    if f != 1:
        photo = resize_picture(photo, *size, as_published=as_published)
        coc, target = (
            f * resize_map(c if c.ndim == 3 else c[..., None], *size).to(photo) for c in (coc, target[..., None])
        )
        target = target[..., 0]
        coc = coc if coc.shape[-1] == 3 else coc[..., 0]

    def each() -> Iterator[tuple[Tensor, tuple[int, int]]]:
        for x, y in places(size, side):
            at = slice(y, y + side), slice(x, x + side)
            yield collage(photo[at], coc[at], target[at], side), (x, y)

    return size, f, each()


def shrunk(picture: Tensor, width: int, height: int, *, as_published: bool = False) -> Tensor:
    """The canvas -> the photo's size."""
    if picture.shape[:2] == (height, width):
        return picture
    if as_published:
        return cut(resize_map(255 * picture, width, height))
    return resize_map(picture, width, height).clamp(0, 1)
