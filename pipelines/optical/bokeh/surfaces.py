"""From a picture to surface points: depth edges split by matting, hidden background filled in, colours prefiltered.

A point is (x, y, radius, colour, coverage). The picture gives one per pixel. A pixel on a depth edge shows two surfaces
and becomes two points. Behind a depth edge the far surface goes on, unseen, as far as blur can uncover it.

Convention: radius is the signed blur radius in pixels, smaller = nearer, so "in front" means a smaller radius.
"""

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from ...image.filters import window_max, window_mean, window_min
from ...image.progress import PIECE, look

# Neighbours whose blur radii differ by more than this stand on different surfaces: their images part by a pixel.
PARALLAX = 1.0
_WINDOW = 3  # half-width of the search for clean colour about a depth edge
_EDGE_WEIGHT = 1e-3  # of a pixel on a depth edge beside a clean one: it counts where nothing clean is near
_MIN_CONTRAST = 0.02**2  # squared distance of two colours below which they do not tell alpha
_CLEAN = 0.03  # one clean pixel in the corner of the search window weighs nearly twice this
_THIN = 0.75  # the largest share of a thin structure in a pixel whose centre misses it
_LEAST_ALPHA = 1 / 32  # a front surface that covers less of a pixel is left out of it
_FILL_LEVELS = 6
# The background goes on under a depth edge for at most about this many pixels; results repeat on this grid.
FILL_REACH = 1 << _FILL_LEVELS

# Boxes of the prefilter, (pixels per cell of the pyramid, window in cells): 3, 5, 7, 10, 14, 20, 28, ... pixels wide.
_BOXES = ((1, 3), (1, 5), (1, 7)) + tuple((cell, window) for cell in (2, 4, 8, 16) for window in (5, 7))
# Tiles whose first pixel is a multiple of this agree.
GRID = _BOXES[-1][0]


@dataclass
class Points:
    """Surface points; the first H * W are the picture's own pixels in raster order.

    at [P, 2] (x, y) pixels; radius [P]; colour [P, 3] linear; coverage [P] in 0..1: the share of its pixel.
    """

    at: Tensor
    radius: Tensor
    colour: Tensor
    coverage: Tensor

    def pick(self, numbers: Tensor) -> "Points":
        """Those of the given numbers, in that order."""
        return Points(*(_rows(t, numbers) for t in (self.at, self.radius, self.colour, self.coverage)))

    def where(self, mask: Tensor) -> "Points":
        """Those for which the mask [P] is true."""
        return self if mask.all() else self.pick(mask.nonzero()[:, 0])

    def within(self, rows: slice, columns: slice) -> "Points":
        """Those on the given pixels, counted from the first of them."""
        at = self.at - self.at.new_tensor([columns.start, rows.start])
        look()
        x, y = at.unbind(1)
        inside = (x >= 0) & (x < columns.stop - columns.start) & (y >= 0) & (y < rows.stop - rows.start)
        return Points(at, self.radius, self.colour, self.coverage).where(inside)

    def opaque_first(self) -> "Points":
        """In the same order, but those of coverage below 1 in one piece at the end."""
        opaque = self.coverage >= 1
        look()
        return self.pick(torch.cat([opaque.nonzero()[:, 0], (~opaque).nonzero()[:, 0]]))


def _rows(t: Tensor, numbers: Tensor) -> Tensor:
    """t [P, ...] -> t[numbers], with looks."""
    out = t.new_empty(len(numbers), *t.shape[1:])
    for part, rows in zip(numbers.split(PIECE), out.split(PIECE), strict=True):
        torch.index_select(t, 0, part, out=rows)
        look()
    return out


def join(pieces: list[Points]) -> Points:
    """All points of the pieces, one after the other."""
    joined = []
    for name in ("at", "radius", "colour", "coverage"):
        joined.append(torch.cat([getattr(piece, name) for piece in pieces]))
        look()
    return Points(*joined)


