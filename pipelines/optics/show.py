"""Pictures of a defocus map: which parts are near, in focus and far, and how large the blur is.

Convention: colours are sRGB (red, green, blue) in 0..1; a point (x, y) is in 0..1, from the left and from the top.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .focus import pixel_at
from .lens import DefocusMap

NEAR, IN_FOCUS, FAR = (0.20, 0.45, 1.0), (0.25, 1.0, 0.35), (1.0, 0.35, 0.20)
# A circle of confusion within one pixel cannot be told from a point.
SHARP_RADIUS = 0.5


def zones(defocus: DefocusMap) -> tuple[Tensor, Tensor, Tensor]:
    """(near, in focus, far) masks [B, H, W] of 0 and 1, which add up to 1."""
    r = defocus.radius
    near, far = (r < -SHARP_RADIUS).float(), (r > SHARP_RADIUS).float()
    return near, 1 - near - far, far


def show_focus(image: Tensor, defocus: DefocusMap, point: tuple[float, float] | None = None) -> Tensor:
    """image [B, H, W, 3] tinted blue in front of the focal plane, green in focus, red behind.

    A white cross with a black rim marks the point, or else the map's own focus point if it has one.
    """
    grey = image.mean(-1, keepdim=True) * 0.75
    out = grey.expand(-1, -1, -1, 3).clone()
    for mask, colour in zip(zones(defocus), (NEAR, IN_FOCUS, FAR), strict=True):
        tint = torch.tensor(colour, device=image.device)
        out += mask[..., None] * (0.35 * (tint - grey) + (0.25 * (image - grey)))
    point = point or defocus.focus_point
    if point is not None:
        _cross(out, point)
    return out.clamp(0, 1)


def show_defocus(defocus: DefocusMap) -> Tensor:
    """[B, H, W, 3]: black in focus, brighter blue in front, brighter red behind; white-hot at the map's largest."""
    r = defocus.radius
    top = max(defocus.max_radius, 1e-6)
    a = (r.abs() / top)[..., None]  # [B, H, W, 1] in 0..1
    near, far = (torch.tensor(c, device=r.device) for c in (NEAR, FAR))
    return (a * torch.where(r[..., None] < 0, near, far) + (a - 0.7).clamp(min=0)).clamp(0, 1)


def _cross(picture: Tensor, point: tuple[float, float]):
    _, h, w, _ = picture.shape
    x, y = pixel_at(*point, h, w)
    arm, thick = max(2, w // 40), max(1, w // 400)
    mark = torch.zeros(1, 1, h, w, device=picture.device)
    mark[..., max(0, y - arm) : y + arm + 1, max(0, x - thick) : x + thick + 1] = 1
    mark[..., max(0, y - thick) : y + thick + 1, max(0, x - arm) : x + arm + 1] = 1
    rim = F.max_pool2d(mark, 2 * thick + 1, 1, thick)
    picture[:, (rim > 0)[0, 0]] = 0.0
    picture[:, (mark > 0)[0, 0]] = 1.0
