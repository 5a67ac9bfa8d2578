"""The lens: a thin lens's camera, and the defocus map that it makes of disparity."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..image.checks import RefocusError, check_finite, check_plane

# A physical thin lens.


@dataclass(frozen=True)
class Camera:
    """Thin lens: focal length f in mm, f-number N, sensor width in mm (36 = full frame).

    Raises RefocusError when a number is not positive.
    """

    focal_mm: float
    f_number: float
    sensor_mm: float = 36.0

    def __post_init__(self):
        for name in ("focal_mm", "f_number", "sensor_mm"):
            v = getattr(self, name)
            if not v > 0:
                raise RefocusError(f"{name} is {v}, but a number above 0 is needed.")

    def _focus_mm(self, focus_m: float) -> float:
        s = focus_m * 1000
        if not s > self.focal_mm:
            raise RefocusError(
                f"focus distance is {focus_m:g} m, but more than the focal length of {self.focal_mm:g} "
                "mm is needed: no lens focuses nearer than that."
            )
        return s

    def strength(self, focus_m: float, width_px: int) -> float:
        """Blur radius in pixels per (1/m) of disparity: f^2 / (2 N) * s / (s - f) * px/mm / 1000, focus s in m.

        The blur disc of a point at z has radius  strength * |1/z - 1/s|  (thin-lens equation, magnification
        f / (s - f)). focus_m may be infinite. 50 mm, f/2, 3 m, 2000 px over 36 mm gives 35.3.
        """
        s, f = self._focus_mm(focus_m), self.focal_mm
        extension = 1.0 if s == float("inf") else s / (s - f)
        return f * f / (2 * self.f_number) * extension * (width_px / self.sensor_mm) / 1000

    def near_far_limits(self, focus_m: float, coc_mm: float | None = None) -> tuple[float, float]:
        """(near, far) distance in m between which the blur disc's DIAMETER stays under coc_mm on the sensor.

        coc_mm defaults to sensor width / 1500, a common print criterion. far may be infinite.
        """
        coc = self.sensor_mm / 1500 if coc_mm is None else coc_mm
        if not coc > 0:
            raise RefocusError(f"coc_mm is {coc}, but a number above 0 is needed.")
        s, f = self._focus_mm(focus_m), self.focal_mm
        extension = 1.0 if s == float("inf") else s / (s - f)
        slack = coc / (f * f / self.f_number * extension) * 1000  # allowed |1/z - 1/s| in 1/m
        d = 0.0 if s == float("inf") else 1 / focus_m
        return 1 / (d + slack), (1 / (d - slack) if d > slack else float("inf"))


# The defocus map: how far each pixel's light spreads, and on which side of the focal plane it lies.


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


def defocus_from_disparity(
    disparity: Tensor,
    focus_disparity,
    strength: float,
    *,
    near_factor: float = 1.0,
    far_factor: float = 1.0,
    in_focus_range: float = 0.0,
) -> DefocusMap:
    """radius = strength * (focus_disparity - disparity): thin-lens blur is linear in disparity.

    disparity [B, H, W]; focus_disparity a number or [B]; strength >= 0 in pixels per unit of disparity (the papers'
    K). in_focus_range: width, in disparity, of the slab about the focal plane that stays sharp. near_factor and
    far_factor scale the blur in front of and behind the plane. Source: Genfocus (arXiv 2512.16923), K |d - d_f|;
    the sign is kept here.
    """
    d = check_plane(disparity, "disparity")
    for name, v in (
        ("strength", strength),
        ("near_factor", near_factor),
        ("far_factor", far_factor),
        ("in_focus_range", in_focus_range),
    ):
        if not v >= 0:
            raise RefocusError(f"{name} is {v}, but 0 or more is needed: 0 means no blur.")
    focus = torch.as_tensor(focus_disparity, dtype=d.dtype, device=d.device).reshape(-1, 1, 1)
    behind = focus - d
    if in_focus_range:
        behind = behind.sign() * (behind.abs() - in_focus_range / 2).clamp(min=0)
    factor = torch.where(behind < 0, near_factor, far_factor)
    return DefocusMap(strength * factor * behind)
