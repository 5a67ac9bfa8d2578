"""The photograph as the sum of what the points of the lens see.

    photo(x) = sum over lens points p of  weight(p) light(y_p),    y_p the nearest point y with y + radius(y) p = x

Each lens point sees every surface point shifted by radius * p; the nearest one wins, so occlusion is exact per point
of the lens.

Convention: p is (x right, y down) in units of the blur radius; the smaller the signed radius, the nearer the surface.
"""

import torch
from torch import Tensor

from ...image.device import can, elements_of_16_bytes, maxima_of_64_bits
from ...image.progress import Counter, look
from .highlights import Highlights
from .lens import Field, Lens
from .surfaces import PARALLAX, Points

_NUMBER_BITS = 32
_EXACT = 1 << 24  # up to which float32 holds every integer
_HALF = 1 << 16  # of a number, in which it is cut
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
    look()
    spots = _Spots(highlights, height, width, field)
    film = _Film(points, height, width, lens, field)
    visible = torch.ones(len(highlights.x), len(lens.points), dtype=torch.uint8, device=points.radius.device)
    for i, p in enumerate(lens.points.tolist()):
        nearest = z_buffer.look_from(i, p)
        look()
        visible[:, i] = spots.pass_by(z_buffer, p)
        film.expose(nearest, i, p)
        counter.tick()
    return film.light.view(height, width, 4), visible


def depth_level(radius: Tensor) -> Tensor:
    """Blur radius -> int64 in 0..2^22 that grows towards the viewer."""
    return ((2.0**15 - radius) * _DEPTH_STEPS).round().long().clamp(min=0)


def _as_single_elements(rows: Tensor) -> Tensor:
    """float32 [P, 4] -> complex128 [P], the same memory, or the rows as they are where there are no such numbers.
    index_select copies the 16 bytes of one complex number at a time, where the CPU would copy a row of four floats with
    a call for each: the loop's largest cost."""
    rows = rows.contiguous()
    return rows.view(torch.complex128)[:, 0] if can(rows.device, elements_of_16_bytes) else rows


class _Projection:
    """Points x, y, radius [P] -> the cells that they fall into, seen from one lens point at a time.

    The window's cells have a margin of one cell, which collects what falls outside. Every array is made once and
    filled anew: at this size making one costs more than filling it.
    """

    def __init__(self, x: Tensor, y: Tensor, radius: Tensor, height: int, width: int, field: Field):
        # Places in the whole picture, so that every tile rounds alike; and half a pixel up, to be rounded down, because
        # rounding to even would tear holes into a plane that is shifted by half a pixel.
        self.x, self.y, self.radius = x.float() + (field.x + 0.5), y.float() + (field.y + 0.5), radius
        self.height, self.width, self.field = height, width, field
        self.column, self.row = torch.empty_like(self.x), torch.empty_like(self.y)
        self.cell = torch.empty_like(self.x, dtype=torch.int64)
        # float32 counts to 2^24 without a gap: beyond that cells are numbered in integers, which is slower.
        self.many = (height + 2) * (width + 2) > _EXACT

    def cells(self, p) -> Tensor:
        """int64 [P] in 0..(height + 2) * (width + 2), row by row."""
        column = torch.add(self.x, self.radius, alpha=p[0], out=self.column)
        column.floor_().sub_(self.field.x - 1).clamp_(0, self.width + 1)
        row = torch.add(self.y, self.radius, alpha=p[1], out=self.row)
        row.floor_().sub_(self.field.y - 1).clamp_(0, self.height + 1)
        if self.many:
            return self.cell.copy_(row).mul_(self.width + 2).add_(column.int())
        return self.cell.copy_(row.mul_(self.width + 2).add_(column))


class Packed:
    """Of the points that fall into a cell, the nearest one, of equally near ones the last.

    Depth level and number are packed in one int64, so that ONE integer maximum per cell answers both which surface wins
    and which of its points shows.
    """

    def __init__(self, level: Tensor, height: int, width: int, empty: int):
        """level int64 [P] of the points; empty: the number of a cell into which none falls, at the farthest level."""
        self.empty = empty
        self.packed = (level << _NUMBER_BITS) | torch.arange(len(level), device=level.device)
        self.buffer = torch.empty(height + 2, width + 2, dtype=torch.int64, device=level.device)

    def find(self, cell: Tensor, out: Tensor) -> Tensor:
        """cell int64 [P] -> out [H, W]: the numbers of the points that show within the margin."""
        self.buffer.fill_(self.empty).view(-1).scatter_reduce_(0, cell, self.packed, "amax")
        return torch.bitwise_and(self.buffer[1:-1, 1:-1], (1 << _NUMBER_BITS) - 1, out=out)

    def behind(self, cell: Tensor, level: Tensor) -> Tensor:
        """bool [L]: what was found in the cell is farther than the level; both int64 [L]."""
        return self.buffer.view(-1)[cell] < level << _NUMBER_BITS


