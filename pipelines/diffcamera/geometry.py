"""The geometry picture: how blurred each pixel shall be, or how near it is, as a picture for the VAE."""

import torch
from torch import Tensor

DEFOCUS, DEPTH = "defocus", "depth"
GEOMETRIES = (DEFOCUS, DEPTH)
REACH = 0.1  # of the shorter side: a blur radius of which 88 % of the way from grey to white is shown
QUANTILE = 0.01


def defocus_picture(radius: Tensor, side: int) -> Tensor:
    """0.5 + 0.5 tanh(r / (0.1 side)): the target's signed blur radius [B, H, W] in pixels -> [B, H, W, 3].

    side: the shorter one of the picture, or tile, that the transformer sees. Grey is in focus, white far behind.
    """
    return _three(0.5 + 0.5 * torch.tanh(radius / (REACH * side)))


def depth_picture(disparity: Tensor) -> Tensor:
    """Disparity [B, H, W], scaled to 0..1 -> [B, H, W, 3], near is white: as the paper has it."""
    return _three(disparity.clamp(0, 1))


def _three(plane: Tensor) -> Tensor:
    return plane[..., None].expand(*plane.shape, 3)


def quantiles(values: Tensor) -> tuple[float, float]:
    """(1 %, 99 %) quantile of a whole clip [B, H, W]: the values that so many pixels lie below, without mixing."""
    flat = values.reshape(-1).float().cpu()  # not every device has kthvalue
    k = int(QUANTILE * (len(flat) - 1))
    return float(flat.kthvalue(k + 1).values), float(flat.kthvalue(len(flat) - k).values)


def scaled(values: Tensor, low: float, high: float) -> Tensor:
    """(v - low) / (high - low), not clamped; 0 everywhere for a scene without depth."""
    return (values - low) / (high - low) if high > low else torch.zeros_like(values)
