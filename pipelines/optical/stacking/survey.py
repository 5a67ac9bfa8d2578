"""The first pass over a stack: frame by frame at a quarter of the size, so that any number of frames fits."""
from collections.abc import Callable

import torch
from torch import Tensor

from ...optics.light import decode_srgb
from . import lights
from .bands import down
from .filters import gaussian
from .measure import QUARTER, coarse_measure, coarse_octaves
from .source import Stack
from .tiles import Tile, tiles


def quarter_size(height: int, width: int) -> tuple[int, int]:
    return -(-height // QUARTER), -(-width // QUARTER)


def _quarter(frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[3, H, W] sRGB -> a quarter of the size: colour [3, h, w] sRGB, light [1, h, w] linear, clipped [1, h, w]."""
    light = decode_srgb(frame).mean(0, keepdim=True)
    clipped = (frame.amax(0, keepdim=True) >= lights.CLIPPED).float()
    return down(down(torch.cat([frame, light, clipped])[None]))[0].split([3, 1, 1])


def survey(stack: Stack, tick: Callable[[], None]) -> Tensor:
    """stack of N frames -> [N, h, w] at a quarter of the size: coarse octaves of the measure, with the light that
    clipping swallowed. tick is called after every part of a frame (parts() of them)."""
    n, (height, width) = len(stack), stack.size
    h, w = quarter_size(height, width)
    device = stack.frames.device
    measure, light = torch.empty(n, h, w, device=device), torch.empty(n, h, w, device=device)
    clipped, colour = torch.zeros(1, h, w, device=device), torch.empty(3, h, w, device=device)
    octaves = coarse_octaves(height, width)
    for i in range(n):
        for t in parts(height, width):
            inner = tuple(slice(-(-s.start // QUARTER), -(-s.stop // QUARTER)) for s in t.inner)
            core = tuple(slice(-(-s.start // QUARTER), -(-s.stop // QUARTER)) for s in t.core)
            c, e, z = _quarter(stack.read(i, t.outer)[0])
            colour[(slice(None), *core)] = c[(slice(None), *inner)]
            light[(i, *core)] = e[(0, *inner)]
            clipped[(0, *core)] = torch.maximum(clipped[(0, *core)], z[(0, *inner)])
            tick()
        measure[i] = coarse_measure(colour[None], octaves)[0]
    sigma = max(0.5, lights.WINDOW * max(height, width) / QUARTER)
    for i in range(n):
        light[i] = gaussian(light[i:i + 1], sigma)[0]      # frame by frame: the planes of all frames are held once
    most, near = light.amax(0), lights.near_clipped(clipped, sigma)[0]
    for i in range(n):
        measure[i] += lights.WEIGHT * (most - light[i]) * near
    return measure


def parts(height: int, width: int) -> list[Tile]:
    """Windows of about two megapixels, in which survey() reads a frame."""
    return tiles(height, width, halo=2 * QUARTER, area=2_000_000)
