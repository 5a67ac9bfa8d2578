"""Spread lights over the exact image of the aperture, less what nearer things hide of it."""
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...optics.aperture import aperture_kernel
from ...optics.fft import good_size
from .lens import Field, Lens
from .lights import Lights, signed_radius, sort_by, sort_by_radius

_FFT_COST = 40     # an FFT's work per pixel of its box, in multiply-adds of a direct sum
_FIELD_CELLS = 12  # parts of the picture's width within which one cat's eye serves
_BLOCK = 8         # lights of one depth within radius / _BLOCK pixels are hidden alike
_GROUPS = 2048     # at most about so many groups of hidden lights to a tile


def add_lights(out: Tensor, lights: Lights, open_: Tensor, lens: Lens, field: Field, tick) -> None:
    """Add lights to out [H, W, 3]. open_ [L, N] uint8: which lens points see each light past nearer things; around a
    lens point, its part of the aperture's image is as open as the point."""
    free = open_.bool().all(1)
    block = max(1.0, math.sqrt(int((~free).sum()) / _GROUPS))
    for step, (which, share) in sort_by_radius(lights.radius).items():
        radius = signed_radius(step)
        kernel = aperture_kernel(lens.mask(radius), abs(radius)) if radius else torch.ones(1, 1, device=out.device)
        cell = lens_cells(lens, kernel.shape[0], abs(radius))
        key = _groups(lights.x[which], lights.y[which], free[which], abs(radius), block, lens, field)
        for members in sort_by(key).values():
            i = which[members]
            light = lights.light[i] * share[members][:, None]
            image = kernel
            if not free[i[0]]:
                weight = light.sum(1)
                seen = (open_[i].float() * weight[:, None]).sum(0) / weight.sum().clamp(min=1e-9)
                image = image * seen[cell]
            if lens.cats_eye:
                x, y = lights.x[i].float().mean(), lights.y[i].float().mean()
                barrel = _barrel(kernel.shape[0], abs(radius), lens, *field.shift(x, y, lens.cats_eye))
                # The picture is exposed alike everywhere, so what the barrel leaves is as bright as the whole.
                image = image * barrel / (kernel * barrel).sum().clamp(min=1e-9)
            _spread(out, lights.x[i], lights.y[i], light, image.flip(0, 1) if radius < 0 else image)
        tick(len(lens.points) - 1)


def _groups(x: Tensor, y: Tensor, free: Tensor, radius: float, block: float, lens: Lens, field: Field) -> Tensor:
    """Number of the group [l] in which one image serves: the free ones, in parts of the field if that matters, and
    small blocks of the others."""
    side = max(2.0, block, radius / _BLOCK)
    hidden = 1 + ((y + field.y + 4096) // side).long() * 65536 + ((x + field.x + 4096) // side).long()
    if lens.cats_eye:
        side = math.ceil(field.width / _FIELD_CELLS)
        whole = -1 - ((y + field.y + 4096) // side) * 65536 - (x + field.x + 4096) // side
    else:
        whole = torch.zeros_like(x)
    return torch.where(free, whole, hidden)


def lens_cells(lens: Lens, size: int, radius: float) -> Tensor:
    """[K, K]: which lens point is nearest to each pixel of the aperture's image at this radius (> 0)."""
    c = ((torch.arange(size, device=lens.points.device) - size // 2) / max(radius, 0.5)).clamp(-1, 1)
    where = torch.stack(torch.meshgrid(c, c, indexing="xy"), -1)[None]
    cells = lens.nearest.float()[None, None]
    return F.grid_sample(cells, where, mode="nearest", padding_mode="border", align_corners=False)[0, 0].long()


def _barrel(size: int, radius: float, lens: Lens, x: Tensor, y: Tensor) -> Tensor:
    """[K, K]: where the barrel's opening, shifted by (x, y) radii, passes; its edge is one pixel wide."""
    c = (torch.arange(size, device=lens.points.device) - size // 2) / radius
    return ((lens.rim - torch.hypot(c[None] - x, c[:, None] - y)) * radius + 1).clamp(0, 1)


def _spread(out: Tensor, x: Tensor, y: Tensor, light: Tensor, kernel: Tensor):
    h, w, _ = out.shape
    k = kernel.shape[0]
    p = k // 2
    top, left = int(y.min()), int(x.min())
    bh, bw = int(y.max()) - top + 1, int(x.max()) - left + 1
    if len(x) * k * k < _FFT_COST * (bh + k) * (bw + k):
        for py, px, colour in zip(y.tolist(), x.tolist(), light, strict=True):
            y0, x0, y1, x1 = max(0, py - p), max(0, px - p), min(h, py + p + 1), min(w, px + p + 1)
            part = kernel[y0 - py + p:y1 - py + p, x0 - px + p:x1 - px + p]
            out[y0:y1, x0:x1] += part[..., None] * colour
        return
    box = torch.zeros(bh * bw, 3, device=out.device).index_add_(0, (y - top) * bw + x - left, light).view(bh, bw, 3)
    spread = scatter(box, kernel)
    y0, x0 = max(0, top - p), max(0, left - p)
    y1, x1 = min(h, top + bh + p), min(w, left + bw + p)
    out[y0:y1, x0:x1] += spread[y0 - top + p:y1 - top + p, x0 - left + p:x1 - left + p]


def scatter(light: Tensor, kernel: Tensor) -> Tensor:
    """[H, W, 3] light through a kernel [K, K] -> [H + K - 1, W + K - 1, 3]: the full convolution."""
    h, w, _ = light.shape
    h, w = h + kernel.shape[0] - 1, w + kernel.shape[1] - 1
    size = (good_size(h), good_size(w))
    spectrum = torch.fft.rfft2(light.permute(2, 0, 1), s=size) * torch.fft.rfft2(kernel, s=size)
    return torch.fft.irfft2(spectrum, s=size)[:, :h, :w].permute(1, 2, 0).clamp(min=0)
