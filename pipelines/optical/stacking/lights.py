"""Lights brighter than white, whose blurred discs look sharper to any measure of contrast than the lights themselves.

Defocus moves light about but keeps its sum; clipping swallows it, and swallows most where a light is in focus, small
and far above white. So about a clipped light the frame with the least light is the sharp one.
"""
from torch import Tensor

from .filters import gaussian

# sRGB value from which a channel counts as clipped.
CLIPPED = 0.98
# Window in which light is summed, part of the long side: discs scale with the picture.
WINDOW = 0.01
# One unit of light swallowed, in units of the measure, where an edge from black to white gives about 20 an octave.
WEIGHT = 20.0


def near_clipped(clipped: Tensor, sigma: float) -> Tensor:
    """clipped [N, H, W] 0..1 -> [N, H, W], True within reach of a clipped pixel. sigma: the window, in samples."""
    return gaussian(clipped, sigma) > 1e-4
