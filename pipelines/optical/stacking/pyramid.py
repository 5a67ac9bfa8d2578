"""Fusion band by band: fine detail from whichever frame holds it, soft light from whichever is in focus."""
import torch
import torch.nn.functional as F
from torch import Tensor

from .filters import gaussian

# Few levels: defocus leaves coarse bands alike in all frames, and there a switch of frame only makes halos.
LEVELS = 3
WINDOW = 2.0
CONTRAST = 4.0
_TAP = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def _smooth(x: Tensor, stride: int) -> Tensor:
    c = x.shape[1]
    g = torch.tensor(_TAP, dtype=x.dtype, device=x.device)
    x = F.pad(x, (2, 2, 2, 2), mode="replicate")
    x = F.conv2d(x, g.view(1, 1, 1, 5).expand(c, 1, 1, 5), groups=c, stride=(1, stride))
    return F.conv2d(x, g.view(1, 1, 5, 1).expand(c, 1, 5, 1), groups=c, stride=(stride, 1))


def down(x: Tensor) -> Tensor:
    """[N, C, H, W] -> half the size, rounded up."""
    return _smooth(x, 2)


def up(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)


def analyse(x: Tensor, levels: int) -> list[Tensor]:
    """[N, C, H, W] -> `levels` bands, finest first, and the remaining base. Burt and Adelson (1983)."""
    bands = []
    for _ in range(levels):
        small = down(x)
        bands.append(x - up(small, x))
        x = small
    return [*bands, x]


def synthesise(bands: list[Tensor]) -> Tensor:
    x = bands[-1]
    for band in reversed(bands[:-1]):
        x = band + up(x, band)
    return x


def levels_for(height: int, width: int) -> int:
    return max(0, min(LEVELS, min(height, width).bit_length() - 3))


def fuse_pyramid(frames: Tensor, measure: Tensor) -> Tensor:
    """frames [N, H, W, 3] sRGB, measure [N, H, W] -> [H, W, 3].

    Each band is a mean weighted by a power of its own local energy (Burt and Kolczynski, "Enhanced image capture
    through fusion", 1993); the base by the frames' sharpness. sRGB: its steps are near equal to the eye and to a
    camera's noise.
    """
    levels = levels_for(*frames.shape[1:3])
    bands = analyse(frames.movedim(-1, 1), levels)
    fused = []
    for band in bands[:-1]:
        energy = gaussian(band.square().sum(1), WINDOW)
        w = (energy / energy.amax(0).clamp(min=1e-8)).clamp(min=1e-3) ** CONTRAST
        fused.append((band * (w / w.sum(0))[:, None]).sum(0, keepdim=True))
    w = ((measure / measure.amax(0).clamp(min=1e-6)).clamp(min=1e-3) ** (2 * CONTRAST))[:, None]
    for _ in range(levels):
        w = down(w)
    fused.append((bands[-1] * w).sum(0, keepdim=True) / w.sum(0, keepdim=True))
    return synthesise(fused)[0].movedim(0, -1).clamp(0, 1)
