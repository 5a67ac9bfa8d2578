"""The photograph as the sum of what the points of the lens see.

    photo(x) = sum over lens points p of  weight(p) light(y_p),    y_p the nearest point y with y + radius(y) p = x

Each lens point sees every surface point shifted by radius * p; the nearest one wins, so occlusion is exact per point
of the lens.

Convention: p is (x right, y down) in units of the blur radius; the smaller the signed radius, the nearer the surface.
"""

import torch
from torch import Tensor

from ...image.progress import Counter
from .highlights import Highlights
from .lens import Field, Lens
from .surfaces import PARALLAX, Points

_NUMBER_BITS = 32
_DEPTH_STEPS = 64  # depth levels per pixel of radius
# Golden section and plastic number: fractions of their multiples fill 0..1 evenly (Roberts' R1 and R2 sequences).
_GOLDEN = 0.6180339887498949
_PLASTIC = (0.7548776662466927, 0.5698402909980532)


def render_views(
    points: Points, height: int, width: int, lens: Lens, field: Field, highlights: Highlights, counter: Counter
) -> tuple[Tensor, Tensor]:
    """Points of a window height x width, which lies at `field` in the picture, seen through the lens.

    Returns (exposed [H, W, 4], visible [L, N] uint8): the sum of weighted light with the weight that hit anything,
    and from which lens points nothing occludes each of the highlights. counter.tick() is called once per lens point.
    """
    points = points.opaque_first()
    z_buffer = _ZBuffer(points, height, width, field)
    spots = _Spots(highlights, height, width, field)
    film = _Film(points, height, width, lens, field)
    visible = torch.ones(len(highlights.x), len(lens.points), dtype=torch.uint8, device=points.radius.device)
    for i, p in enumerate(lens.points.tolist()):
        nearest = z_buffer.look_from(i, p)
        visible[:, i] = spots.pass_by(z_buffer, p)
        film.expose(nearest, i, p)
        counter.tick()
    return film.light.view(height, width, 4), visible


def depth_level(radius: Tensor) -> Tensor:
    """Blur radius -> int64 in 0..2^22 that grows towards the viewer."""
    return ((2.0**15 - radius) * _DEPTH_STEPS).round().long().clamp(min=0)


def _pack(level: Tensor, number: Tensor | int) -> Tensor:
    """Depth level and point number in one int64: the largest of several belongs to the nearest point and names it, so
    that ONE integer maximum per cell answers both which surface wins and whose colour it has."""
    return (level << _NUMBER_BITS) | number


def _number(packed: Tensor, out: Tensor) -> Tensor:
    return torch.bitwise_and(packed, (1 << _NUMBER_BITS) - 1, out=out)


def _as_single_elements(rows: Tensor) -> Tensor:
    """float32 [P, 4] -> complex128 [P], the same memory. index_select copies the 16 bytes of one complex number at a
    time, where it would copy a row of four floats with a call for each: the loop's largest cost."""
    return rows.contiguous().view(torch.complex128)[:, 0]


class _Projection:
    """Points x, y, radius [P] -> the cells that they fall into, seen from one lens point at a time.

    The window's cells have a margin of one cell, which collects what falls outside. Every array is made once and
    filled anew: at this size making one costs more than filling it.
    """

    def __init__(self, x: Tensor, y: Tensor, radius: Tensor, height: int, width: int, field: Field):
        # Places in the whole picture, so that every tile rounds alike; and half a pixel up, to be rounded down, because
        # rounding to even would tear holes into a plane that is shifted by half a pixel.
        # float32 counts to 2^24 cells without a gap.
        dtype = torch.float32 if (height + 2) * (width + 2) <= 1 << 24 else torch.float64
        self.x, self.y, self.radius = x.to(dtype) + (field.x + 0.5), y.to(dtype) + (field.y + 0.5), radius
        self.height, self.width, self.field = height, width, field
        self.column, self.row = torch.empty_like(self.x), torch.empty_like(self.y)
        self.cell = torch.empty_like(self.x, dtype=torch.int64)

    def cells(self, p) -> Tensor:
        """int64 [P] in 0..(height + 2) * (width + 2), row by row."""
        column = torch.add(self.x, self.radius, alpha=p[0], out=self.column)
        column.floor_().sub_(self.field.x - 1).clamp_(0, self.width + 1)
        row = torch.add(self.y, self.radius, alpha=p[1], out=self.row)
        row.floor_().sub_(self.field.y - 1).clamp_(0, self.height + 1)
        return self.cell.copy_(row.mul_(self.width + 2).add_(column))


