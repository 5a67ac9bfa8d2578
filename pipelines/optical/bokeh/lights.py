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
from .lens import Field, Lens

_CONTRAST = 4.0       # times the mean of the neighbourhood
_NEIGHBOURHOOD = 25   # pixels
_STEP = 0.5           # pixels of radius by which discs are told apart ...
_FINE = 20            # ... up to this radius, from there by the same ratio
_MIN_RADIUS = 2.0     # below this the lens points leave no gaps
_FFT_COST = 40        # an FFT's work per pixel of its box, in multiply-adds of a direct sum
_CELLS = 12           # parts of the picture's width within which one cat's eye serves


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
    """|radius| -> (step number, fraction towards the next): steps of _STEP to _FINE px, then of one ratio."""
    a, ratio = radius.abs().clamp(min=1e-6), 1 + _STEP / _FINE
    s = torch.where(a < _FINE, a / _STEP, _FINE / _STEP + torch.log(a / _FINE) / math.log(ratio))
    return s.floor().long(), s - s.floor()


def signed_radius(step: int) -> float:
    """The radius of a step counted from 0, negative in front of the focal plane."""
    fine, a = _FINE / _STEP, abs(step)
    return math.copysign(a * _STEP if a < fine else _FINE * (1 + _STEP / _FINE) ** (a - fine), step)


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
    return _sorted_by(torch.cat([step * sign, (step + 1) * sign]), at, light)


def _sorted_by(key: Tensor, at: Tensor, light: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
    order = key.argsort(stable=True)
    keys, counts = key[order].unique_consecutive(return_counts=True)
    parts = zip(at[order].split(counts.tolist()), light[order].split(counts.tolist()), strict=True)
    return dict(zip(keys.tolist(), parts, strict=True))


def add_lights(out: Tensor, at: Tensor, light: Tensor, visible: Tensor, lens: Lens, field: Field, radius: float):
    """Add to out [H, W, 3] the lights of pixels `at` [L], each spread over the aperture's image of this signed radius
    and seen through visible [H, W]."""
    kernel = aperture_kernel(lens.mask(radius), abs(radius))
    if not lens.cats_eye:
        _spread(out, at, light, visible, kernel.flip(0, 1) if radius < 0 else kernel)
        return
    w = out.shape[1]
    side = math.ceil(field.width / _CELLS)
    column, row = (at % w + field.x) // side, (at // w + field.y) // side
    for cell, (pixels, part) in _sorted_by(row * _CELLS + column, at, light).items():
        middle = ((cell % _CELLS + 0.5) * side - field.x, (cell // _CELLS + 0.5) * side - field.y)
        shift = field.shift(*map(torch.tensor, middle), lens.cats_eye)
        cut = kernel * _barrel(kernel.shape[0], abs(radius), lens, *shift)
        cut = cut / cut.sum().clamp(min=1e-9)
        _spread(out, pixels, part, visible, cut.flip(0, 1) if radius < 0 else cut)


def _barrel(size: int, radius: float, lens: Lens, x: Tensor, y: Tensor) -> Tensor:
    """[K, K]: where the barrel's opening, shifted by (x, y) radii, passes; its edge is one pixel wide."""
    c = (torch.arange(size, device=lens.points.device) - size // 2) / radius
    return ((lens.rim - torch.hypot(c[None] - x, c[:, None] - y)) * radius + 0.5).clamp(0, 1)


def _spread(out: Tensor, at: Tensor, light: Tensor, visible: Tensor, kernel: Tensor):
    h, w, _ = out.shape
    k = kernel.shape[0]
    p = k // 2
    y, x = at // w, at % w
    top, left = int(y.min()), int(x.min())
    bh, bw = int(y.max()) - top + 1, int(x.max()) - left + 1
    if len(at) * k * k < _FFT_COST * (bh + k) * (bw + k):
        for py, px, colour in zip(y.tolist(), x.tolist(), light, strict=True):
            y0, x0, y1, x1 = max(0, py - p), max(0, px - p), min(h, py + p + 1), min(w, px + p + 1)
            part = kernel[y0 - py + p:y1 - py + p, x0 - px + p:x1 - px + p] * visible[y0:y1, x0:x1]
            out[y0:y1, x0:x1] += part[..., None] * colour
        return
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
