"""A thin lens and the defocus map that it makes of disparity.

    radius = strength * (focus_disparity - disparity)

Convention: the radius is that of the circle of confusion, in pixels of the picture it belongs to; positive behind
the focal plane, negative in front of it. Disparity is 1/m where depth is metric, else relative; larger is nearer.
Strength (the papers' K) is in pixels per unit of disparity; a widget gives it in pixels of a picture 1000 px wide.
"""

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from ..image.checks import RefocusError, check_finite, check_number, check_plane, check_whole, match_batch, shown
from ..image.progress import bands
from .depth import resize_depth

# Pixels of blur radius. At this blur a picture of any size is a flat grey, and the engines count no further.
LARGEST_RADIUS = 2.0**15
STRONGEST = 1e12  # pixels of blur radius per unit of disparity
LARGEST = 1e18  # of disparity, in the unit of its map: products of it with a strength and a factor do not overflow
WIDEST = 1 << 20  # pixels of a picture's width
LEAST_EXTENSION = 1.001  # the nearest focus, in focal lengths: nearer than that no bellows reaches


def from_1000(value, width: int):
    """value * width / 1000: a blur in pixels of a picture 1000 px wide -> in pixels of one that is `width` px wide.

    The same look at any resolution. value: a number or a tensor. Raises RefocusError where one is not finite.
    """
    if not isinstance(value, Tensor):
        check_number("the blur", value)
    check_whole("the picture's width", width, 1, WIDEST)
    return value * width / 1000


@dataclass(frozen=True)
class Camera:
    """Thin lens: focal length f in mm, f-number N, sensor width in mm (36 = full frame).

    Raises RefocusError when a number is not positive, or no lens's (LIMITS).
    """

    focal_mm: float
    f_number: float
    sensor_mm: float = 36.0

    LIMITS: ClassVar = {"focal_mm": (0.1, 1e5), "f_number": (0.01, 1e4), "sensor_mm": (0.1, 1e5)}

    def __post_init__(self):
        for name, limits in self.LIMITS.items():
            check_number(name, getattr(self, name), *limits)

    def strength(self, focus_m: float, width_px: int) -> float:
        """f^2 / (2 N) * s / (s - f) * px/mm / 1000: blur radius in pixels per 1/m of disparity, focus s.

        The circle of confusion of a point at distance z has the radius  strength * |1/z - 1/s|  (thin-lens
        equation). focus_m in metres, may be infinite. 50 mm, f/2, 3 m, 2000 px over 36 mm gives 35.3. Raises
        RefocusError when focus_m is not beyond the focal length.
        """
        check_whole("the picture's width", width_px, 1, WIDEST)
        f = self.focal_mm
        return f * f / (2 * self.f_number) * self._extension(focus_m) * (width_px / self.sensor_mm) / 1000

    def near_far_limits(self, focus_m: float, coc_mm: float | None = None) -> tuple[float, float]:
        """1 / (1/s + t), 1 / (1/s - t) with t = c N (s - f) / (f^2 s): (near, far) limit of sharpness in metres.

        Between them the DIAMETER of the circle of confusion stays under c = coc_mm on the sensor; None is the
        sensor's width / 1500, a common print criterion. far may be infinite. Raises RefocusError as strength does.
        """
        coc = self.sensor_mm / 1500 if coc_mm is None else coc_mm
        check_number("coc_mm", coc, 1e-6, 1e5, why="above 0")
        f = self.focal_mm
        tolerance = coc / (f * f / self.f_number * self._extension(focus_m)) * 1000  # of disparity, in 1/m
        disparity = 1 / focus_m
        far = 1 / (disparity - tolerance) if disparity > tolerance else math.inf
        return 1 / (disparity + tolerance), far

    def _extension(self, focus_m: float) -> float:
        """s / (s - f): how much longer than f the way from lens to sensor is; 1 when focused at infinity."""
        if not (isinstance(focus_m, float) and focus_m == math.inf):
            check_number("the focus distance", focus_m, why="in metres")
        s, f = focus_m * 1000, self.focal_mm
        if not s > f * LEAST_EXTENSION:
            raise RefocusError(
                f"focus distance is {focus_m:g} m, but more than the focal length of {f:g} "
                "mm is needed: no lens focuses nearer than that."
            )
        return 1.0 if s == math.inf else s / (s - f)


