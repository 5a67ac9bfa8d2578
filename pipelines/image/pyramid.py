"""Octaves of a picture: halving, doubling, Laplacian pyramid (Burt and Adelson, 1983).

Sample i of a halved picture lies exactly on pixel 2i, so a tile that starts on an even pixel has the same grid as
the whole.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_TAP = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def down(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, ceil(H / 2), ceil(W / 2)]."""
    c = x.shape[1]
    g = torch.tensor(_TAP, dtype=x.dtype, device=x.device)
    x = F.pad(x, (2, 2, 2, 2), mode="replicate")
    x = F.conv2d(x, g.view(1, 1, 1, 5).expand(c, 1, 1, 5), groups=c, stride=(1, 2))
    return F.conv2d(x, g.view(1, 1, 5, 1).expand(c, 1, 5, 1), groups=c, stride=(2, 1))


def up(x: Tensor, height: int, width: int, factor: int = 2) -> Tensor:
    """[N, C, h, w] with a sample on every factor-th pixel -> [N, C, height, width], bilinear."""
    h, w = x.shape[-2:]
    x = F.pad(x, (0, 1, 0, 1), mode="replicate")
    x = F.interpolate(x, (h * factor + 1, w * factor + 1), mode="bilinear", align_corners=True)
    return x[..., :height, :width]


def analyse(x: Tensor, levels: int) -> list[Tensor]:
    """[N, C, H, W] -> `levels` bands, finest first, and the base that remains."""
    bands = []
    for _ in range(levels):
        small = down(x)
        bands.append(x - up(small, *x.shape[-2:]))
        x = small
    return [*bands, x]


def synthesise(bands: list[Tensor]) -> Tensor:
    """The inverse of analyse."""
    x = bands[-1]
    for band in reversed(bands[:-1]):
        x = band + up(x, *band.shape[-2:])
    return x


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
