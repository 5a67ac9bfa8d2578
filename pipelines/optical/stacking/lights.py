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


def swallowed_light(light: Tensor, clipped: Tensor, sigma: float) -> Tensor:
    """light [N, H, W] linear, clipped [1, H, W] 0..1 -> [N, H, W] >= 0, the light each frame lacks against the frame
    that has most, within reach of a clipped pixel; 0 elsewhere. sigma: the window, in samples."""
    total = gaussian(light, sigma)
    return (total.amax(0) - total) * (gaussian(clipped, sigma) > 1e-4)
