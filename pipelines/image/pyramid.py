"""Octaves of a picture: halving, enlarging, Laplacian pyramid (Burt and Adelson, 1983), and filling of holes.

Convention: sample i of a halved picture lies exactly on pixel 2i, so a tile that starts on an even pixel has the same
grid as the whole. (fill halves by 2 x 2 blocks instead: sample i lies between pixels 2i and 2i + 1.)
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def down(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, ceil(H / 2), ceil(W / 2)]: every other pixel of x smoothed by the binomial of 5 taps."""
    c = x.shape[1]
    taps = torch.tensor(_BINOMIAL, dtype=x.dtype, device=x.device)
    x = F.pad(x, (2, 2, 2, 2), mode="replicate")
    x = F.conv2d(x, taps.view(1, 1, 1, 5).expand(c, 1, 1, 5), groups=c, stride=(1, 2))  # [N, C, H + 4, w]
    return F.conv2d(x, taps.view(1, 1, 5, 1).expand(c, 1, 5, 1), groups=c, stride=(2, 1))  # [N, C, h, w]


def up(x: Tensor, height: int, width: int, factor: int = 2) -> Tensor:
    """[N, C, h, w] with a sample on every factor-th pixel -> [N, C, height, width], bilinear."""
    h, w = x.shape[-2:]
    x = F.pad(x, (0, 1, 0, 1), mode="replicate")
    x = F.interpolate(x, (h * factor + 1, w * factor + 1), mode="bilinear", align_corners=True)
    return x[..., :height, :width]


def analyse(x: Tensor, levels: int) -> list[Tensor]:
    """[N, C, H, W] -> `levels` bands, finest first, then the base that remains: band_i = x_i - up(down(x_i))."""
    bands = []
    for _ in range(levels):
        small = down(x)
        bands.append(x - up(small, *x.shape[-2:]))
        x = small
    return [*bands, x]


def synthesise(bands: list[Tensor]) -> Tensor:
    """The inverse of analyse: bands, finest first, and their base -> [N, C, H, W]."""
    x = bands[-1]
    for band in reversed(bands[:-1]):
        x = band + up(x, *band.shape[-2:])
    return x


def fill(x: Tensor, hole: Tensor) -> Tensor:
    """x [C, H, W], hole [H, W] bool -> [C, H, W] with the hole filled smoothly from its surroundings.

    Push-pull (Gortler et al., "The Lumigraph", 1996): means of what is known, at half the size each, until nothing is
    unknown; then back, each unknown sample taken from the next coarser level. Without a hole, or with nothing but a
    hole, x is returned.
    """
    if not hole.any() or hole.all():
        return x
    known = (~hole).to(x.dtype)[None, None]  # [1, 1, H, W]
    levels = [(torch.where(hole, 0, x)[None], known)]
    while (known == 0).any():
        value, known = levels[-1]
        share = _halve(known)
        value, known = _halve(value * known) / share.clamp(min=1e-6), (share > 0).to(x.dtype)
        levels.append((value, known))
    filled = levels.pop()[0]
    for value, known in reversed(levels):
        coarse = F.interpolate(filled, value.shape[-2:], mode="bilinear", align_corners=False)
        filled = torch.where(known > 0, value, coarse)
    return filled[0]


def _halve(x: Tensor) -> Tensor:
    """[1, C, H, W] -> [1, C, ceil(H / 2), ceil(W / 2)]: means of 2 x 2 blocks, cut at the border."""
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
