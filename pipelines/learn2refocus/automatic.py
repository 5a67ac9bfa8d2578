"""The input position from depth: at which disparity is the photo sharpest?"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image.checks import RefocusError, check_image, check_plane, match_batch
from .inputs import position_at

LONGEST = 1024  # pixels; a photo's own pixels are softer than its lens
FINE = 1.0  # pixels: detail is what a Gaussian of FINE takes away, its frame what one of 2 FINE then does
BINS, WINDOW = 48, 0.04  # disparities looked at, and the share of the range that counts as one
WIDTHS = (0.05, 0.1, 0.2, 0.4, 0.8)  # of the range: how fast sharpness may fall
JUMP = 0.1  # of the range: pixels by a larger step in depth belong to two surfaces


def automatic_position(image: Tensor, disparity: Tensor) -> int:
    """The position 0..8 at which a photo [1, H, W, 3] is focused, disparity [1, H, W] in 1/m."""
    return round(position_at(sharpest_disparity(image, disparity)))


def sharpest_disparity(image: Tensor, disparity: Tensor) -> float:
    """image [1, H, W, 3], disparity [1, H, W], both of any size -> the disparity of its focal plane.

    Sharpness of a pixel is fine detail's share, e1 / (e1 + e2), of the energy in two neighbouring bands, which texture
    alone changes little. Its mean for each disparity (weighted by the amplitude of e2: where nothing is, nothing tells)
    is fitted by a - b log(1 + ((d - focus) / width)^2), every disparity counting by the area it has.
    Raises RefocusError for a picture without any detail.
    """
    image, d = _of_one_size(image, disparity)
    low, high = (float(v) for v in _quantiles(d))
    if high - low <= 1e-6 * max(abs(high), 1e-6):
        return (low + high) / 2
    e1, e2 = _energies(image)
    one = _one_surface(d, JUMP * (high - low))
    d, e1, e2 = (t[one] if one.any() else t.flatten() for t in (d, e1, e2))
    centres = torch.linspace(low, high, BINS)
    near = torch.exp(-(((centres[:, None] - d) / (WINDOW * (high - low))) ** 2) / 2)
    weight = near @ e2.sqrt()
    if float(weight.max()) < 1e-4 * d.numel() / BINS:
        raise RefocusError(
            "the photo has no detail that tells where it is in focus: choose its input_position "
            "from 0 (nearest) to 8 (infinity)."
        )
    sharp = (near @ (e2.sqrt() * e1 / (e1 + e2 + 1e-7))) / weight.clamp(min=1e-12)
    return _peak(centres, sharp.clamp(min=1e-6).log(), near.sum(1), high - low)


def _peak(x: Tensor, y: Tensor, weight: Tensor, span: float) -> float:
    """Centre of the template that explains most of y(x) under these weights."""
    w = weight / weight.sum()
    centres, widths = torch.linspace(float(x[0]), float(x[-1]), 2 * len(x) + 1), torch.tensor(WIDTHS) * span
    t = -torch.log1p(((x - centres[:, None, None]) / widths[:, None]) ** 2)
    t = t - (w * t).sum(-1, keepdim=True)
    common = (w * t * (y - (w * y).sum())).sum(-1)
    gain = common.clamp(min=0) ** 2 / (w * t**2).sum(-1)
    return float(centres[int(gain.amax(1).argmax())])


def _of_one_size(image: Tensor, disparity: Tensor) -> tuple[Tensor, Tensor]:
    image = check_image(image).cpu()
    if image.shape[0] != 1:
        raise RefocusError(f"{image.shape[0]} images were given, but one focus is found for 1: pick one frame.")
    d = match_batch(check_plane(disparity, "depth").cpu(), 1, "depth")
    h, w = image.shape[1:3]
    scale = min(1.0, LONGEST / max(h, w))
    size = max(1, round(h * scale)), max(1, round(w * scale))
    small = F.interpolate(image.movedim(-1, 1), size, mode="bilinear", antialias=True, align_corners=False)
    return small, F.interpolate(d[:, None], size, mode="nearest-exact")[0, 0]


def _quantiles(d: Tensor) -> tuple[Tensor, Tensor]:
    v = d.flatten().sort().values  # torch.quantile takes no more than 16 million values
    k = int(0.01 * (len(v) - 1))
    return v[k], v[-1 - k]


def _energies(image: Tensor) -> tuple[Tensor, Tensor]:
    """[1, 3, h, w] -> squared detail of two neighbouring bands, [h, w] each."""
    grey = image.mean(1, keepdim=True)
    soft, softer = _gaussian(grey, FINE), _gaussian(grey, 2 * FINE)
    return (grey - soft)[0, 0] ** 2, (soft - softer)[0, 0] ** 2


def _gaussian(x: Tensor, sigma: float) -> Tensor:
    r = math.ceil(3 * sigma)
    t = torch.arange(-r, r + 1, dtype=x.dtype)
    k = torch.exp(-(t**2) / (2 * sigma**2))
    k = k / k.sum()
    x = F.pad(x, (r, r, r, r), mode="replicate")
    return F.conv2d(F.conv2d(x, k.view(1, 1, 1, -1)), k.view(1, 1, -1, 1))


def _one_surface(d: Tensor, jump: float) -> Tensor:
    p = F.pad(d[None, None], (2, 2, 2, 2), mode="replicate")
    return (F.max_pool2d(p, 5, 1) + F.max_pool2d(-p, 5, 1))[0, 0] < jump
