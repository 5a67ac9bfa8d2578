"""A light that clipped: the disc that it leaves carries no equation, but its centre shows where the light is."""
import torch
import torch.nn.functional as F
from torch import Tensor

from .operator import BlurOperator, gather, spread

WHITE = 254 / 255
LEAST_RADIUS = 1.5       # smaller discs are hardly wider than their lights
_RIM_SHARE = 0.8         # px of the rim that may miss: it covers pixels partly
_LEAST_FULL = 0.75
_SMALL = 0.3             # a light fills at most this part of its own disc; a wall or a sky fills more
_RIM = 3                 # px about a disc where its rim still adds light


def find_light_discs(clipped: Tensor, operator: BlurOperator) -> tuple[Tensor, Tensor]:
    """clipped [H, W] of 0 and 1 -> (light, disc), bool [H, W]: where clipped lights stand, and where their discs lie.

    A pixel can hold such a light if the whole disc that it would make is clipped; lights are small against discs.
    """
    shape = clipped.shape
    light = torch.zeros(shape, dtype=torch.bool, device=clipped.device)
    reach = torch.zeros(shape, device=clipped.device)
    for s in operator.slices:
        if abs(s.radius) < LEAST_RADIUS:
            continue
        (y0, y1, x0, x1), (a0, a1, b0, b1) = s.source, s.target
        inside = clipped[a0:a1, b0:b1]
        area = gather(s, torch.ones_like(inside)).clamp(min=1e-3)
        full_share = max(_LEAST_FULL, 1 - _RIM_SHARE / abs(s.radius))
        full = ((gather(s, inside) > full_share * area) & (s.weight > 0.5)).float()
        if not full.any():
            continue
        crowd = spread(s, full)[y0 - a0:y1 - a0, x0 - b0:x1 - b0]
        small = full * (-F.max_pool2d((crowd > _SMALL).float()[None, None], 3, 1, 1)[0, 0] + 1)
        light[y0:y1, x0:x1] |= small > 0
        reach[a0:a1, b0:b1] += spread(s, small)
    disc = (reach > 1e-4).float()[None, None]
    disc = F.max_pool2d(disc, 2 * _RIM + 1, 1, _RIM)[0, 0] > 0
    return light, disc


def fill(x: Tensor, hole: Tensor) -> Tensor:
    """x [C, H, W] with hole [H, W] (bool) filled smoothly from its surroundings, coarse to fine."""
    if not hole.any() or hole.all():
        return x
    levels = [(torch.where(hole, 0, x)[None], (~hole).to(x.dtype)[None, None])]
    while (levels[-1][1] == 0).any():
        v, m = levels[-1]
        m2 = F.avg_pool2d(m, 2, ceil_mode=True, count_include_pad=False)
        v2 = F.avg_pool2d(v * m, 2, ceil_mode=True, count_include_pad=False) / m2.clamp(min=1e-6)
        levels.append((v2, (m2 > 0).to(x.dtype)))
    out = levels.pop()[0]
    while levels:
        v, m = levels.pop()
        up = F.interpolate(out, v.shape[-2:], mode="bilinear", align_corners=False)
        out = torch.where(m > 0, v, up)
    return out[0]
