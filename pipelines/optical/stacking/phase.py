"""Local phase: where the waves of a picture's detail stand, whatever their height.

Defocus changes the height of every wave but, its disc being symmetric, not its place. So phase, unlike brightness,
tells the motion between two frames that are blurred differently (Fleet and Jepson, "Computation of component image
velocity from local phase information", 1990).
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Pixels from crest to crest, and the Gaussian window's sigma in wavelengths.
WAVELENGTH, WINDOW = 10.0, 0.5
# Light; waves lower than this are noise and rounding.
FAINT = 2e-4


def local_phase(light: Tensor) -> tuple[Tensor, Tensor]:
    """light [H, W] -> (unit phasors [2, 2, H, W], amplitude [2, 1, H, W]): of waves across and of waves down, each by
    a Gabor filter without its mean; a phasor is (cos, sin) of the phase and shrinks where the wave is FAINT."""
    sigma = WINDOW * WAVELENGTH
    n = math.ceil(3 * sigma)
    t = torch.arange(-n, n + 1, dtype=light.dtype, device=light.device)
    window = torch.exp(-t * t / (2 * sigma * sigma))
    window = window / window.sum()
    wave = 2 * math.pi / WAVELENGTH * t
    even, odd = window * wave.cos(), -window * wave.sin()
    even = even - even.sum() * window
    padded = F.pad(light[None, None], (n, n, n, n), mode="replicate")
    across = F.conv2d(F.conv2d(padded, window[None, None, :, None]), torch.stack([even, odd])[:, None, None])
    down = F.conv2d(F.conv2d(padded, window[None, None, None]), torch.stack([even, odd])[:, None, :, None])
    both = torch.cat([across, down])
    amplitude = both.square().sum(1, keepdim=True).sqrt()
    return both / (amplitude + FAINT), amplitude
