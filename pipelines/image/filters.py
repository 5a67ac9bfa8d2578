"""Filters on pictures and planes: windows, boxes, Gaussians, the guided filter."""

import math

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor

# Sliding windows over [B, C, H, W], one axis at a time: cost grows with the window's width, not its area.


def window_max(x: Tensor, k: int, *, pad: bool = True) -> Tensor:
    """Largest value in each k x k window (k odd); pad=True keeps the size, looking at what lies inside."""
    p = k // 2 if pad else 0
    return F.max_pool2d(F.max_pool2d(x, (k, 1), 1, (p, 0)), (1, k), 1, (0, p))


def window_min(x: Tensor, k: int, *, pad: bool = True) -> Tensor:
    """Smallest value in each k x k window."""
    return -window_max(-x, k, pad=pad)


def window_mean(x: Tensor, k: int, *, inside: bool = True) -> Tensor:
    """Mean over each k x k window (k odd); inside=True counts only what lies in the picture, else zeros around it."""
    p, inside = k // 2, not inside
    return F.avg_pool2d(
        F.avg_pool2d(x, (k, 1), 1, (p, 0), count_include_pad=inside), (1, k), 1, (0, p), count_include_pad=inside
    )


# Separable filters on [N, H, W] planes; borders are replicated, so a flat picture stays flat to its corners.


def gaussian(x: Tensor, sigma: float) -> Tensor:
    """[N, H, W] -> [N, H, W], Gaussian of `sigma` pixels cut at 3 sigma."""
    n = max(1, math.ceil(3 * sigma))
    t = torch.arange(-n, n + 1, dtype=x.dtype, device=x.device)
    g = torch.exp(-t * t / (2 * sigma * sigma))
    g = g / g.sum()
    y = F.pad(x[:, None], (n, n, n, n), mode="replicate")
    return F.conv2d(F.conv2d(y, g.view(1, 1, 1, -1)), g.view(1, 1, -1, 1))[:, 0]


def box(x: Tensor, r: int) -> Tensor:
    """[N, H, W] -> mean over the (2r + 1)^2 window."""
    return F.avg_pool2d(F.pad(x[:, None], (r, r, r, r), mode="replicate"), 2 * r + 1, 1)[:, 0]


def guided(x: Tensor, guide: Tensor, r: int, eps: float) -> Tensor:
    """Guided filter: x [N, H, W] smoothed along the edges of guide [H, W].

    He, Sun and Tang, "Guided Image Filtering" (2013), eq. 5-8: window radius r, eps in squared guide units.
    """
    g = guide[None]
    mean_g, mean_x = box(g, r), box(x, r)
    a = (box(g * x, r) - mean_g * mean_x) / (box(g * g, r) - mean_g * mean_g + eps)
    return box(a, r) * g + box(mean_x - a * mean_g, r)


def fft_size(n: int) -> int:
    """The smallest even number >= n whose only prime factors are 2, 3 and 5: a size at which an FFT is fast."""
    return 2 * next_fast_len((n + 1) // 2, real=True)
