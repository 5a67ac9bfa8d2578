"""Lights: points far brighter than their surroundings, spread into exact images of the aperture.

A finite number of lens points turns one bright pixel into as many dots. So the light above a cap leaves the sampled
scene and is scattered through the aperture's kernel instead; what the lens points saw says how much of it nearer
things hide.
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...optics.aperture import aperture_kernel
from ...optics.fft import good_size

_CONTRAST = 4.0       # times the mean of the neighbourhood
_NEIGHBOURHOOD = 25   # pixels
_FINE = 40            # pixels of radius up to which discs are told apart by one
_MIN_RADIUS = 2.0     # below this the lens points leave no gaps


def split_lights(linear: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """linear [H, W, 3], radius [H, W] -> (scene, lights), which add up to linear.

    A light is what exceeds white or, if darker, _CONTRAST times the mean around it, where it is out of focus.
    """
    level = linear.amax(-1)
    k = _NEIGHBOURHOOD
    mean = F.avg_pool2d(level[None, None], k, 1, k // 2, count_include_pad=False)[0, 0]
    cap = (_CONTRAST * mean).clamp(max=1)
    share = ((level - cap) / level.clamp(min=1e-9)).clamp(min=0) * (radius.abs() > _MIN_RADIUS)
    lights = linear * share[..., None]
    return linear - lights, lights


def radius_steps(radius: Tensor) -> tuple[Tensor, Tensor]:
    """|radius| > 0 -> (step number, fraction towards the next): steps of 1 px to _FINE px, then of 1 / _FINE."""
    a = radius.abs().clamp(min=1e-6)
    s = torch.where(a < _FINE, a, _FINE + torch.log(a / _FINE) / math.log(1 + 1 / _FINE))
    return s.floor().long(), s - s.floor()


def step_radius(step: int) -> float:
    return float(step) if step < _FINE else _FINE * (1 + 1 / _FINE) ** (step - _FINE)


def light_bins(lights: Tensor, radius: Tensor) -> dict[int, Tensor]:
    """Lights [H, W, 3] sorted by radius: {signed step: [H, W, 3]}; a light between two steps is shared by both."""
    h, w = radius.shape
    at = (lights.amax(-1) > 0).reshape(-1).nonzero()[:, 0]
    if not len(at):
        return {}
    light, r = lights.reshape(-1, 3)[at], radius.reshape(-1)[at]
    step, frac = radius_steps(r)
    sign = torch.where(r < 0, -1, 1)
    at, light = torch.cat([at, at]), torch.cat([light * (1 - frac)[:, None], light * frac[:, None]])
    signed = torch.cat([step * sign, (step + 1) * sign])
    bins = {}
    for b in signed.unique().tolist():
        here = signed == b
        bins[b] = torch.zeros(h * w, 3, device=lights.device).index_add_(0, at[here], light[here]).view(h, w, 3)
    return bins


def scatter(light: Tensor, aperture: Tensor, radius: float) -> Tensor:
    """[H, W, 3] light, each pixel spread over the aperture's image of this signed radius, out of the frame too."""
    kernel = aperture_kernel(aperture, abs(radius))
    if radius < 0:
        kernel = kernel.flip(0, 1)
    h, w, _ = light.shape
    p = kernel.shape[0] // 2
    size = (good_size(h + 2 * p), good_size(w + 2 * p))
    spectrum = torch.fft.rfft2(light.permute(2, 0, 1), s=size) * torch.fft.rfft2(kernel, s=size)
    return torch.fft.irfft2(spectrum, s=size)[:, p:p + h, p:p + w].permute(1, 2, 0).clamp(min=0)