@dataclass(frozen=True)
class DefocusMap:
    """Signed blur RADIUS of the circle of confusion, and the focus that it came from, where that is known.

    radius           float32 [B, H, W], pixels; positive = behind the focal plane, negative = in front, 0 = in focus.
                     At one position the smaller radius belongs to the nearer surface.
    focus_disparity  [B], or None: disparity of the focal plane, in the unit of the depth map.
    focus_point      (x, y) in 0..1 of the picture, or None: the point that was chosen.
    strength         [B], or None: blur radius in pixels per unit of disparity, at this map's width.

    focus_disparity and strength of one value serve all maps. Raises RefocusError if a shape is another, or a radius
    is not finite or larger than LARGEST_RADIUS.
    """

    radius: Tensor
    focus_disparity: Tensor | None = field(default=None, kw_only=True)
    focus_point: tuple[float, float] | None = field(default=None, kw_only=True)
    strength: Tensor | None = field(default=None, kw_only=True)

    def __post_init__(self):
        r = check_finite(check_plane(self.radius, "defocus map"), "defocus map", LARGEST_RADIUS)
        object.__setattr__(self, "radius", r)
        for name in ("focus_disparity", "strength"):
            v = getattr(self, name)
            if v is not None:
                object.__setattr__(self, name, match_batch(_numbers(v, name, r), r.shape[0], name, "defocus map"))

    @property
    def max_radius(self) -> float:
        """Largest blur radius in pixels, whatever its sign."""
        return max(float(self.radius[at].abs().max()) for at in bands(self.radius))

    def scaled_to(self, height: int, width: int) -> "DefocusMap":
        """The same blur on the picture at another resolution: a radius is in pixels, so it scales with the width."""
        if self.radius.shape[-2:] == (height, width):
            return self
        scale = width / self.radius.shape[-1]
        strength = None if self.strength is None else self.strength * scale
        radius = (resize_depth(self.radius, height, width) * scale).clamp(-LARGEST_RADIUS, LARGEST_RADIUS)
        return replace(self, radius=radius, strength=strength)


def check_defocus(defocus, name: str = "defocus") -> DefocusMap:
    """The map, checked once more: what comes over a link may be of any making. RefocusError for anything else."""
    if not isinstance(defocus, DefocusMap):
        raise RefocusError(f"{name} is {shown(defocus)}, but a DefocusMap is needed: make one with RefocusLens.")
    return replace(defocus)


def _numbers(given, name: str, like: Tensor) -> Tensor:
    """A number, several or a tensor -> [n] of the type and on the device of `like`; finite."""
    try:
        v = torch.as_tensor(given, dtype=like.dtype, device=like.device).reshape(-1)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise RefocusError(f"{name} is {shown(given)}, but a number is needed, or one for each map.") from error
    if not v.numel():
        raise RefocusError(f"{name} is empty, but a number is needed, or one for each map.")
    return check_finite(v, name)


def defocus_from_disparity(
    disparity: Tensor,
    focus_disparity,
    strength: float,
    *,
    near_factor: float = 1.0,
    far_factor: float = 1.0,
    in_focus_range: float = 0.0,
    focus_point: tuple[float, float] | None = None,
) -> DefocusMap:
    """radius = strength * (focus_disparity - disparity): thin-lens blur is linear in disparity.

    disparity        [B, H, W]
    focus_disparity  a number or [B]
    strength         0 to STRONGEST, in pixels per unit of disparity (the papers' K)
    near_factor, far_factor  0 to 1e6, multiply the blur in front of and behind the focal plane
    in_focus_range   0 to 1e9, width in disparity of the slab about the focal plane that stays sharp
    focus_point      (x, y) in 0..1 that chose the focus, to be kept with the map

    A radius above LARGEST_RADIUS, as specks in a depth map make it, counts as that. Raises RefocusError on other
    numbers. Source: Genfocus (arXiv 2512.16923), K |d - d_f|; the sign is kept here.
    """
    d = check_finite(check_plane(disparity, "disparity"), "disparity", LARGEST)
    for name, v, most in (
        ("strength", strength, STRONGEST),
        ("near_factor", near_factor, 1e6),
        ("far_factor", far_factor, 1e6),
        ("in_focus_range", in_focus_range, 1e9),
    ):
        check_number(name, v, 0, most, why="0 means no blur" if name == "strength" else "")
    focus = check_finite(_numbers(focus_disparity, "the focus disparity", d), "the focus disparity", LARGEST)
    radius = torch.empty(max(len(focus), len(d)), *d.shape[1:], dtype=d.dtype, device=d.device)
    focus_of = match_batch(focus, len(radius), "the focus", "disparity")
    d = match_batch(d, len(radius), "disparity", "the focus")
    for i, rows in bands(radius):
        behind = focus_of[i] - d[i, rows]  # [h, W]
        if in_focus_range:
            behind = behind.sign() * (behind.abs() - in_focus_range / 2).clamp(min=0)
        blur = strength * torch.where(behind < 0, near_factor, far_factor) * behind
        radius[i, rows] = blur.clamp(-LARGEST_RADIUS, LARGEST_RADIUS)
    return DefocusMap(
        radius, focus_disparity=focus, focus_point=focus_point, strength=torch.as_tensor(strength, dtype=d.dtype)
    )