class _ZBuffer:
    """Which surface point each cell shows, seen from one lens point at a time."""

    def __init__(self, points: Points, height: int, width: int, field: Field):
        device = points.radius.device
        x, y = points.at.T.contiguous()
        self.projection = _Projection(x, y, points.radius, height, width, field)
        self.empty = len(points.radius)  # the number of no point, at the farthest depth level
        self.packed = _pack(depth_level(points.radius), torch.arange(self.empty, device=device))
        self.opaque = int((points.coverage >= 1).sum())
        self.coverage = points.coverage[self.opaque :]
        at = [axis[self.opaque :] for axis in (self.projection.x, self.projection.y)]
        self.start = torch.frac(at[0] * _PLASTIC[0] + at[1] * _PLASTIC[1] + 128)
        self.buffer = torch.empty(height + 2, width + 2, dtype=torch.int64, device=device)
        self.nearest = torch.empty(height, width, dtype=torch.int64, device=device)

    def look_from(self, i: int, p) -> Tensor:
        """Lens point p = (x, y), the i-th -> number of the nearest point [H * W], or `empty`.

        A point of coverage a takes part in a share a of the views (stochastic transparency, Enderton et al. 2010), in
        a fixed low-discrepancy order, so that a static scene gives identical frames; else it falls into the margin.
        """
        cell = self.projection.cells(p)
        cell[self.opaque :] *= torch.frac(self.start + i * _GOLDEN) < self.coverage
        self.buffer.fill_(self.empty).view(-1).scatter_reduce_(0, cell, self.packed, "amax")
        return _number(self.buffer[1:-1, 1:-1], out=self.nearest).view(-1)


class _Spots:
    """The highlights, each at the cell where a lens point sees it."""

    def __init__(self, highlights: Highlights, height: int, width: int, field: Field):
        self.projection = _Projection(highlights.x, highlights.y, highlights.radius, height, width, field)
        # A surface occludes a highlight when its radius is smaller by PARALLAX or more; else they are one surface.
        self.occluder = _pack(depth_level(highlights.radius - PARALLAX), 0)
        self.margin = torch.ones(height + 2, width + 2, dtype=torch.bool, device=highlights.x.device)
        self.margin[1:-1, 1:-1] = False

    def pass_by(self, z_buffer: _ZBuffer, p) -> Tensor:
        """bool [L]: no surface occludes the highlight from lens point p; outside the window nothing does."""
        cell = self.projection.cells(p)
        return (z_buffer.buffer.view(-1)[cell] < self.occluder) | self.margin.view(-1)[cell]


class _Film:
    """light [H * W, 4]: the sum of weight * (red, green, blue, 1) over the lens points so far."""

    def __init__(self, points: Points, height: int, width: int, lens: Lens, field: Field):
        n, device = len(points.radius), points.radius.device
        rgbw = torch.zeros(n + 1, 4, device=device)  # and last the nothing that an empty cell shows
        rgbw[:n, :3], rgbw[:n, 3] = points.colour, 1
        self.rgbw = _as_single_elements(rgbw)
        self.in_front = torch.cat([points.radius < 0, torch.zeros(1, dtype=torch.bool, device=device)])
        self.behind, self.front = lens.behind.tolist(), lens.front.tolist()
        self.pupil = _ExitPupil(lens, field, height, width, device) if lens.cats_eye else None
        self.one_weight = lens.symmetric and self.pupil is None
        self.seen = torch.empty(height * width, dtype=self.rgbw.dtype, device=device)
        self.light = torch.zeros(height * width, 4, device=device)

    def expose(self, nearest: Tensor, i: int, p) -> None:
        """Add what lens point p = (x, y), the i-th, sees: the numbers of points [H * W]."""
        seen = torch.index_select(self.rgbw, 0, nearest, out=self.seen).view(torch.float32).view(-1, 4)
        if self.one_weight:
            self.light.add_(seen, alpha=self.behind[i])
            return
        weight = torch.where(self.in_front[nearest], self.front[i], self.behind[i])
        if self.pupil is not None:
            weight = weight * self.pupil.passes(p)
        self.light.addcmul_(seen, weight[:, None])


class _ExitPupil:
    """Mechanical vignetting: from which pixels a lens point is seen through the shifted rim of the exit pupil."""

    def __init__(self, lens: Lens, field: Field, height: int, width: int, device):
        x, y = torch.arange(width, device=device), torch.arange(height, device=device)
        self.x, self.y = field.pupil_shift(x, y, lens.cats_eye)
        self.rim = lens.rim

    def passes(self, p) -> Tensor:
        """[H * W] 0 or 1."""
        return ((p[0] - self.x)[None] ** 2 + (p[1] - self.y)[:, None] ** 2 <= self.rim**2).reshape(-1).float()
