"""The defocus map: how far each pixel's light spreads, and on which side of the focal plane it lies."""
from dataclasses import dataclass

import torch
from torch import Tensor

from .checks import check_finite, check_plane
from .errors import RefocusError


@dataclass(frozen=True)
class DefocusMap:
    """Signed blur RADIUS of the circle of confusion.

    radius: float32 [B, H, W], pixels of the image it belongs to; positive = behind the focal plane, negative = in
    front, 0 = in focus. At equal position the smaller radius is the nearer surface. Raises RefocusError if the
    shape is another or a value is not finite.
    """
    radius: Tensor

    def __post_init__(self):
        r = check_plane(self.radius, "defocus map")
        object.__setattr__(self, "radius", check_finite(r, "defocus map"))

    @property
    def max_radius(self) -> float:
        """Largest blur radius in pixels, whatever its sign."""
        return float(self.radius.abs().max())

    def scaled_to(self, height: int, width: int) -> "DefocusMap":
        """The same blur on the picture at another resolution: a radius is in pixels, so it scales with the width."""
        from .depth import resize_depth
        if self.radius.shape[-2:] == (height, width):
            return self
        return DefocusMap(resize_depth(self.radius, height, width) * (width / self.radius.shape[-1]))


def defocus_from_disparity(disparity: Tensor, focus_disparity, strength: float, *, near_factor: float = 1.0,
                           far_factor: float = 1.0, in_focus_range: float = 0.0) -> DefocusMap:
    """radius = strength * (focus_disparity - disparity): thin-lens blur is linear in disparity.

    disparity [B, H, W]; focus_disparity a number or [B]; strength >= 0 in pixels per unit of disparity (the papers'
    K). in_focus_range: width, in disparity, of the slab about the focal plane that stays sharp. near_factor and
    far_factor scale the blur in front of and behind the plane. Source: Genfocus (arXiv 2512.16923), K |d - d_f|;
    the sign is kept here.
    """
    d = check_plane(disparity, "disparity")
    for name, v in (("strength", strength), ("near_factor", near_factor), ("far_factor", far_factor),
                    ("in_focus_range", in_focus_range)):
        if not v >= 0:
            raise RefocusError(f"{name} is {v}, but 0 or more is needed: 0 means no blur.")
    focus = torch.as_tensor(focus_disparity, dtype=d.dtype, device=d.device).reshape(-1, 1, 1)
    behind = focus - d
    if in_focus_range:
        behind = behind.sign() * (behind.abs() - in_focus_range / 2).clamp(min=0)
    factor = torch.where(behind < 0, near_factor, far_factor)
    return DefocusMap(strength * factor * behind)
