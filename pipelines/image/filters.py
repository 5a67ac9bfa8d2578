"""Filters on pictures and planes: sliding windows, Gaussians, guided filter, gradients, FFT sizes.

Windows are taken one axis at a time: their cost grows with the width, not the area. Smoothing is kornia's, with
replicated borders, so that a flat picture stays flat to its corners.
"""

import math
from collections.abc import Callable
from importlib import import_module

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor

from .checks import RefocusError
from .progress import PIECE, bands, look


def window_max(x: Tensor, k: int | tuple[int, int], *, pad: bool = True) -> Tensor:
    """[B, C, H, W] -> largest value in each window of k x k, or k (height, width), odd. pad=True keeps the size, its
    windows are cut at the border; pad=False keeps whole windows only: [B, C, H - k + 1, W - k + 1]."""
    height, width = k if isinstance(k, tuple) else (k, k)
    return _plane_by_plane(lambda t: _extreme(_extreme(t, height, pad, -2), width, pad, -1), x)


def window_min(x: Tensor, k: int, *, pad: bool = True) -> Tensor:
    """[B, C, H, W] -> smallest value in each k x k window; otherwise as window_max."""
    return -window_max(-x, k, pad=pad)


def window_mean(x: Tensor, k: int, *, inside: bool = True) -> Tensor:
    """[B, C, H, W] -> mean over each k x k window (k odd). inside=True counts only what lies in the picture, else there
    are zeros round it."""
    p = k // 2

    def mean(t: Tensor) -> Tensor:
        rows = F.avg_pool2d(t, (k, 1), 1, (p, 0), count_include_pad=not inside)
        look()
        return F.avg_pool2d(rows, (1, k), 1, (0, p), count_include_pad=not inside)

    return _plane_by_plane(mean, x)


def _plane_by_plane(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """f(x) for x [B, C, H, W] and an f that filters each plane by itself; looks after each plane of a large x."""
    if x.numel() <= PIECE:
        return f(x)
    out = []
    for plane in x.flatten(0, 1).split(1):
        out.append(f(plane[None])[0])
        look()
    return torch.cat(out).unflatten(0, x.shape[:2])


def _band_by_band(f: Callable[[Tensor], Tensor], x: Tensor, reach: int, channels: int = 1) -> Tensor:
    """f of x [..., H, W], for an f from [N, 1, h, W] to [N, channels, h, W] that looks `reach` rows far and goes on at
    the border with its outermost pixels. By bands of rows, with looks, where x is large.

    Returns [..., H, W], or with several channels [..., channels, H, W].
    """
    h, w = x.shape[-2:]
    planes = x.reshape(-1, h, w)
    size = x.shape if channels == 1 else (*x.shape[:-2], channels, h, w)
    if planes.numel() <= PIECE:
        return f(planes[:, None]).reshape(size)
    out = x.new_empty(len(planes), channels, h, w)
    for i, rows in bands(planes, 1 + reach // 7):  # a wide filter takes longer
        top = max(0, rows.start - reach)
        found = f(planes[i, top : rows.stop + reach][None, None])[0]
        out[i, :, rows] = found[:, rows.start - top : rows.stop - top]
    return out.reshape(size)


def _extreme(x: Tensor, k: int, pad: bool, dim: int) -> Tensor:
    """Largest value in each window of k along an axis, from windows twice as wide in each step."""
    if pad:
        ends = (k // 2, k // 2)
        x = F.pad(x, ends if dim == -1 else (0, 0, *ends), value=-math.inf)
    width = 1
    while width < k:
        step = min(width, k - width)
        n = x.shape[dim] - step
        x = torch.maximum(x.narrow(dim, 0, n), x.narrow(dim, step, n))
        width += step
    return x


def gaussian(x: Tensor, sigma: float) -> Tensor:
    """[..., H, W] -> [..., H, W]: Gaussian of `sigma` pixels, cut at 3 sigma."""
    size = 2 * max(1, math.ceil(3 * sigma)) + 1
    blur = _kornia("filters").gaussian_blur2d
    return _band_by_band(lambda t: blur(t, (size, size), (sigma, sigma), border_type="replicate"), x, size // 2)


def guided(x: Tensor, guide: Tensor, r: int, eps: float) -> Tensor:
    """Guided filter: x [N, H, W] smoothed along the edges of guide [H, W].

    He, Sun and Tang, "Guided Image Filtering" (2013), eq. 5-8: window radius r, eps in squared guide units.
    """
    return _kornia("filters").guided_blur(guide[None, None], x[None], 2 * r + 1, eps, border_type="replicate")[0]


def gradient(x: Tensor) -> tuple[Tensor, Tensor]:
    """[..., H, W] -> its central differences along x and along y, per pixel."""
    differences = _kornia("filters").spatial_gradient
    both = _band_by_band(lambda t: differences(t, mode="diff", normalized=True)[:, 0], x, 1, channels=2)
    return both[..., 0, :, :], both[..., 1, :, :]


def shrink(x: Tensor, height: int, width: int) -> Tensor:
    """[B, C, H, W] -> [B, C, height, width]: a Gaussian of (factor - 1) / 2 pixels along each side that shrinks, then
    bicubic with aligned corners."""
    resize = _kornia("geometry.transform").resize
    return resize(x, (height, width), interpolation="bicubic", align_corners=True, antialias=True)


def _kornia(module: str):
    """A module of kornia, loaded on first use: the running host has it already, a bare Python need not wait for it."""
    try:
        return import_module(f"kornia.{module}")
    except ImportError as error:
        raise RefocusError(
            "kornia is not installed, but it does the smoothing: install ComfyUI's requirements, or "
            "'pip install .[standalone]' where the pack runs without ComfyUI."
        ) from error


def fft_size(n: int) -> int:
    """The smallest even number >= n whose only prime factors are 2, 3 and 5: a size at which an FFT is fast."""
    return 2 * next_fast_len((n + 1) // 2, real=True)
