"""Pictures of a defocus map: which parts are near, in focus and far, and how large the blur is.

Convention: colours are sRGB (red, green, blue) in 0..1; a point (x, y) is in 0..1, from the left and from the top.
"""

import torch
from torch import Tensor

from ..image.checks import RefocusError, check_image, match_batch, size_of
from ..image.progress import bands
from .depth import METRIC_KINDS, resolve_kind, to_disparity
from .focus import pixel_at
from .lens import DefocusMap, check_defocus

NEAR, IN_FOCUS, FAR = (0.20, 0.45, 1.0), (0.25, 1.0, 0.35), (1.0, 0.35, 0.20)
# A circle of confusion within one pixel cannot be told from a point.
SHARP_RADIUS = 0.5
SMALL = 512  # pixels of the longer side of a depth map that is shown


def show_depth(depth: Tensor, kind: str) -> Tensor:
    """Depth [B, H, W] of a kind as to_disparity takes -> small grey pictures [B, h, w, 3], near white and far black.

    The scale is one for all frames: 0 and 1 are at the first and the last hundredth of all disparities.
    """
    step = -(-max(depth.shape[1:]) // SMALL)
    d = to_disparity(depth[:, ::step, ::step], kind)
    v = d.flatten()[:: max(1, d.numel() // 2**16)].sort().values
    low, high = v[len(v) // 100], v[-1 - len(v) // 100]
    grey = (d - low) / (high - low).clamp(min=1e-6)
    return grey.clamp(0, 1)[..., None].expand(-1, -1, -1, 3)


def plane_of(depth: Tensor, kind: str) -> tuple[Tensor, str]:
    """Depth of any kind -> (plane [B, H, W], its kind, never "auto"): what a page can make disparity of by itself.

    A relative map stays as it is, so that the metres of its white and black may still change; a metric one becomes
    disparity, kind "inverse_metres", whose far end 16 bits can tell apart. Raises RefocusError as to_disparity does.
    """
    kind = resolve_kind(depth, kind)
    if kind in METRIC_KINDS:
        return to_disparity(depth, kind), "inverse_metres"
    return to_disparity(depth, "disparity"), kind


def pack_16_bit(plane: Tensor, limits: tuple[float, float] | None = None) -> tuple[Tensor, float, float]:
    """[H, W] -> (uint8 [H, W, 3], low, high): value = low + (high - low) * (256 red + green) / 65535; blue is 0.

    For pictures of 8 bits a channel, which is what a page can read. limits: (low, high) where they are known; else a
    few specks do not cost the others their digits: values that lie farther beyond 99.9 in 100 than those reach count
    as high.
    """
    v = plane.float().cpu()
    low, high = limits or _usual_limits(v)
    level = ((v - low) / max(high - low, 1e-12)).clamp(0, 1).mul(65535).round().to(torch.int32)
    return torch.stack([level >> 8, level & 255, torch.zeros_like(level)], -1).to(torch.uint8), low, high


def _usual_limits(v: Tensor) -> tuple[float, float]:
    some = v.flatten()[:: max(1, v.numel() // 2**18)].sort().values
    low, high = float(v.min()), float(v.max())
    usual = float(some[int(0.999 * (len(some) - 1))])
    return low, min(high, usual + max(usual - low, 1e-6))


def zones(defocus: DefocusMap) -> tuple[Tensor, Tensor, Tensor]:
    """(near, in focus, far) masks [B, H, W] of 0 and 1, which add up to 1."""
    defocus = check_defocus(defocus)
    near, sharp, far = (torch.empty_like(defocus.radius) for _ in range(3))
    for at in bands(near):
        near[at], sharp[at], far[at] = _zones(defocus.radius[at])
    return near, sharp, far


def _zones(r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    near, far = (r < -SHARP_RADIUS).float(), (r > SHARP_RADIUS).float()
    return near, 1 - near - far, far


def show_focus(image: Tensor, defocus: DefocusMap, point: tuple[float, float] | None = None) -> Tensor:
    """image [B, H, W, 3] tinted blue in front of the focal plane, green in focus, red behind.

    A white cross with a black rim marks the point, or else the map's own focus point if it has one. Raises
    RefocusError where the sizes differ.
    """
    image, defocus = check_image(image), check_defocus(defocus)
    b, h, w = defocus.radius.shape
    if image.shape[1:3] != (h, w):
        raise RefocusError(
            f"the image is {size_of(image[0, ..., 0])} and the defocus map {h} x {w}, but both must have one size."
        )
    image = match_batch(image, max(b, len(image)), "image", "the defocus map")
    out = torch.empty_like(image, memory_format=torch.contiguous_format)
    radius = match_batch(defocus.radius.to(image.device), len(image), "the defocus map")
    for at in bands(image):
        out[at] = _tinted(image[at], radius[at])
    point = point or defocus.focus_point
    if point is not None:
        _cross(out, point)
    return out


def _tinted(image: Tensor, radius: Tensor) -> Tensor:
    """image [h, W, 3], radius [h, W] -> [h, W, 3]."""
    grey = image.mean(-1, keepdim=True) * 0.75
    out = grey.expand(-1, -1, 3).clone()
    for mask, colour in zip(_zones(radius), (NEAR, IN_FOCUS, FAR), strict=True):
        tint = torch.tensor(colour, device=image.device)
        out += mask[..., None] * (0.35 * (tint - grey) + (0.25 * (image - grey)))
    return out.clamp(0, 1)


def show_defocus(defocus: DefocusMap) -> Tensor:
    """[B, H, W, 3]: black in focus, brighter blue in front, brighter red behind; white-hot at the map's largest."""
    defocus = check_defocus(defocus)
    radius, top = defocus.radius, max(defocus.max_radius, 1e-6)
    near, far = (torch.tensor(c, device=radius.device) for c in (NEAR, FAR))
    out = radius.new_empty(*radius.shape, 3)
    for at in bands(out):
        r = radius[at][..., None]  # [h, W, 1]
        a = r.abs() / top  # in 0..1
        out[at] = (a * torch.where(r < 0, near, far) + (a - 0.7).clamp(min=0)).clamp(0, 1)
    return out


def _cross(picture: Tensor, point: tuple[float, float]):
    _, h, w, _ = picture.shape
    x, y = pixel_at(*point, h, w)
    arm, thick = max(2, w // 40), max(1, w // 400)
    for rim, colour in ((thick, 0.0), (0, 1.0)):  # the black rim lies round the white cross on all sides
        for up, across in ((arm, thick), (thick, arm)):
            up, across = up + rim, across + rim
            picture[:, max(0, y - up) : y + up + 1, max(0, x - across) : x + across + 1] = colour
