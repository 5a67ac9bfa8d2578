"""Stage 1's collage [photo | blur | disparity]: a photo fitted into a square, and maps read out of the other two.

Convention: pictures [H, W, C] in 0..1; sizes are (width, height) and places (left, top) in pixels, as published.
Blur is the signed circle of confusion (CoC) in pixels of the photo, positive behind the focal plane. Whether it is a
radius or a diameter no source tells.
Source: AnyBokeh (arXiv 2606.31959), published inference.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

RESOLUTION = 512  # R, a side of the square in pixels
LARGEST_COC = 50.0  # pixels of the R-sized picture that white and black stand for


@dataclass(frozen=True)
class Fit:
    """scale: of the photo into the square; size: the scaled photo's; offset: its place; reflect: whether it is mirrored
    about its edges to fill the square, or the edges are repeated."""

    side: int
    scale: float
    size: tuple[int, int]
    offset: tuple[int, int]
    reflect: bool = True


def fit(width: int, height: int, side: int = RESOLUTION, *, as_published: bool = False) -> Fit:
    """The longer side of the photo becomes the square's, small photos too, and the photo lies in the middle.

    as_published: beyond about 3 : 1 its edges are repeated, and it lies off the middle.
    """
    scale = side / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))  # halves to even
    offset = ((side - size[0]) // 2, (side - size[1]) // 2)
    if as_published and any(side - n > 2 * (n - 1) for n in size):
        offset = (min(offset[0], size[0] - 1), min(offset[1], size[1] - 1))
        return Fit(side, scale, size, offset, reflect=False)
    return Fit(side, scale, size, offset)


def square(photo: Tensor, at: Fit, *, as_published: bool = False) -> Tensor:
    """[H, W, C] -> [R, R, C]: scaled, then grown on all sides."""
    small = resize_picture(photo, *at.size, as_published=as_published)
    columns, rows = (
        _places(n, before, at.side, at.reflect, photo.device) for n, before in zip(at.size, at.offset, strict=True)
    )
    return small[rows][:, columns]


def _places(n: int, before: int, side: int, reflect: bool, device) -> Tensor:
    """[side]: which of n pixels stands at each place, the first of them at `before`."""
    i = torch.arange(side, device=device) - before
    if not reflect or n == 1:
        return i.clamp(0, n - 1)
    i = i.remainder(2 * (n - 1))  # there and back, without repeating an end
    return torch.where(i < n, i, 2 * (n - 1) - i)


def collage(photo: Tensor, at: Fit, *, as_published: bool = False) -> Tensor:
    """[R, 3R, C]: the photo's square and two black ones, which are painted."""
    first = square(photo, at, as_published=as_published)
    return torch.cat([first, torch.zeros_like(first).repeat(1, 2, 1)], dim=1)


def mask(side: int = RESOLUTION) -> Tensor:
    """[R, 3R]: 1 where the model paints."""
    out = torch.ones(side, 3 * side)
    out[:, :side] = 0
    return out


def read_panels(picture: Tensor) -> tuple[Tensor, Tensor]:
    """[R, 3R, C] as painted -> (CoC [R, R, C] in pixels of this picture, disparity [R, R, C] in 0..1)."""
    _, blur, disparity = picture.chunk(3, dim=1)
    return decode_coc(blur), disparity


def decode_coc(shown: Tensor) -> Tensor:
    """sign(x) (51^|x| - 1), x = 2 p - 1: painted values p in 0..1 -> pixels, -50 to 50."""
    x = (2 * shown - 1).clamp(-(1 - 1e-7), 1 - 1e-7)
    return x.sign() * torch.expm1(x.abs() * torch.tensor(1 + LARGEST_COC, dtype=x.dtype).log())


def unfit(panel: Tensor, at: Fit, width: int, height: int) -> Tensor:
    """[R, R, C] -> [H, W, C]: what lies behind the photo, of the photo's size. Values are not scaled."""
    (left, top), (w, h) = at.offset, at.size
    return resize_map(panel[top : top + h, left : left + w], width, height)


def resize_map(m: Tensor, width: int, height: int) -> Tensor:
    """[h, w, C] -> [height, width, C], bilinear, antialiased, half-pixel centres."""
    if m.shape[:2] == (height, width):
        return m
    planes = m.movedim(-1, 0)[None]
    return interpolate(planes, (height, width), mode="bilinear", align_corners=False, antialias=True)[0].movedim(0, -1)


def resize_picture(picture: Tensor, width: int, height: int, *, as_published: bool = False) -> Tensor:
    """The same for a picture in 0..1. as_published: in bytes, by Pillow."""
    if not as_published:
        return resize_map(picture, width, height)
    from PIL import Image

    small = Image.fromarray(to_bytes(picture).cpu().numpy()).resize((width, height), Image.Resampling.BILINEAR)
    return torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(height, width, -1).to(picture) / 255


def to_bytes(picture: Tensor) -> Tensor:
    """0..1 -> the nearest of 0..255, halves to even."""
    return (255 * picture.clamp(0, 1)).round().to(torch.uint8)
