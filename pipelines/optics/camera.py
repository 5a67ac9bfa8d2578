"""A physical thin lens."""
from dataclasses import dataclass

from .errors import RefocusError


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
            raise RefocusError(f"focus distance is {focus_m:g} m, but more than the focal length of {self.focal_mm:g} "
                               "mm is needed: no lens focuses nearer than that.")
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
        slack = coc / (f * f / self.f_number * extension) * 1000   # allowed |1/z - 1/s| in 1/m
        d = 0.0 if s == float("inf") else 1 / focus_m
        return 1 / (d + slack), (1 / (d - slack) if d > slack else float("inf"))
