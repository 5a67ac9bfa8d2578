"""From a picture to surface points: silhouettes un-mixed, hidden background filled in.

A point is (x, y, radius, colour, coverage). The picture gives one per pixel; a pixel on a silhouette shows two
surfaces and becomes two points; behind a silhouette the far surface goes on, unseen, as far as blur can uncover it.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...image.filters import window_max, window_mean, window_min

# Neighbours whose blur radii differ by more than this stand on different surfaces: their images part by a pixel.
PARALLAX = 1.0
_WINDOW = 3  # half-width of the search for clean colour about a silhouette
_MIN_CONTRAST = 0.02**2
_CLEAN = 0.03  # one clean pixel three away from a silhouette weighs twice this
_WIRE = 0.75  # the largest share of a wire in a pixel whose middle misses it
_FILL_LEVELS = 6
# The background goes on under a silhouette for at most about this many pixels; results repeat on this grid.
FILL_REACH = 1 << _FILL_LEVELS


@dataclass
class Points:
    """Surface points; the first H * W are the picture's own pixels in raster order.

    at [P, 2] (x, y) pixels; radius [P]; colour [P, 3] linear; coverage [P] in 0..1.
    """

    at: Tensor
    radius: Tensor
    colour: Tensor
    coverage: Tensor

    def within(self, left: int, top: int, width: int, height: int) -> "Points":
        """Those on the given pixels, counted from the first of them."""
        x, y = self.at[:, 0] - left, self.at[:, 1] - top
        keep = ((x >= 0) & (x < width) & (y >= 0) & (y < height)).nonzero()[:, 0]
        if len(keep) == len(self.at):
            return self
        return Points(torch.stack([x, y], 1), self.radius, self.colour, self.coverage).pick(keep)

    def pick(self, which: Tensor) -> "Points":
        """Those of the given numbers."""
        return Points(*(getattr(self, k)[which] for k in ("at", "radius", "colour", "coverage")))


def local_range(radius: Tensor) -> tuple[Tensor, Tensor]:
    """[H, W] -> (smallest, largest) radius in each 3 x 3 neighbourhood."""
    r = radius[None, None]
    return window_min(r, 3)[0, 0], window_max(r, 3)[0, 0]


def build_points(linear: Tensor, radius: Tensor, background: Tensor | None = None, origin=(0, 0)) -> Points:
    """linear [H, W, 3], radius [H, W], background [H, W, 3] linear or None -> Points.

    background replaces the colours of every surface that is not directly seen. origin (x, y): where this tile lies
    in the picture.
    """
    h, w = radius.shape
    near, far = local_range(radius)
    edge = (far - near) > PARALLAX
    colour, coverage = linear.reshape(-1, 3).clone(), torch.ones(h * w, device=radius.device)
    ys, xs = torch.meshgrid(torch.arange(h, device=radius.device), torch.arange(w, device=radius.device), indexing="ij")
    grid = torch.stack([xs, ys], -1).reshape(-1, 2).float()
    parts = [Points(grid, radius.reshape(-1), colour, coverage)]
    if edge.any():
        e = edge.reshape(-1).nonzero()[:, 0]
        mix = unmix(linear, radius, edge, e, (near + far).reshape(-1)[e] / 2)
        behind = mix.behind if background is None else background.reshape(-1, 3)[e]
        colour[e] = torch.where(mix.is_front[:, None], mix.front, mix.behind)
        coverage[e] = torch.where(mix.is_front, mix.alpha, torch.ones_like(mix.alpha))
        f, b = mix.is_front, ~mix.is_front & (mix.alpha > 1 / 32)
        one = torch.ones_like(mix.alpha)
        parts.append(Points(grid[e[f]], mix.radius_behind[f], behind[f], one[f]))
        parts.append(Points(grid[e[b]], mix.radius_front[b], mix.front[b], mix.alpha[b]))
        fill, fill_radius, reach = hidden_background(linear, radius, edge, (near + far) / 2, origin)
        # Blur uncovers what lies behind a silhouette only as far from it as the two surfaces part.
        hidden = (fill_radius - radius > (reach / 2).clamp(min=PARALLAX)) & ~edge
        g = hidden.reshape(-1).nonzero()[:, 0]
        fill = fill if background is None else background
        parts.append(Points(grid[g], fill_radius.reshape(-1)[g], fill.reshape(-1, 3)[g], torch.ones_like(g).float()))
    return Points(*(torch.cat([getattr(p, k) for p in parts]) for k in ("at", "radius", "colour", "coverage")))


@dataclass
class Mixture:
    """Silhouette pixels [E] as alpha * front + (1 - alpha) * behind."""

    is_front: Tensor
    alpha: Tensor
    front: Tensor
    behind: Tensor
    radius_front: Tensor
    radius_behind: Tensor


def unmix(linear: Tensor, radius: Tensor, edge: Tensor, e: Tensor, middle: Tensor) -> Mixture:
    """Split silhouette pixels e [E] into two surfaces, told apart by `middle` [E], the radius half-way between.

    Colours come from clean pixels (off the silhouette) within _WINDOW; alpha is the projection of the pixel on the
    line between them, C = alpha F + (1 - alpha) B. The ray through the pixel's centre says which surface covers at
    least half of it.
    """
    h, w = radius.shape
    y0, x0 = e // w, e % w
    # Planes one by one: looking up single numbers is many times faster than rows of five.
    planes = [*linear.permute(2, 0, 1).reshape(3, -1).contiguous(), radius.reshape(-1)]
    # A pixel's own weight: clean pixels count, silhouettes only where nothing clean is near.
    weight = torch.where(edge.reshape(-1), 1e-3, 1.0)
    sums = torch.zeros(2, 5, len(e), device=radius.device)
    for dy in range(-_WINDOW, _WINDOW + 1):
        row = (y0 + dy).clamp(0, h - 1) * w
        for dx in range(-_WINDOW, _WINDOW + 1):
            i = row + (x0 + dx).clamp(0, w - 1)
            v = [p.index_select(0, i) for p in planes]
            share = weight.index_select(0, i).div_(1 + dx * dx + dy * dy)
            in_front = share * (v[3] < middle)
            for side, part in zip(sums, (in_front, share.sub_(in_front)), strict=True):
                for total, p in zip(side, v, strict=False):
                    total.addcmul_(p, part)
                side[4].add_(part)
    own = torch.stack([p[e] for p in planes], 1)
    is_front = own[:, 3] < middle
    front, behind = (torch.where(s[4:] > 0, s[:4] / s[4:].clamp(min=1e-12), own.T).T for s in sums)
    c, f, b = own[:, :3], front[:, :3], behind[:, :3]
    contrast = ((f - b) ** 2).sum(1)
    alpha = ((c - b) * (f - b)).sum(1) / contrast.clamp(min=1e-12)
    alpha = torch.where(contrast > _MIN_CONTRAST, alpha, is_front.float())
    # Of a wire no pixel is clean: what is taken for its colour is mixed itself, and pixels that miss its middle may
    # look like it all over. They are not background, or it would keep them as beads.
    most = torch.where((sums[0, 4] < _CLEAN) & (alpha < 1), _WIRE, 0.5)
    alpha = torch.where(is_front, alpha.clamp(0.5, 1), alpha.clamp(min=0).minimum(most))
    # What the two clean colours do not explain belongs to the surface that covers the pixel's centre.
    rest = c - alpha[:, None] * f - (1 - alpha[:, None]) * b
    f = (f + torch.where(is_front, 1 / alpha.clamp(min=0.5), 0 * alpha)[:, None] * rest).clamp(min=0)
    unexplained = torch.where(is_front, 0 * alpha, 1 / (1 - alpha).clamp(min=0.5))
    b = (b + unexplained[:, None] * rest).clamp(min=0)
    return Mixture(
        is_front,
        alpha,
        f,
        b,
        torch.where(is_front, own[:, 3], front[:, 3]),
        torch.where(is_front, behind[:, 3], own[:, 3]),
    )


def hidden_background(linear: Tensor, radius: Tensor, edge: Tensor, middle: Tensor, origin=(0, 0)):
    """Extend the far side of every silhouette under the near side: (colour [H, W, 3], radius [H, W], reach [H, W]).

    middle [H, W] tells the two sides of a silhouette apart. Push-pull from the clean pixels just behind one: each
    pixel takes the mean of those in the 3 x 3 cells about its own, at the smallest power-of-two size at which they
    hold any; reach is that size in pixels.
    """
    h, w = radius.shape
    middle, beside = _spread(middle, edge)
    seed = (beside & ~edge & (radius > middle)).float()
    size = FILL_REACH
    left, top = origin[0] % size, origin[1] % size
    v = torch.cat([linear, radius[..., None], torch.ones_like(radius)[..., None]], -1) * seed[..., None]
    v = F.pad(v.permute(2, 0, 1)[None], (left, -(left + w) % size, top, -(top + h) % size))
    pyramid = [v]
    for _ in range(_FILL_LEVELS):
        pyramid.append(F.avg_pool2d(pyramid[-1], 2) * 4)
    best, reach = None, None
    for k in range(_FILL_LEVELS, 0, -1):
        v = F.avg_pool2d(pyramid[k], 3, 1, 1)
        mean = v[:, :4] / v[:, 4:].clamp(min=1e-6)
        has = (v[:, 4:] > 0).float()
        if best is None:
            best, reach = mean, torch.full_like(has, math.inf)
        else:
            best = F.interpolate(best, scale_factor=2, mode="bilinear", align_corners=False)
            reach = F.interpolate(reach, scale_factor=2, mode="nearest")
            best = mean * has + best * (1 - has)
        reach = torch.where(has > 0, torch.full_like(reach, float(1 << k)), reach)
    best = F.interpolate(best, scale_factor=2, mode="bilinear", align_corners=False)
    reach = F.interpolate(reach, scale_factor=2, mode="nearest")
    best, reach = best[0, :, top : top + h, left : left + w], reach[0, 0, top : top + h, left : left + w]
    return best[:3].permute(1, 2, 0), best[3], reach


def _spread(value: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """value [H, W], where known [H, W], carried outwards for 2 * _WINDOW pixels, near ones first: (value, known)."""
    both = torch.stack([value * known, known.float()])[None]
    for k in (_WINDOW, 2 * _WINDOW - 1, 2 * _WINDOW + 1):
        mean = window_mean(both, k, inside=False)
        mean = mean / mean[:, 1:].clamp(min=1e-9)
        both = torch.where(both[:, 1:] > 0, both, mean)
    return both[0, 0], both[0, 1] > 0


# Smooth each surface to the spacing of the lens points' images, so that sampling leaves no pattern.
#
# One lens point stands for a cell of the aperture; on a surface of blur radius r its image is r * sqrt(pi / N) wide.
# Averaging the surface over that width before sampling integrates the cell.

# (pixels per cell of the pyramid, window in cells): widths 3, 5, 7, 10, 14, 20, 28, ...
_WIDTHS = ((1, 3), (1, 5), (1, 7)) + tuple((s, k) for s in (2, 4, 8, 16) for k in (5, 7))
# Tiles whose first pixel is a multiple of this agree.
GRID = _WIDTHS[-1][0]


def prefilter(colour: Tensor, radius: Tensor, samples: int) -> Tensor:
    """colour [H, W, 3] linear, radius [H, W], number of lens points -> [H, W, 3].

    Box means among pixels of about the same blur on the same side of the focal plane; wide ones on a pyramid, so
    that the cost does not grow with the blur.
    """
    h, w = radius.shape
    width = radius.abs() * math.sqrt(math.pi / samples)
    both = torch.cat([colour.permute(2, 0, 1), torch.ones_like(radius)[None]])
    out, largest = both[:3].clone(), float(width.max())
    for i, (s, k) in enumerate(_WIDTHS):
        low = (s * k + (_WIDTHS[i - 1][0] * _WIDTHS[i - 1][1] if i else 1)) / 2
        if low > largest:
            break
        high = (s * k + _WIDTHS[i + 1][0] * _WIDTHS[i + 1][1]) / 2 if i + 1 < len(_WIDTHS) else math.inf
        # Half a step more on both sides: at the limit between two widths both see the same surface.
        for side in (radius > 0, radius < 0):
            here = (width >= low) & (width < high) & side
            if not here.any():
                continue
            near = (width >= low / 1.5) & (width < high * 1.5) & side
            v = (both * near)[None]
            if s > 1:
                v = F.avg_pool2d(F.pad(v, (0, -w % s, 0, -h % s)), s)
            v = window_mean(v, k, inside=False)
            v = v[:, :3] / v[:, 3:].clamp(min=1e-6)
            if s > 1:
                v = F.interpolate(v, scale_factor=s, mode="bilinear", align_corners=False)[..., :h, :w]
            out = torch.where(here, v[0], out)
    return out.permute(1, 2, 0).contiguous()
