"""Where the picture is in focus: the disparity of the focal plane from a point, a mask, a distance or by itself."""

import torch
from torch import Tensor

from ..image.checks import RefocusError

# A single depth pixel is noise; a window of this part of the width is what a finger points at.
POINT_WINDOW = 0.01


def check_point(x: float, y: float):
    for name, v in (("x", x), ("y", y)):
        if not 0 <= v <= 1:
            raise RefocusError(
                f"the focus point's {name} is {v:g}, but 0 to 1 is needed (0 = left or top, 1 = right "
                "or bottom): the point lies outside the picture."
            )


def focus_at_point(disparity: Tensor, x: float, y: float) -> Tensor:
    """[B, H, W], x and y in 0..1 of the picture -> [B] disparity: median of a small window about the point."""
    check_point(x, y)
    b, h, w = disparity.shape
    r = int(POINT_WINDOW * w / 2)
    cx, cy = min(int(x * w), w - 1), min(int(y * h), h - 1)
    win = disparity[:, max(0, cy - r) : cy + r + 1, max(0, cx - r) : cx + r + 1]
    return win.reshape(b, -1).median(dim=1).values


def focus_at_mask(disparity: Tensor, mask: Tensor) -> Tensor:
    """[B, H, W] and a mask of the same shape (white = the subject) -> [B] median disparity under the mask."""
    out = []
    for d, m in zip(disparity, mask, strict=True):
        inside = d[m > 0.5]
        if not inside.numel():
            raise RefocusError(
                "the focus mask is empty (nothing above 0.5), but some white is needed: paint the "
                "subject white or disconnect the mask."
            )
        out.append(inside.median())
    return torch.stack(out)


def focus_at_distance(metres: float, batch: int) -> Tensor:
    """Distance in metres -> [batch] disparity in 1/m; infinity is 0."""
    if not metres > 0:
        raise RefocusError(f"the focus distance is {metres} m, but more than 0 is needed.")
    return torch.full((batch,), 1 / metres)


def focus_automatic(disparity: Tensor) -> Tensor:
    """[B, H, W] -> [B]: the nearest sizeable thing near the middle, the guess of a camera's autofocus.

    80th percentile of disparity over the central third of the width and height.
    """
    b, h, w = disparity.shape
    mid = disparity[:, h // 3 : max(h // 3 + 1, h - h // 3), w // 3 : max(w // 3 + 1, w - w // 3)].reshape(b, -1)
    k = max(1, round(0.8 * mid.shape[1]))
    return mid.kthvalue(k, dim=1).values
