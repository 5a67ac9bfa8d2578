"""Depth maps as depth models and files get them wrong, to train on and to validate with."""

import torch
import torch.nn.functional as F
from torch import Tensor

GAMMA = 0.7, 1.4
NOISE = 0.02  # of the map's range
LEVELS = 255
HOLES = 3
HOLE = 0.15  # of a side
EDGE = 1 / 64  # of the width: how far an edge lies wrong


def corrupted(disparity: Tensor, random: torch.Generator) -> Tensor:
    """disparity [n, H, W] in 0..1 -> the same with edges moved, a gamma, smooth noise, holes and the steps of 8 bits.

    Each kind by itself happens to half of the maps, 8 bits to all; drawn on the CPU.
    """

    def coin() -> Tensor:  # [n, 1, 1]
        return (torch.rand(n, generator=random) < 0.5).float()[:, None, None].to(disparity.device)

    n, h, w = disparity.shape
    d = disparity
    reach = max(1, round(EDGE * w))
    grown = F.max_pool2d(d[:, None], 2 * reach + 1, 1, reach)[:, 0]
    shrunk = -F.max_pool2d(-d[:, None], 2 * reach + 1, 1, reach)[:, 0]
    d = torch.lerp(d, torch.lerp(grown, shrunk, coin()), coin())
    gamma = GAMMA[0] + (GAMMA[1] - GAMMA[0]) * torch.rand(n, generator=random)
    d = torch.lerp(d, d.clamp(min=0) ** gamma.to(d)[:, None, None], coin())
    coarse = torch.randn(n, 1, max(2, h // 8), max(2, w // 8), generator=random).to(d)
    smooth = F.interpolate(coarse, (h, w), mode="bilinear", align_corners=False)[:, 0]
    d = d + NOISE * smooth * coin()
    holed = coin()
    y, x = torch.arange(h, device=d.device)[:, None] / h, torch.arange(w, device=d.device) / w
    for _ in range(HOLES):
        top, left = (torch.rand(2, n, generator=random) * (1 - HOLE)).to(d)[..., None, None]
        inside = (y >= top) & (y < top + HOLE) & (x >= left) & (x < left + HOLE)
        d = torch.where(inside & (holed > 0), torch.zeros_like(d), d)  # a depth sensor's "nothing measured"
    return (d.clamp(0, 1) * LEVELS).round() / LEVELS
