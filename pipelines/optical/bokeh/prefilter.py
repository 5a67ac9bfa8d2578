"""Smooth each surface to the spacing of the lens points' images, so that sampling leaves no pattern.

One lens point stands for a cell of the aperture; on a surface of blur radius r its image is r * sqrt(pi / N) wide.
Averaging the surface over that width before sampling integrates the cell.
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...optics.window import window_mean

# (pixels per cell of the pyramid, window in cells): widths 3, 5, 7, 10, 14, 20, 28, ...
_WINDOWS = ((1, 3), (1, 5), (1, 7)) + tuple((s, k) for s in (2, 4, 8, 16) for k in (5, 7))
# Tiles whose first pixel is a multiple of this agree.
GRID = _WINDOWS[-1][0]


def prefilter(colour: Tensor, radius: Tensor, samples: int) -> Tensor:
    """colour [H, W, 3] linear, radius [H, W], number of lens points -> [H, W, 3].

    Box means among pixels of about the same blur on the same side of the focal plane; wide ones on a pyramid, so
    that the cost does not grow with the blur.
    """
    h, w = radius.shape
    width = radius.abs() * math.sqrt(math.pi / samples)
    both = torch.cat([colour.permute(2, 0, 1), torch.ones_like(radius)[None]])
    out, largest = both[:3].clone(), float(width.max())
    for i, (s, k) in enumerate(_WINDOWS):
        low = (s * k + (_WINDOWS[i - 1][0] * _WINDOWS[i - 1][1] if i else 1)) / 2
        if low > largest:
            break
        high = (s * k + _WINDOWS[i + 1][0] * _WINDOWS[i + 1][1]) / 2 if i + 1 < len(_WINDOWS) else math.inf
        # Half a step more on both sides: at the limit between two widths both see the same surface.
        for side in (radius > 0, radius < 0):
            here = (width >= low) & (width < high) & side
            if not here.any():
                continue
            near = (width >= low / 1.5) & (width < high * 1.5) & side
            v = (both * near)[None]
            if s > 1:
                v = F.avg_pool2d(F.pad(v, (0, -w % s, 0, -h % s)), s)
            v = window_mean(v, k, inside=False)
            v = v[:, :3] / v[:, 3:].clamp(min=1e-6)
            if s > 1:
                v = F.interpolate(v, scale_factor=s, mode="bilinear", align_corners=False)[..., :h, :w]
            out = torch.where(here, v[0], out)
    return out.permute(1, 2, 0).contiguous()
