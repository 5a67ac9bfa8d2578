"""Smooth each surface to the spacing of the lens points' images, so that sampling leaves no pattern.

One lens point stands for a cell of the aperture; on a surface of blur radius r its image is r * sqrt(pi / N) wide.
Averaging the surface over that width before sampling integrates the cell.
"""
import math

import torch
from torch import Tensor

from ...optics.window import window_mean

_WIDTHS = (1, 3, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97)


def prefilter(colour: Tensor, radius: Tensor, samples: int) -> Tensor:
    """colour [H, W, 3] linear, radius [H, W], number of lens points -> [H, W, 3].

    Box means among pixels of about the same blur on the same side of the focal plane.
    """
    width = radius.abs() * math.sqrt(math.pi / samples)
    out = colour.clone()
    both = torch.cat([colour.permute(2, 0, 1), torch.ones_like(radius)[None]])
    largest = float(width.max())
    for i, k in enumerate(_WIDTHS[1:], 1):
        low = (_WIDTHS[i - 1] + k) / 2
        if low > largest:
            break
        high = (k + _WIDTHS[i + 1]) / 2 if i + 1 < len(_WIDTHS) else math.inf
        # Half a step more on both sides: at the limit between two widths both see the same surface.
        for side in (radius > 0, radius < 0):
            here = (width >= low) & (width < high) & side
            if not here.any():
                continue
            near = ((width >= low / 1.5) & (width < high * 1.5) & side).float()
            v = window_mean((both * near)[None], k, inside=False)[0]
            out = torch.where(here[..., None], (v[:3] / v[3:].clamp(min=1e-6)).permute(1, 2, 0), out)
    return out
