"""A focal stack as a film that a page scrubs without running anything, and the map of where each frame is sharp."""

import math
import os
import weakref
from collections.abc import Callable
from typing import Any

import folder_paths
from torch import Tensor

from ..pipelines.optical.focal_stack import sharpest_map
from .films import frames_shown, sheet_of
from .views import in_8_bits, kept_pixels, kept_plane, small_picture, view_size

LARGEST = 640  # pixels of a frame's longer side
PIXELS = 12 << 20  # of all frames together: 48 MB once a page has decoded them
MOST = 100  # frames; a longer stack is thinned evenly
ACROSS = 4096  # pixels of a row of frames
QUALITY = 92  # of a JPEG

# A stack that goes from node to node is one tensor, and its film one: {id of the tensor: (the tensor, its film)}.
_known: dict[int, tuple[weakref.ref, dict[str, Any]]] = {}


def film_of(stack: Tensor, given: Tensor | None = None) -> dict[str, Any]:
    """stack [N, H, W, 3] -> its film, for a page. given: the tensor that came over the link, if it is another.

    {frames: N; kept: how many of them, evenly from the first to the last; sheet: the entry of a JPEG in which they lie
    row by row, `columns` to a row, each `width` x `height`; map: the entry of sharpest_map as 16 bits of 0..1}
    """
    link = stack if given is None else given
    known, film = _known.get(id(link), (None, {}))
    if known is None or known() is not link or not all(_is_there(film[name]) for name in ("sheet", "map")):
        film = _film(stack)
        _known[id(link)] = weakref.ref(link, _forget(id(link))), film
    return film


def _forget(key: int) -> Callable[[object], object]:
    return lambda _: _known.pop(key, None)


def _film(stack: Tensor) -> dict[str, Any]:
    n, h, w, _ = stack.shape
    at = frames_shown(n, MOST)
    most = max(1, min(LARGEST, int(max(h, w) * math.sqrt(PIXELS / (len(at) * h * w)))))
    height, width = view_size(h, w, most)
    columns = min(len(at), max(1, ACROSS // width))
    sheet = sheet_of(lambda i: in_8_bits(small_picture(stack[at[i]], most)), len(at), columns)
    return {
        "frames": n,
        "kept": len(at),
        "columns": columns,
        "width": width,
        "height": height,
        "sheet": kept_pixels(sheet, QUALITY),
        "map": kept_plane(sharpest_map(stack), (0.0, 1.0)),
    }


def _is_there(entry: dict[str, Any]) -> bool:
    return os.path.exists(os.path.join(folder_paths.get_temp_directory(), entry["filename"]))
