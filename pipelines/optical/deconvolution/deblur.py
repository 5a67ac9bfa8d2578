"""deblur: a defocused photo -> everything in focus, as far as the light allows."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from ...image.checks import check_image, check_number, match_batch
from ...image.progress import Counter, bands
from ...optics.aperture import check_aperture
from ...optics.lens import DefocusMap, check_defocus
from .estimate import estimate_defocus
from .operator import SHARP
from .restore import GRADIENT_STEPS, NOISE, STEPS, restore

TILE = 640  # px: bounds the memory; a tile and its slices take some 300 MiB
NOISE_BLIND = 0.008  # sRGB: an estimated radius is off by some tenths of a pixel
_FEATHER = 16  # px over which two tiles are blended
_FARTHEST = 96  # px: wider surroundings cost time and tell little
_PASSES = 1 + STEPS * GRADIENT_STEPS  # of one tile, as restore counts them

Span = tuple[int, int]  # from, to (not included), along one axis


def deblur(
    image: Tensor,
    defocus: DefocusMap | None = None,
    *,
    aperture: Tensor | None = None,
    strength: float = 1.0,
    progress: Callable[[int, int], object] | None = None,
) -> Tensor:
    """Undo defocus by deconvolution; sharpens mild blur (radius to about 10 px), cannot invent lost detail.

    image [B, H, W, 3] sRGB in 0..1, 8-bit steps welcome. defocus: signed blur radius in pixels of the sharp picture,
    1 map or B, resized to the image if need be, where more than 96 counts as 96; None: estimated from the picture.
    aperture: mask [1, S, S], None = circle. strength 0..1: 0 gives the input bit for bit, 1 the full correction.
    progress(done, total) is called several times a second and may raise to cancel. Returns float32 [B, H, W, 3] sRGB
    in 0..1. Raises RefocusError on wrong input. Method: restore.restore on overlapping tiles.
    """
    image = check_image(image)
    check_number("strength", strength, 0, 1, why="0 is no change, 1 the full correction")
    if strength == 0:
        return image
    n, h, w = image.shape[:3]
    noise = NOISE if defocus is not None else NOISE_BLIND
    if defocus is None:
        # The restoration takes most of the time; until then the count stays at 0, but a cancel is heard.
        defocus = estimate_defocus(image, progress=progress and (lambda done, total: progress(0, total)))
    defocus = check_defocus(defocus)
    passes = n * len(_spans(h)) * len(_spans(w)) * _PASSES
    with Counter(progress, passes) as counter:
        counter.pulse()
        radius = match_batch(defocus.scaled_to(h, w).radius, n, "defocus map").to(image.device)
        radius = radius.clamp(-_FARTHEST, _FARTHEST)  # nothing of what a larger disc washed out can be brought back
        return _deblurred(image, radius, check_aperture(aperture).to(image.device), strength, noise, counter)


def _deblurred(
    image: Tensor, radius: Tensor, aperture: Tensor, strength: float, noise: float, counter: Counter
) -> Tensor:
    """image [B, H, W, 3], radius [B, H, W], aperture [1, S, S] -> [B, H, W, 3]."""
    n, h, w = image.shape[:3]
    jobs = [(i, tile) for i in range(n) for tile in _tiles(radius[i])]
    total, weight = torch.zeros_like(image), torch.zeros_like(image[..., :1])
    for k, (i, (rows, columns, halo)) in enumerate(jobs):
        counter.to(k * _PASSES)
        (y0, y1), (x0, x1) = _widened(rows, halo, h), _widened(columns, halo, w)
        photo, r = image[i, y0:y1, x0:x1], radius[i, y0:y1, x0:x1]
        sharp = photo
        if r.abs().max() >= SHARP:
            sharp = restore(photo.movedim(-1, 0), r, aperture, halo // 2, noise, counter.tick).movedim(0, -1)
        ramp = (_ramp(rows, h, y0, y1, image)[:, None] * _ramp(columns, w, x0, x1, image))[..., None]
        total[i, y0:y1, x0:x1] += ramp * sharp
        weight[i, y0:y1, x0:x1] += ramp
    for at in bands(image):  # in the sum's own place
        change = total[at] / weight[at] - image[at]
        touched = change.abs().amax(-1, keepdim=True) > 1e-6
        total[at] = torch.where(touched, image[at] + strength * change, image[at]).clamp(0, 1)
    counter.to(counter.total)
    return total


def _tiles(radius: Tensor) -> Iterator[tuple[Span, Span, int]]:
    """radius [H, W] -> (rows, columns, halo): near equal tiles and how many px round each are read; what a pixel shows
    and what shows it lie within two radii."""
    h, w = radius.shape
    for rows in _spans(h):
        for columns in _spans(w):
            (y0, y1), (x0, x1) = _widened(rows, _FARTHEST, h), _widened(columns, _FARTHEST, w)
            largest = float(radius[y0:y1, x0:x1].abs().max())
            yield rows, columns, min(_FARTHEST, 2 * math.ceil(largest) + _FEATHER, max(h, w))


def _spans(n: int) -> list[Span]:
    """[0, n) in near equal spans of at most TILE."""
    count = math.ceil(n / TILE)
    return list(pairwise(round(n * k / count) for k in range(count + 1)))


def _widened(span: Span, by: int, n: int) -> Span:
    return max(0, span[0] - by), min(n, span[1] + by)


def _ramp(span: Span, n: int, start: int, end: int, like: Tensor) -> Tensor:
    """[end - start]: weights of the tile `span` along an axis of n pixels, for the pixels from start to end: from 0 to
    1 over the feather, 1/2 on the tile's edge; the picture's own border has no feather."""
    x = torch.arange(start, end, device=like.device, dtype=like.dtype) + 0.5
    up = torch.ones_like(x) if span[0] == 0 else ((x - span[0]) / _FEATHER + 0.5).clamp(0, 1)
    down = torch.ones_like(x) if span[1] == n else ((span[1] - x) / _FEATHER + 0.5).clamp(0, 1)
    return up * down