class InTurn:
    """As Packed, in 32 bits: first the nearest level in each cell, then, of the points at that level, the last one.

    Levels and numbers stand in float32, which holds them exactly, a number above 2^24 in two halves: an unpacked
    maximum of floats is what every device has.
    """

    def __init__(self, level: Tensor, height: int, width: int, empty: int):
        self.empty, self.size = empty, (height + 2, width + 2)
        number = torch.arange(len(level), device=level.device)
        halves = [number] if empty < _EXACT else [number // _HALF, number % _HALF]
        self.digits = [level.float(), *(half.float() for half in halves)]  # the first decides first
        self.level = torch.empty(0)

    def find(self, cell: Tensor, out: Tensor) -> Tensor:
        found, stays = [], None
        for digit in self.digits:
            digit = digit if stays is None else torch.where(stays, digit, -1)
            most = torch.full((self.size[0] * self.size[1],), -1.0, device=cell.device)
            found.append(most.scatter_reduce_(0, cell, digit, "amax"))
            stays = digit == most[cell] if stays is None else stays & (digit == most[cell])
        self.level = found[0].clamp(min=0)
        number = found[1].long()
        for low in found[2:]:
            number = number * _HALF + low.long()
        number = torch.where(found[0] > 0, number, self.empty)  # an empty cell hides what stands at level 0
        return out.copy_(number.view(self.size)[1:-1, 1:-1])

    def behind(self, cell: Tensor, level: Tensor) -> Tensor:
        return self.level[cell] < level


class _ZBuffer:
    """Which surface point each cell shows, seen from one lens point at a time."""

    def __init__(self, points: Points, height: int, width: int, field: Field):
        device = points.radius.device
        x, y = points.at.T.contiguous()
        self.projection = _Projection(x, y, points.radius, height, width, field)
        look()
        self.empty = len(points.radius)  # the number of no point, at the farthest depth level
        level = depth_level(points.radius)
        self.nearer = (Packed if can(device, maxima_of_64_bits) else InTurn)(level, height, width, self.empty)
        look()
        self.opaque = int((points.coverage >= 1).sum())
        self.coverage = points.coverage[self.opaque :]
        at = [axis[self.opaque :] for axis in (self.projection.x, self.projection.y)]
        look()
        self.start = torch.frac(at[0] * _PLASTIC[0] + at[1] * _PLASTIC[1] + 128)
        self.nearest = torch.empty(height, width, dtype=torch.int64, device=device)

    def look_from(self, i: int, p) -> Tensor:
        """Lens point p = (x, y), the i-th -> number of the nearest point [H * W], or `empty`.

        A point of coverage a takes part in a share a of the views (stochastic transparency, Enderton et al. 2010), in
        a fixed low-discrepancy order, so that a static scene gives identical frames; else it falls into the margin.
        """
        cell = self.projection.cells(p)
        cell[self.opaque :] *= torch.frac(self.start + i * _GOLDEN) < self.coverage
        return self.nearer.find(cell, self.nearest).view(-1)


class _Spots:
    """The highlights, each at the cell where a lens point sees it."""

    def __init__(self, highlights: Highlights, height: int, width: int, field: Field):
        self.projection = _Projection(highlights.x, highlights.y, highlights.radius, height, width, field)
        # A surface occludes a highlight when its radius is smaller by PARALLAX or more; else they are one surface.
        self.occluder = depth_level(highlights.radius - PARALLAX)
        self.margin = torch.ones(height + 2, width + 2, dtype=torch.bool, device=highlights.x.device)
        self.margin[1:-1, 1:-1] = False

    def pass_by(self, z_buffer: _ZBuffer, p) -> Tensor:
        """bool [L]: no surface occludes the highlight from lens point p; outside the window nothing does."""
        cell = self.projection.cells(p)
        return z_buffer.nearer.behind(cell, self.occluder) | self.margin.view(-1)[cell]


class _Film:
    """light [H * W, 4]: the sum of weight * (red, green, blue, 1) over the lens points so far."""

    def __init__(self, points: Points, height: int, width: int, lens: Lens, field: Field):
        n, device = len(points.radius), points.radius.device
        rgbw = torch.zeros(n + 1, 4, device=device)  # and last the nothing that an empty cell shows
        rgbw[:n, :3], rgbw[:n, 3] = points.colour, 1
        look()
        self.rgbw = _as_single_elements(rgbw)
        self.in_front = torch.cat([points.radius < 0, torch.zeros(1, dtype=torch.bool, device=device)])
        self.behind, self.front = lens.behind.tolist(), lens.front.tolist()
        self.pupil = _ExitPupil(lens, field, height, width, device) if lens.cats_eye else None
        self.one_weight = lens.symmetric and self.pupil is None
        self.seen = self.rgbw.new_empty(height * width, *self.rgbw.shape[1:])
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
