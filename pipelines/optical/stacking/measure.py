"""How sharp each frame is at each pixel.

The measure adds up octaves with equal weight: fine ones follow the outline of a twig, coarse ones carry the verdict
of an edge into the smooth inside of a bar, where the fine ones hear only noise, or a background that shines through
the bar in frames where it is out of focus. The two finest octaves are measured tile by tile, the coarser ones once
for the whole picture at a quarter of its size.
"""
import math

import torch.nn.functional as F
from torch import Tensor

from .bands import down, up
from .filters import gaussian

# Window of the measure, in samples of its octave.
WINDOW = 1.5
FINE_OCTAVES = 2
QUARTER = 2 ** FINE_OCTAVES
# Samples on the long side of the coarsest octave: blur scales with the picture, so its number of pixels does not count.
COARSEST_SIDE = 120
# What rounding to 8 bits alone measures: below this nothing is known.
ROUNDING = 0.02


def sharpness(x: Tensor) -> Tensor:
    """x [N, C, H, W] sRGB -> [N, H, W] >= 0, summed over channels and a Gaussian window.

    Sum-modified Laplacian (Nayar and Nakagawa, "Shape from Focus", 1994, eq. 9):
    |2x - left - right| + |2x - up - down|.
    """
    p = F.pad(x, (1, 1, 1, 1), mode="replicate")
    bend = (2 * x - p[..., 1:-1, :-2] - p[..., 1:-1, 2:]).abs()
    bend += (2 * x - p[..., :-2, 1:-1] - p[..., 2:, 1:-1]).abs()
    return gaussian(bend.sum(1), WINDOW)


def fine_measure(x: Tensor) -> Tensor:
    """x [N, 3, H, W] sRGB -> [N, H, W]: the two finest octaves."""
    return sharpness(x) + up(sharpness(down(x))[:, None], *x.shape[-2:])[:, 0]


def coarse_octaves(height: int, width: int) -> int:
    """Octaves from a quarter of the size on: 1 up to 480 pixels, 4 at 4K."""
    return 1 + max(0, round(math.log2(max(height, width) / (QUARTER * COARSEST_SIDE))))


def coarse_measure(quarter: Tensor, octaves: int) -> Tensor:
    """quarter [N, 3, h, w], frames at a quarter of their size -> [N, h, w]: the octaves from the third on."""
    total, x = sharpness(quarter), quarter
    for octave in range(1, octaves):
        x = down(x)
        total += up(sharpness(x)[:, None], *quarter.shape[-2:], 2 ** octave)[:, 0]
    return total
