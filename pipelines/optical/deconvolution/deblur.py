"""deblur: a defocused photo -> everything in focus, as far as the light allows."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from ...image.checks import RefocusError, check_image, match_batch
from ...image.progress import Clock
from ...optics.aperture import check_aperture
from ...optics.lens import DefocusMap
from .estimate import estimate_defocus
from .operator import SHARP
from .restore import GRADIENT_STEPS, NOISE, STEPS, restore

TILE = 640  # px: bounds the memory; a tile and its slices take some 300 MiB
NOISE_BLIND = 0.008  # sRGB: an estimated radius is off by some tenths of a pixel
_FEATHER = 16  # px over which two tiles are blended
_FARTHEST = 96  # px: wider surroundings cost time and tell little


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
    1 map or B, resized to the image if need be; None: estimated from the picture. aperture: mask [1, S, S], None =
    circle. strength 0..1: 0 gives the input bit for bit, 1 the full correction. progress(done, total) is called
    several times a second and may raise to cancel. Returns float32 [B, H, W, 3] sRGB in 0..1. Raises RefocusError on
    wrong input. Method: restore.restore on overlapping tiles.
    """
    image = check_image(image)
    if not 0 <= strength <= 1:
        raise RefocusError(f"strength is {strength}, but 0 (no change) to 1 (full correction) is needed.")
    if strength == 0:
        return image
    n, h, w = image.shape[:3]
    noise = NOISE if defocus is not None else NOISE_BLIND
    if defocus is None:
        # The restoration takes most of the time; until then the count stays at 0, but a cancel is heard.
        defocus = estimate_defocus(image, progress=progress and (lambda done, total: progress(0, total)))
    if not isinstance(defocus, DefocusMap):
        raise RefocusError(
            f"defocus is a {type(defocus).__name__}, but a defocus map is needed: "
            "connect the output of a lens node, or nothing to have it estimated."
        )
    radius = match_batch(defocus.scaled_to(h, w).radius, n, "defocus map").to(image.device)
    aperture = check_aperture(aperture).to(image.device)
    jobs = [(i, tile) for i in range(n) for tile in _tiles(radius[i])]
    clock = Clock(progress, len(jobs) * (1 + STEPS * GRADIENT_STEPS))
    total, weight = torch.zeros_like(image), torch.zeros_like(image[..., :1])
    for k, (i, (ys, xs, halo)) in enumerate(jobs):
        clock.to(k * (1 + STEPS * GRADIENT_STEPS))
        y0, y1, x0, x1 = max(0, ys[0] - halo), min(h, ys[1] + halo), max(0, xs[0] - halo), min(w, xs[1] + halo)
        part, r = image[i, y0:y1, x0:x1], radius[i, y0:y1, x0:x1]
        if r.abs().max() >= SHARP:
            part = restore(part.movedim(-1, 0), r, aperture, halo // 2, noise, clock.tick).movedim(0, -1)
        ramp = _ramp(ys, h, y0, y1, image)[:, None] * _ramp(xs, w, x0, x1, image)
        total[i, y0:y1, x0:x1] += ramp[..., None] * part
        weight[i, y0:y1, x0:x1] += ramp[..., None]
    sharp = total / weight
    touched = (sharp - image).abs().amax(-1, keepdim=True) > 1e-6
    clock.to(clock.total)
    return torch.where(touched, image + strength * (sharp - image), image).clamp(0, 1)


def _tiles(radius: Tensor) -> Iterator[tuple[tuple[int, int], tuple[int, int], int]]:
    """(rows, columns, halo): near equal parts, and how far round each is read: light crosses two radii."""
    h, w = radius.shape
    for ys in _parts(h):
        for xs in _parts(w):
            (y0, y1), (x0, x1) = ((max(0, a - _FARTHEST), b + _FARTHEST) for a, b in (ys, xs))
            r = float(radius[y0:y1, x0:x1].abs().max())
            yield ys, xs, min(_FARTHEST, 2 * math.ceil(r) + _FEATHER)


def _parts(n: int) -> list[tuple[int, int]]:
    count = math.ceil(n / TILE)
    cuts = [round(n * k / count) for k in range(count + 1)]
    return list(pairwise(cuts))


def _ramp(part: tuple[int, int], n: int, start: int, end: int, like: Tensor) -> Tensor:
    """Weight along one axis: 1 in the part, down to 0 over the feather outside; 1 to the picture's border."""
    x = torch.arange(start, end, device=like.device, dtype=like.dtype) + 0.5
    up = torch.ones_like(x) if part[0] == 0 else ((x - part[0]) / _FEATHER + 0.5).clamp(0, 1)
    down = torch.ones_like(x) if part[1] == n else ((part[1] - x) / _FEATHER + 0.5).clamp(0, 1)
    return up * down
