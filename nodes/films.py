"""What a clip leaves behind for its view in the page: some of its frames, small, side by side on one sheet."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..pipelines.image.progress import look
from ..pipelines.optics import plane_of, show_depth
from .views import kept_picture, kept_plane, small_picture, small_plane, view_size

MOST_FRAMES = 48
MOST_SIDE = 512  # pixels of a frame on the sheet
MOST_PIXELS = 4_000_000  # of the sheet: what a page reads in a blink


def frames_shown(count: int, most: int = MOST_FRAMES) -> list[int]:
    """All frames of a short clip; `most` of a longer one, spread evenly from the first to the last."""
    n = min(count, most)
    return [round(i * (count - 1) / max(n - 1, 1)) for i in range(n)]


def cell_size(height: int, width: int, cells: int) -> tuple[int, int]:
    """(height, width) of one frame of so many on a sheet."""
    side = math.sqrt(MOST_PIXELS / cells * max(height, width) / min(height, width))
    return view_size(height, width, max(1, min(MOST_SIDE, int(side))))


def kept_film(picture: Callable[[int], Tensor], cells: int, size: tuple[int, int]) -> dict[str, Any]:
    """picture(i) -> [H, W, 3], i < cells -> the entry of a sheet with cells of `size` (see cell_size)."""
    columns = _columns(cells, size)
    sheet = sheet_of(lambda i: small_picture(picture(i), max(size)), cells, columns)
    return {**kept_picture(sheet, max(sheet.shape)), "cells": cells, "columns": columns}


def kept_plane_film(plane: Callable[[int], Tensor], cells: int, size: tuple[int, int]) -> dict[str, Any]:
    """plane(i) -> [h, w], i < cells -> the entry of a sheet of planes; low and high are those of all."""
    columns = _columns(cells, size)
    sheet = sheet_of(lambda i: small_plane(plane(i), size)[..., None], cells, columns)
    return {**kept_plane(sheet[..., 0]), "cells": cells, "columns": columns}


def clip_left(image: Tensor | None, depth: Tensor, kind: str, count: int) -> dict[str, Any]:
    """For the page: the picture and the depth of a clip, or of a still, which `count` frames are made of.

    image [B, H, W, 3]; None = the depth in grey. depth [M, H, W] or [M, H, W, C] of a kind, never "auto".
    {picture, plane: entries of views, or of films where they are clips; at: the frames that are on them; clip: the
    number of frames, 0 of a still; kind: of the plane, see plane_of}
    """
    clip = max(len(depth), 1 if image is None else len(image)) > 1
    at = frames_shown(count) if clip else [0]
    if image is None:
        step = -(-max(depth.shape[1:3]) // MOST_SIDE)
        image = show_depth(depth[:, ::step, ::step][at if len(depth) > 1 else [0]], kind)
        seen = [*image]
    else:
        seen = [image[i] for i in at] if len(image) > 1 else [image[0]]
    height, width = seen[0].shape[:2]
    size = cell_size(height, width, len(at))

    # Pixels that no cell holds are not converted.
    thin = max(1, min(depth.shape[1] // size[0], depth.shape[2] // size[1]))

    def plane(i: int, step: int = 1) -> Tensor:
        return plane_of(depth[i : i + 1, ::step, ::step], kind)[0][0]

    if len(depth) > 1:
        below = kept_plane_film(lambda i: plane(at[i], thin), len(at), size)
    else:
        below = kept_plane(small_plane(plane(0), view_size(height, width)))
    return {
        "picture": kept_film(lambda i: seen[i], len(at), size) if len(seen) > 1 else kept_picture(seen[0]),
        "plane": below,
        "at": at,
        "clip": count if clip else 0,
        "kind": plane_of(depth[:1], kind)[1],
    }


def _columns(cells: int, size: tuple[int, int]) -> int:
    """So many that the sheet is about as wide as tall."""
    return min(cells, math.ceil(math.sqrt(cells * size[0] / size[1])))


def sheet_of(cell: Callable[[int], Tensor], cells: int, columns: int) -> Tensor:
    """cell(i) -> [h, w, C], i < cells -> [rows * h, columns * w, C], row by row; the last cell fills what is left."""
    rows = -(-cells // columns)
    one = cell(0)
    h, w, channels = one.shape
    sheet = one.new_empty(rows * h, columns * w, channels)
    for i in range(rows * columns):
        look()
        one = cell(i) if 0 < i < cells else one
        row, column = divmod(i, columns)
        sheet[row * h : (row + 1) * h, column * w : (column + 1) * w] = one
    return sheet
