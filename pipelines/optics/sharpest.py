"""Where a photo is focused, told by its depth: the disparity at which it is sharpest."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image.checks import RefocusError, check_image, check_plane, match_batch
from ..image.filters import gaussian
from ..image.progress import look

LONGEST = 1024  # pixels of the longer side; a photo's own pixels are softer than its lens
FINE = 1.0  # pixels: fine detail is what a Gaussian of FINE takes away, the next band what one of 2 FINE then does
BINS, WINDOW = 48, 0.04  # disparities looked at, and the share of the range that counts as one
WIDTHS = (0.05, 0.1, 0.2, 0.4, 0.8)  # of the range: how fast sharpness may fall
JUMP = 0.1  # of the range: pixels by a larger step in depth belong to two surfaces


def sharpest_disparity(image: Tensor, disparity: Tensor) -> float | None:
    """log sharpness(d) = a - b log(1 + ((d - focus) / width)^2), fitted: the disparity of the photo's focal plane.

    image [1, H, W, 3], disparity [1, H, W], both of any size. Sharpness of a pixel is fine detail's share,
    e1 / (e1 + e2), of the energy in two neighbouring bands, which texture alone changes little. Its mean for each
    disparity is weighted by the amplitude of e2 (where nothing is, nothing tells), and in the fit each disparity counts
    by its area. None for a picture without any detail.
    """
    small, d = _of_one_size(image, disparity)  # [1, 3, h, w], [h, w]
    low, high = _nearly_all(d)
    span = high - low
    if span <= 1e-6 * max(abs(high), 1e-6):
        return (low + high) / 2
    e1, e2 = _energies(small)
    inside = _on_one_surface(d, JUMP * span)
    d, e1, e2 = (t[inside] if inside.any() else t.flatten() for t in (d, e1, e2))  # [pixels]
    centres = torch.linspace(low, high, BINS)
    amplitude = e2.sqrt()
    detail = amplitude * e1 / (e1 + e2 + 1e-7)
    sums = []
    for centre in centres:
        look()
        belongs = torch.exp(-(((centre - d) / (WINDOW * span)) ** 2) / 2)  # [pixels]
        sums.append(torch.stack([belongs @ amplitude, belongs @ detail, belongs.sum()]))
    weight, fine, area = torch.stack(sums, 1)  # [BINS] each
    if float(weight.max()) < 1e-4 * d.numel() / BINS:
        return None
    return _centre_of_fit(centres, (fine / weight.clamp(min=1e-12)).clamp(min=1e-6).log(), area, span)


def _centre_of_fit(x: Tensor, y: Tensor, weight: Tensor, span: float) -> float:
    """y(x) = a + b t((x - centre) / width), t(u) = -log(1 + u^2), b >= 0: the centre that explains most of y."""
    w = weight / weight.sum()
    centres = torch.linspace(float(x[0]), float(x[-1]), 2 * len(x) + 1)
    widths = torch.tensor(WIDTHS) * span
    t = -torch.log1p(((x - centres[:, None, None]) / widths[:, None]) ** 2)  # [centres, widths, x]
    t = t - (w * t).sum(-1, keepdim=True)
    common = (w * t * (y - (w * y).sum())).sum(-1)  # [centres, widths]
    explained = common.clamp(min=0) ** 2 / (w * t**2).sum(-1)
    return float(centres[int(explained.amax(1).argmax())])


def _of_one_size(image: Tensor, disparity: Tensor) -> tuple[Tensor, Tensor]:
    """-> picture [1, 3, h, w] and disparity [h, w], LONGEST pixels at most, without a depth between two surfaces."""
    image = check_image(image).cpu()
    if image.shape[0] != 1:
        raise RefocusError(f"{image.shape[0]} images were given, but one focus is found for 1: pick one frame.")
    d = match_batch(check_plane(disparity, "depth").cpu(), 1, "depth")
    h, w = image.shape[1:3]
    scale = min(1.0, LONGEST / max(h, w))
    size = max(1, round(h * scale)), max(1, round(w * scale))
    small = F.interpolate(image.movedim(-1, 1), size, mode="bilinear", antialias=True, align_corners=False)
    return small, F.interpolate(d[:, None], size, mode="nearest-exact")[0, 0]


def _nearly_all(d: Tensor) -> tuple[float, float]:
    """The range that 98 percent of the values lie in."""
    v = d.flatten().sort().values  # torch.quantile takes no more than 16 million values
    k = int(0.01 * (len(v) - 1))
    return float(v[k]), float(v[-1 - k])


def _energies(image: Tensor) -> tuple[Tensor, Tensor]:
    """[1, 3, h, w] -> squared detail of two neighbouring bands, the finer first, [h, w] each."""
    grey = image.mean((0, 1))
    soft, softer = gaussian(grey, FINE), gaussian(grey, 2 * FINE)
    return (grey - soft) ** 2, (soft - softer) ** 2


def _on_one_surface(d: Tensor, jump: float) -> Tensor:
    """[h, w] -> bool [h, w]: whether depth varies by less than `jump` within two pixels."""
    p = F.pad(d[None, None], (2, 2, 2, 2), mode="replicate")
    return (F.max_pool2d(p, 5, 1) + F.max_pool2d(-p, 5, 1))[0, 0] < jump
