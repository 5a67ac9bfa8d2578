"""Separable filters on [N, H, W] planes; borders are replicated, so a flat picture stays flat to its corners."""
import math

import torch
import torch.nn.functional as F
from torch import Tensor


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