def build_points(linear: Tensor, radius: Tensor, background: Tensor | None = None, origin=(0, 0)) -> Points:
    """linear [H, W, 3], radius [H, W], background [H, W, 3] linear or None -> Points.

    background replaces the colours of every surface that is not directly seen. origin (x, y): where the window lies in
    the picture.
    """
    nearest, farthest = window_min(radius[None, None], 3)[0, 0], window_max(radius[None, None], 3)[0, 0]
    look()
    edge, middle = (farthest - nearest) > PARALLAX, (nearest + farthest) / 2
    height, width = radius.shape
    at = _raster(height, width, radius.device)  # [H * W, 2]
    colour, opaque = linear.reshape(-1, 3), torch.ones_like(radius).reshape(-1)
    look()
    if not edge.any():
        return Points(at, radius.reshape(-1), colour, opaque)

    pixels = edge.reshape(-1).nonzero()[:, 0]  # [E]
    matte = matting(linear, radius, edge, pixels, middle.reshape(-1)[pixels])
    own_colour = colour.index_put((pixels,), torch.where(matte.sees_front[:, None], matte.front, matte.behind))
    look()
    own_coverage = opaque.index_put((pixels,), torch.where(matte.sees_front, matte.alpha, 1.0))
    own = Points(at, radius.reshape(-1), own_colour, own_coverage)
    behind = matte.behind if background is None else background.reshape(-1, 3)[pixels]
    under = Points(at[pixels], matte.radius_behind, behind, opaque[pixels]).where(matte.sees_front)
    over = Points(at[pixels], matte.radius_front, matte.front, matte.alpha)
    over = over.where(~matte.sees_front & (matte.alpha > _LEAST_ALPHA))

    look()
    fill, fill_radius, reach = hidden_background(linear, radius, edge, middle, origin)
    # Blur uncovers what lies behind a depth edge only as far from it as the images of the two surfaces part.
    uncovered = (fill_radius - radius > (reach / 2).clamp(min=PARALLAX)) & ~edge
    look()
    fill = fill if background is None else background
    hidden = Points(at, fill_radius.reshape(-1), fill.reshape(-1, 3), opaque).where(uncovered.reshape(-1))
    return join([own, under, over, hidden])


def _raster(height: int, width: int, device) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2).float()


@dataclass
class Matte:
    """Pixels [E] on depth edges, c = alpha f + (1 - alpha) b: alpha [E], front f and behind b [E, 3], the radii of both
    surfaces [E]; sees_front [E]: the ray through the pixel's centre hits the front surface."""

    sees_front: Tensor
    alpha: Tensor
    front: Tensor
    behind: Tensor
    radius_front: Tensor
    radius_behind: Tensor


