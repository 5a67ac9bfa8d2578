"""How sharp each frame is at each pixel: contrast summed over octaves, and the light that clipping lost.

All octaves have equal weight. Fine ones follow the outline of a twig; coarse ones carry the verdict of an edge into the
smooth inside of a bar, where the fine ones see only noise, or a background that shows through the bar in frames where
the bar is out of focus. The two finest octaves are measured tile by tile, the coarser ones once for the whole picture
at a quarter of its size.

Highlights brighter than white mislead every measure of contrast: their blurred discs look sharper than they do. But
defocus moves light and keeps its sum, while clipping loses light, and loses most where a highlight is in focus, small
and far above white. So about a clipped highlight the frame with the least light is the sharp one.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...image.filters import gaussian
from ...image.light import decode_srgb
from ...image.progress import look
from ...image.pyramid import down, up
from ...image.tiles import Tile, tiles
from .source import Stack

WINDOW = 1.5  # sigma of the measure's window, in samples of its octave
FINE_OCTAVES = 2
QUARTER = 2**FINE_OCTAVES
COARSEST_SIDE = 120  # samples on the long side of the coarsest octave: blur in pixels grows with the picture
ROUNDING = 0.02  # what rounding to 8 bits alone measures: below this nothing is known
CLIPPED = 0.98  # sRGB value from which a channel counts as clipped
LIGHT_WINDOW = 0.01  # sigma of the window in which light is summed, of the long side: discs grow with the picture
# One unit of lost light, in units of the measure, where an edge from black to white gives about 20 an octave.
LIGHT_WEIGHT = 20.0
SURVEY_AREA = 2_000_000  # px read at once in the first pass


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
    fine = sharpness(x)
    look()
    return fine + up(sharpness(down(x))[:, None], *x.shape[-2:])[:, 0]


def coarse_octaves(height: int, width: int) -> int:
    """Octaves from a quarter of the size on: 1 up to 480 pixels, 4 at 4K."""
    return 1 + max(0, round(math.log2(max(height, width) / (QUARTER * COARSEST_SIDE))))


def coarse_measure(quarter: Tensor, octaves: int) -> Tensor:
    """quarter [N, 3, h, w], frames at a quarter of their size -> [N, h, w]: the octaves from the third on."""
    height, width = quarter.shape[-2:]
    total, x = sharpness(quarter), quarter
    for octave in range(1, octaves):
        look()
        x = down(x)
        total += up(sharpness(x)[:, None], height, width, 2**octave)[:, 0]
    return total


def survey(stack: Stack, tick: Callable[[], None]) -> Tensor:
    """The first pass over a stack: N frames -> [N, h, w] at a quarter of the size, the coarse octaves of the measure
    with the light that clipping lost.

    Frame by frame, so that any number of frames fits. tick is called after each of survey_tiles() of each frame.
    """
    n, (height, width) = len(stack), stack.size
    h, w = -(-height // QUARTER), -(-width // QUARTER)
    device = stack.frames.device
    measure, light = torch.empty(n, h, w, device=device), torch.empty(n, h, w, device=device)
    clipped, colour = torch.zeros(1, h, w, device=device), torch.empty(3, h, w, device=device)
    octaves = coarse_octaves(height, width)
    for i in range(n):
        for t in survey_tiles(height, width):
            core, inner = _quartered(t.core), _quartered(t.inner)
            c, e, z = quarter(stack.read(i, t.outer)[0])
            colour[(slice(None), *core)] = c[(slice(None), *inner)]
            light[(i, *core)] = e[(0, *inner)]
            clipped[(0, *core)] = torch.maximum(clipped[(0, *core)], z[(0, *inner)])
            tick()
        measure[i] = coarse_measure(colour[None], octaves)[0]
    sigma = max(0.5, LIGHT_WINDOW * max(height, width) / QUARTER)
    for i in range(n):
        look()
        light[i] = gaussian(light[i : i + 1], sigma)[0]  # frame by frame: the planes of all frames are held once
    most, reached = light.amax(0), gaussian(clipped, sigma)[0] > 1e-4  # within reach of a clipped pixel
    for i in range(n):
        look()
        measure[i] += LIGHT_WEIGHT * (most - light[i]) * reached
    return measure


def survey_tiles(height: int, width: int) -> list[Tile]:
    """The tiles in which survey() reads a frame."""
    return tiles(height, width, halo=2 * QUARTER, area=SURVEY_AREA)


def quarter(frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[3, H, W] sRGB -> a quarter of the size: colour [3, h, w] sRGB, light [1, h, w] linear, clipped [1, h, w]."""
    light = decode_srgb(frame).mean(0, keepdim=True)
    clipped = (frame.amax(0, keepdim=True) >= CLIPPED).float()
    return down(down(torch.cat([frame, light, clipped])[None]))[0].split([3, 1, 1])


def _quartered(window: tuple[slice, slice]) -> tuple[slice, slice]:
    """Pixels -> the samples that stand on them at a quarter of the size."""
    rows, columns = (slice(-(-s.start // QUARTER), -(-s.stop // QUARTER)) for s in window)
    return rows, columns
