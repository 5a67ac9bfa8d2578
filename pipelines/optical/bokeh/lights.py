"""Lights: points far brighter than their surroundings, spread into exact images of the aperture.

A finite number of lens points turns one bright pixel into as many dots. So the light above a cap leaves the sampled
scene and is scattered through the aperture's kernel instead; what the lens points saw says how much of it nearer
things hide.
"""
import math

import torch
from torch import Tensor

from ...optics.aperture import aperture_kernel
from ...optics.fft import good_size
from ...optics.window import window_mean

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
    mean = window_mean(level[None, None], k)[0, 0]
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


def light_bins(lights: Tensor, radius: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
    """Lights [H, W, 3] sorted by radius: {signed step: (pixel numbers [L], light [L, 3])}; a light between two steps
    is shared by both."""
    at = (lights.amax(-1) > 0).reshape(-1).nonzero()[:, 0]
    if not len(at):
        return {}
    light, r = lights.reshape(-1, 3)[at], radius.reshape(-1)[at]
    step, frac = radius_steps(r)
    sign = torch.where(r < 0, -1, 1)
    at, light = torch.cat([at, at]), torch.cat([light * (1 - frac)[:, None], light * frac[:, None]])
    signed = torch.cat([step * sign, (step + 1) * sign])
    order = signed.argsort(stable=True)
    steps, counts = signed[order].unique_consecutive(return_counts=True)
    parts = zip(at[order].split(counts.tolist()), light[order].split(counts.tolist()), strict=True)
    return dict(zip(steps.tolist(), parts, strict=True))


def add_lights(out: Tensor, at: Tensor, light: Tensor, visible: Tensor, aperture: Tensor, radius: float):
    """Add to out [H, W, 3] the lights of pixels `at` [L], each spread over the aperture's image of this signed radius
    and seen through visible [H, W]. Works on the smallest box that holds them."""
    h, w, _ = out.shape
    kernel = aperture_kernel(aperture, abs(radius))
    if radius < 0:
        kernel = kernel.flip(0, 1)
    p = kernel.shape[0] // 2
    y, x = at // w, at % w
    top, left = int(y.min()), int(x.min())
    bh, bw = int(y.max()) - top + 1, int(x.max()) - left + 1
    box = torch.zeros(bh * bw, 3, device=out.device).index_add_(0, (y - top) * bw + x - left, light).view(bh, bw, 3)
    spread = scatter(box, kernel)
    y0, x0 = max(0, top - p), max(0, left - p)
    y1, x1 = min(h, top + bh + p), min(w, left + bw + p)
    part = spread[y0 - top + p:y1 - top + p, x0 - left + p:x1 - left + p]
    out[y0:y1, x0:x1] += visible[y0:y1, x0:x1, None] * part


def scatter(light: Tensor, kernel: Tensor) -> Tensor:
    """[H, W, 3] light through a kernel [K, K] -> [H + K - 1, W + K - 1, 3]: the full convolution."""
    h, w, _ = light.shape
    h, w = h + kernel.shape[0] - 1, w + kernel.shape[1] - 1
    size = (good_size(h), good_size(w))
    spectrum = torch.fft.rfft2(light.permute(2, 0, 1), s=size) * torch.fft.rfft2(kernel, s=size)
    return torch.fft.irfft2(spectrum, s=size)[:, :h, :w].permute(1, 2, 0).clamp(min=0)