def matting(linear: Tensor, radius: Tensor, edge: Tensor, pixels: Tensor, middle: Tensor) -> Matte:
    """The two surfaces that each pixel on a depth edge shows.

        c = alpha f + (1 - alpha) b
        alpha = (c - b) . (f - b) / |f - b|^2      c projected on the line from b to f

    linear [H, W, 3], radius [H, W], edge bool [H, W]; pixels [E]: numbers y * W + x of those to split; middle [E]: the
    radius half-way between their two surfaces. f and b are means of clean pixels, off every depth edge, within
    _WINDOW; the ray through the pixel's centre says which surface covers at least half of it.
    """
    planes = [*linear.permute(2, 0, 1).reshape(3, -1).contiguous(), radius.reshape(-1)]
    quality = torch.where(edge.reshape(-1), _EDGE_WEIGHT, 1.0)
    parts = []
    for some, between in zip(pixels.split(PIECE // 8), middle.split(PIECE // 8), strict=True):
        look()
        parts.append(_matte(planes, quality, (edge.shape[0], edge.shape[1]), some, between))
    return parts[0] if len(parts) == 1 else Matte(*map(torch.cat, zip(*map(_fields, parts), strict=True)))


def _fields(matte: Matte) -> tuple[Tensor, ...]:
    return tuple(getattr(matte, f.name) for f in fields(matte))


def _matte(planes: list[Tensor], quality: Tensor, size: tuple[int, int], pixels: Tensor, middle: Tensor) -> Matte:
    """matting of some of the pixels. planes: r, g, b and radius, each [H * W]; quality [H * W]: how clean each is."""
    own = torch.stack([plane[pixels] for plane in planes], 1)  # [E, (r, g, b, radius)]
    front, behind, front_weight = _clean_means(planes, quality, size, pixels, middle, own)
    c, f, b = own[:, :3], front[:, :3], behind[:, :3]
    sees_front = own[:, 3] < middle

    contrast = ((f - b) ** 2).sum(1)
    alpha = ((c - b) * (f - b)).sum(1) / contrast.clamp(min=1e-12)
    alpha = torch.where(contrast > _MIN_CONTRAST, alpha, sees_front.float())
    # Of a thin structure no pixel is clean: what is taken for its colour is mixed itself, and pixels whose centres miss
    # it may look like it all over. They are not background, or it would keep them as beads.
    largest = torch.where((front_weight < _CLEAN) & (alpha < 1), _THIN, 0.5)
    alpha = torch.where(sees_front, alpha.clamp(0.5, 1), alpha.clamp(min=0).minimum(largest))

    # What the two clean colours do not explain belongs to the surface that the pixel's centre sees.
    rest = c - alpha[:, None] * f - (1 - alpha[:, None]) * b
    to_front = torch.where(sees_front, 1 / alpha.clamp(min=0.5), 0.0)
    to_behind = torch.where(sees_front, 0.0, 1 / (1 - alpha).clamp(min=0.5))
    return Matte(
        sees_front,
        alpha,
        (f + to_front[:, None] * rest).clamp(min=0),
        (b + to_behind[:, None] * rest).clamp(min=0),
        torch.where(sees_front, own[:, 3], front[:, 3]),
        torch.where(sees_front, behind[:, 3], own[:, 3]),
    )


def _clean_means(
    planes: list[Tensor], quality: Tensor, size: tuple[int, int], pixels: Tensor, middle: Tensor, own: Tensor
):
    """Means of (r, g, b, radius) over the pixels in front of `middle` and over those behind it, within _WINDOW.

    planes: four of [H * W]; own [E, 4] stands in where a side has no pixel. A pixel d pixels away weighs 1 / (1 + d^2).
    Returns (front [E, 4], behind [E, 4], weight of the front's pixels [E]).
    """
    h, w = size
    y, x = pixels // w, pixels % w
    # Sums of weight * (r, g, b, radius, 1), plane by plane: single numbers are looked up many times faster than rows.
    front, behind = torch.zeros(2, 5, len(pixels), device=own.device)
    for dy in range(-_WINDOW, _WINDOW + 1):
        look()
        row = (y + dy).clamp(0, h - 1) * w
        for dx in range(-_WINDOW, _WINDOW + 1):
            neighbour = row + (x + dx).clamp(0, w - 1)
            values = [plane.index_select(0, neighbour) for plane in planes]
            weight = quality.index_select(0, neighbour).div_(1 + dx * dx + dy * dy)
            front_weight = weight * (values[3] < middle)
            _accumulate(front, values, front_weight)
            _accumulate(behind, values, weight - front_weight)
    return _mean_or(front, own), _mean_or(behind, own), front[4]


def _accumulate(total: Tensor, values: list[Tensor], weight: Tensor) -> None:
    for plane, value in zip(total[:4], values, strict=True):
        plane.addcmul_(value, weight)
    total[4].add_(weight)


def _mean_or(total: Tensor, other: Tensor) -> Tensor:
    """Sums and weights [5, E] -> means [E, 4], `other` where nothing was summed."""
    return torch.where(total[4:] > 0, total[:4] / total[4:].clamp(min=1e-12), other.T).T


def hidden_background(linear: Tensor, radius: Tensor, edge: Tensor, middle: Tensor, origin=(0, 0)):
    """Extend the far side of every depth edge under the near side.

    middle [H, W] tells the two sides of a depth edge apart. Push-pull (Gortler et al. 1996) from the clean pixels just
    behind one: each pixel takes the mean of those in the 3 x 3 cells about its own, at the smallest power-of-two cell
    at which they hold any. origin (x, y): where the window lies in the picture, so that every tile has the same cells.

    Returns (colour [H, W, 3], radius [H, W], reach [H, W]: the size of that cell in pixels, infinite without any).
    """
    h, w = radius.shape
    left, top = origin[0] % FILL_REACH, origin[1] % FILL_REACH
    middle, beside = _carry_outwards(middle, edge)
    seed = (beside & ~edge & (radius > middle)).float()
    look()
    weighted = linear.new_zeros(1, 5, top + h + -(top + h) % FILL_REACH, left + w + -(left + w) % FILL_REACH)
    for plane, value in zip(weighted[0], (*linear.unbind(-1), radius, torch.ones_like(radius)), strict=True):
        torch.mul(value, seed, out=plane[top : top + h, left : left + w])
        look()
    mean, reach = _pull(_push(weighted))
    mean, reach = mean[0, :, top : top + h, left : left + w], reach[0, 0, top : top + h, left : left + w]
    return mean[:3].permute(1, 2, 0), mean[3], reach


def _push(weighted: Tensor) -> list[Tensor]:
    """[1, 5, H, W] -> its means over cells of 1, 2, 4, ... FILL_REACH pixels."""
    pyramid = [weighted]
    for _ in range(_FILL_LEVELS):
        pyramid.append(F.avg_pool2d(pyramid[-1], 2))
        look()
    return pyramid


def _pull(pyramid: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Weighted values and weights by size of cell -> (means [1, 4, H, W], reach [1, 1, H, W] in pixels)."""
    mean = torch.zeros_like(pyramid[-1][:, :4])
    reach = torch.full_like(pyramid[-1][:, 4:], math.inf)
    for level in range(_FILL_LEVELS, 0, -1):
        around = F.avg_pool2d(pyramid[level], 3, 1, 1)
        look()
        held = around[:, 4:] > 0
        mean = torch.where(held, around[:, :4] / around[:, 4:].clamp(min=1e-6), mean)
        reach = torch.where(held, float(1 << level), reach)
        look()
        mean = F.interpolate(mean, scale_factor=2, mode="bilinear", align_corners=False)
        look()
        reach = F.interpolate(reach, scale_factor=2, mode="nearest")
    return mean, reach


def _carry_outwards(value: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """value [H, W], where known [H, W], carried outwards for 2 * _WINDOW pixels, near ones first: (value, known)."""
    both = torch.stack([value * known, known.float()])[None]
    for k in (_WINDOW, 2 * _WINDOW - 1, 2 * _WINDOW + 1):
        mean = window_mean(both, k, inside=False)
        look()
        mean = mean / mean[:, 1:].clamp(min=1e-9)
        both = torch.where(both[:, 1:] > 0, both, mean)
    return both[0, 0], both[0, 1] > 0


def prefilter(colour: Tensor, radius: Tensor, samples: int) -> Tensor:
    """Smooth each surface to the spacing of the lens points' images, so that sampling leaves no pattern.

        width = |radius| sqrt(pi / samples)       the side of one lens point's cell of the blur disc

    colour [H, W, 3] linear, radius [H, W], number of lens points -> [H, W, 3]. Averaging a surface over that width
    integrates the cell for which the lens point stands. Means run among pixels of about the same width on the same
    side of the focal plane; wide ones on a pyramid, so that the cost does not grow with the blur.
    """
    width = radius.abs() * math.sqrt(math.pi / samples)
    largest = float(width.max())
    planes = torch.cat([colour.permute(2, 0, 1), torch.ones_like(radius)[None]])  # [4, H, W]
    out = planes[:3].clone()
    widths = [1, *(cell * window for cell, window in _BOXES), math.inf]
    for (cell, window), below, own, above in zip(_BOXES, widths, widths[1:], widths[2:], strict=False):
        low, high = (below + own) / 2, (own + above) / 2
        if low > largest:
            break
        for side in (radius > 0, radius < 0):
            look()
            served = (width >= low) & (width < high) & side
            if served.any():
                # Half a step more on both sides: at the limit between two boxes both see the same surface.
                alike = (width >= low / 1.5) & (width < high * 1.5) & side
                mean = _box_mean(planes * alike, cell, window)
                look()
                out = torch.where(served, mean, out)
    return out.permute(1, 2, 0).contiguous()


def _box_mean(sums: Tensor, cell: int, window: int) -> Tensor:
    """Weighted colours and weight [4, H, W] -> mean colours [3, H, W] over `window` cells of `cell` pixels."""
    h, w = sums.shape[-2:]
    v = sums[None]
    if cell > 1:
        v = F.avg_pool2d(F.pad(v, (0, -w % cell, 0, -h % cell)), cell)
    look()
    v = window_mean(v, window, inside=False)
    look()
    v = v[:, :3] / v[:, 3:].clamp(min=1e-6)
    look()
    if cell > 1:
        v = F.interpolate(v, scale_factor=cell, mode="bilinear", align_corners=False)[..., :h, :w]
    return v[0]
