"""Lights: points far brighter than their surroundings.

A finite number of lens points turns one bright pixel into as many dots. So the light above a cap leaves the sampled
scene and is spread over the exact image of the aperture instead (spread.py).
"""
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...optics.window import window_mean

_CONTRAST = 4.0       # times the mean of the neighbourhood
_NEIGHBOURHOOD = 25   # pixels
_STEP = 0.5           # pixels of radius by which discs are told apart ...
_FINE = 20            # ... up to this radius, from there by the same ratio
_MIN_RADIUS = 2.0     # below this the lens points leave no gaps


@dataclass
class Lights:
    """Pixels of a tile that shine: x and y [L] int64, light [L, 3] linear, radius [L]."""
    x: Tensor
    y: Tensor
    light: Tensor
    radius: Tensor


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


def gather_lights(lights: Tensor, radius: Tensor) -> Lights:
    """lights [H, W, 3], radius [H, W] -> those pixels that shine."""
    y, x = (lights.amax(-1) > 0).nonzero(as_tuple=True)
    return Lights(x, y, lights[y, x], radius[y, x])


def sort_by_radius(radius: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
    """radius [L] -> {signed step: (which lights [l], their share [l])}; a light between two steps is shared by both."""
    a, ratio = radius.abs().clamp(min=1e-6), 1 + _STEP / _FINE
    at = torch.where(a < _FINE, a / _STEP, _FINE / _STEP + torch.log(a / _FINE) / math.log(ratio))
    low, frac, sign = at.floor().long(), at - at.floor(), torch.where(radius < 0, -1, 1)
    which = torch.arange(len(radius), device=radius.device).repeat(2)
    groups = sort_by(torch.cat([low * sign, (low + 1) * sign]))
    share = torch.cat([1 - frac, frac])
    return {step: (which[i], share[i]) for step, i in groups.items()}


def sort_by(key: Tensor) -> dict[int, Tensor]:
    """key [n] int64 -> {key: its places [m]}."""
    order = key.argsort(stable=True)
    keys, counts = key[order].unique_consecutive(return_counts=True)
    return dict(zip(keys.tolist(), order.split(counts.tolist()), strict=True))


def signed_radius(step: int) -> float:
    """The radius of a step counted from 0, negative in front of the focal plane."""
    fine, a = _FINE / _STEP, abs(step)
    return math.copysign(a * _STEP if a < fine else _FINE * (1 + _STEP / _FINE) ** (a - fine), step)
