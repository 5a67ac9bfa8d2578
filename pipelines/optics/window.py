"""Sliding windows over [B, C, H, W], one axis at a time: cost grows with the window's width, not its area."""
import torch.nn.functional as F
from torch import Tensor


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
    return F.avg_pool2d(F.avg_pool2d(x, (k, 1), 1, (p, 0), count_include_pad=inside), (1, k), 1, (0, p),
                        count_include_pad=inside)
