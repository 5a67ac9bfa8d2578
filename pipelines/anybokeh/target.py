"""The blur to be painted: the photo's own lens, read out of its blur, and refocused.

    CoC = k (d_s - d)           the photo: d_s is in focus
    target = k s (d_f - d)      d_f is in focus, s is how much wider the aperture is opened

Convention: disparity d is larger where it is nearer; CoC in pixels, positive behind the focal plane, as in DefocusMap.
Source: AnyBokeh (arXiv 2606.31959), published inference; quantiles and medians are numpy's.
"""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

IN_FOCUS, BLURRED = 0.01, 0.95  # quantiles of |CoC|
LEAST_DEPTH = 1e-3  # of disparity between the focal plane and what k is read from


@dataclass(frozen=True)
class PhotoLens:
    """k: CoC in pixels per unit of disparity; below 0 where blur and disparity disagree about what is near, NaN where
    nothing stands out of the focal plane. focus: disparity in focus."""

    k: float
    focus: float


def photo_lens(coc: Tensor, disparity: Tensor) -> PhotoLens:
    """The lens that took a photo, from its CoC and disparity [H, W]."""
    c, d = (t.detach().float().cpu().numpy() for t in (coc, disparity))
    a = np.abs(c)
    focus = np.median(d[a <= np.quantile(a, IN_FOCUS)])
    far = (a >= np.quantile(a, BLURRED)) & (np.abs(focus - d) > LEAST_DEPTH)
    return PhotoLens(float(np.median(c[far] / (focus - d[far]))) if far.any() else math.nan, float(focus))


def refocused(lens: PhotoLens, disparity: Tensor, focus: Tensor | float, scale: float, *, as_published: bool = False):
    """target [H, W] for disparity [H, W]: focus at the disparity d_f, the aperture `scale` times as wide.

    A scene without depth has no lens to be read: nothing is blurred, and a k below 0 keeps the photo's own signs.
    as_published: it is all NaN, and k is taken without its sign.
    """
    k = abs(lens.k) if as_published else (0.0 if math.isnan(lens.k) else lens.k)
    return k * scale * (focus - disparity)
