"""Aperture shapes, and how one is sampled.

Convention: a mask [1, S, S] shows the opening as seen from the front, white open, grey partly open; its half-width
is one blur radius. Points and kernels are in the picture: x right, y down, in units of the blur radius, for light
from BEHIND the focal plane. Seen from the picture's side the mask is mirrored left to right; in front of the plane
everything turns by 180 degrees, which a negative radius does by itself.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image.checks import RefocusError, check_choice, check_finite, check_number, check_plane, check_whole
from ..image.progress import look

SHAPES = ("iris", "ring", "heart", "star", "cats_eye")
_SUPERSAMPLE = 4
# Anamorphic lenses squeeze by 2 at most; beyond these the opening is a line.
SQUEEZE = 0.01, 100.0
LARGEST_MASK = 2048  # px a side
LARGEST_KERNEL = 4096  # px of blur radius: the image of a point then takes 270 MB, and making it five times as much
MOST_POINTS = 4096


def aperture_mask(
    *,
    shape: str = "iris",
    blades: int = 0,
    roundness: float = 0.0,
    rotation: float = 0.0,
    squeeze: float = 1.0,
    inner: float = 0.5,
    offset: float = 0.5,
    size: int = 256,
) -> Tensor:
    """An aperture [1, size, size] in 0..1; the opening touches the border, its half-height is one blur radius.

    shape: "iris" (circle, or a polygon with `blades` corners), "ring" (an iris whose middle lets only 1 - inner of
    the light through: the soap-bubble disc of an over-corrected lens; inner 1 with nothing inside), "heart", "star"
    (`blades` points, 5 if 0, valleys at radius `inner`), "cats_eye" (the opening cut by a second circle shifted
    by `offset` radii, as at the edge of a vignetted field).
    blades 0 or 3 to 64; roundness 0 (straight blades) .. 1 (circle); rotation in degrees, counter-clockwise as seen
    from the front, 0 puts the first corner at the right; squeeze 0.01 to 100: 2 = twice as tall as wide.
    size: up to 2048. Raises RefocusError on wrong input.
    """
    check_choice("the aperture shape", shape, SHAPES)
    blades = check_whole("blades", blades, 0, 64, why="0 is a circle")
    if blades in (1, 2):
        raise RefocusError(f"blades is {blades}, but 0 (a circle) or 3 to 64 are needed.")
    for name, value in (("roundness", roundness), ("inner", inner), ("offset", offset)):
        check_number(name, value, 0, 1)
    _check_view(rotation, squeeze)
    size = check_whole("the aperture's size", size, 1, LARGEST_MASK)
    n = size * _SUPERSAMPLE
    c = (torch.arange(n, dtype=torch.float32) + 0.5) / n * 2 - 1
    y, x = torch.meshgrid(-c, c, indexing="ij")  # y up, as one draws
    x, y = (x * squeeze, y) if squeeze >= 1 else (x, y / squeeze)  # the longer axis keeps the nominal radius
    t = math.radians(rotation)
    x, y = x * math.cos(t) + y * math.sin(t), y * math.cos(t) - x * math.sin(t)
    open_ = _SHAPE[shape](x, y, blades, roundness, inner, offset)
    return F.avg_pool2d(open_.float()[None], _SUPERSAMPLE)


def _check_view(rotation: float, squeeze: float) -> None:
    check_number("rotation", rotation, why="it is in degrees")
    check_number("squeeze", squeeze, *SQUEEZE, why="1 is round, 2 twice as tall as wide")


def _iris(x, y, blades, roundness, inner, offset):
    radius = torch.hypot(x, y)
    if not blades:
        return radius <= 1
    half = math.pi / blades
    angle = torch.remainder(torch.atan2(y, x) + half, 2 * half) - half  # 0 at a corner
    edge = math.cos(half) / torch.cos(half - angle.abs())  # straight blade between two corners
    return radius <= edge + roundness * (1 - edge)


def _ring(x, y, blades, roundness, inner, offset):
    # Brightness grows as radius^4 towards the rim: third-order spherical aberration piles the rays up there.
    radius = torch.hypot(x, y)
    rim = (1 - inner) + inner * radius**4
    return _iris(x, y, blades, roundness, inner, offset) * rim


def _heart(x, y, blades, roundness, inner, offset):
    x, y = x * 1.2, y * 1.2 + 0.05
    return (x * x + y * y - 0.75) ** 3 - 1.6 * x * x * y**3 <= 0


def _star(x, y, blades, roundness, inner, offset):
    points = blades or 5
    half = math.pi / points
    angle = (torch.remainder(torch.atan2(y, x) - math.pi / 2 + half, 2 * half) - half).abs()  # a point at the top
    valley = max(inner, 0.05)
    # Straight edge from the tip (1, 0) to the valley (valley cos half, valley sin half), in polar form.
    edge = valley * math.sin(half) / (valley * torch.sin(half - angle) + torch.sin(angle))
    return torch.hypot(x, y) <= edge + roundness * (1 - edge)


def _cats_eye(x, y, blades, roundness, inner, offset):
    return _iris(x, y, blades, roundness, inner, offset) & (torch.hypot(x - offset, y) <= 1)


_SHAPE = {"iris": _iris, "ring": _ring, "heart": _heart, "star": _star, "cats_eye": _cats_eye}


def aperture_from_image(image: Tensor, *, rotation: float = 0.0, squeeze: float = 1.0, size: int = 256) -> Tensor:
    """Any picture or mask -> aperture [1, size, size]: its brightness, fitted into the square with black around it.

    rotation, squeeze and size as in aperture_mask. Raises RefocusError on wrong input.
    """
    _check_view(rotation, squeeze)
    size = check_whole("the aperture's size", size, 1, LARGEST_MASK)
    m = _checked(image, "aperture image")
    h, w = m.shape[-2:]
    side = max(h, w)
    m = F.pad(m, ((side - w) // 2, side - w - (side - w) // 2, (side - h) // 2, side - h - (side - h) // 2))
    t = math.radians(rotation)
    sx, sy = (squeeze, 1.0) if squeeze >= 1 else (1.0, 1 / squeeze)
    c, s = math.cos(t), math.sin(t)
    theta = torch.tensor([[[c * sx, -s * sy, 0.0], [s * sx, c * sy, 0.0]]], device=m.device)
    big = F.interpolate(m[None], (max(side, size),) * 2, mode="bilinear", align_corners=False)
    grid = F.affine_grid(theta, [1, 1, 2 * size, 2 * size], align_corners=False)
    out = F.grid_sample(big, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return F.avg_pool2d(out, 2)[0]


def check_aperture(aperture: Tensor | None) -> Tensor:
    """None (a circle) or a mask -> [1, S, S] in 0..1 with some light passing."""
    m = _square(aperture)
    if not m.max() > 0:
        raise RefocusError("the aperture is all black, so no light passes: paint some of it white.")
    return m


def _square(aperture: Tensor | None) -> Tensor:
    """None (a circle) or a mask -> [1, S, S] in 0..1."""
    if aperture is None:
        return aperture_mask()
    m = _checked(aperture, "aperture")
    h, w = m.shape[-2:]
    return m if h == w else aperture_from_image(m, size=min(max(h, w), LARGEST_MASK))


def _checked(mask: Tensor, name: str) -> Tensor:
    """A mask, or the first of several -> [1, H, W] in 0..1."""
    return check_finite(check_plane(mask, name)[:1], name).clamp(0, 1)


def aperture_points(aperture: Tensor | None, count: int) -> tuple[Tensor, Tensor]:
    """Aperture [1, S, S] -> points [n, 2] (x right, y down in the picture, behind the focal plane) and weights [n].

    Weighted Lloyd relaxation (centroidal Voronoi cells over the open part), started from a golden-angle spiral:
    deterministic, evenly spread over any shape, and each cell's light is its weight. Weights sum to 1. Computed on the
    CPU, so that every device sees the same picture. count: up to 4096. Raises RefocusError on wrong input.
    """
    aperture = check_aperture(aperture)
    count = check_whole("the number of aperture points", count, 1, MOST_POINTS)
    grid, light = _open_grid(aperture)
    i = torch.arange(count) + 0.5
    start = (i / count * (len(grid) - 1)).long()
    golden = 2.399963  # radians
    spiral = (i / count).sqrt()[:, None] * torch.stack([torch.cos(i * golden), torch.sin(i * golden)], -1)
    inside = torch.cdist(spiral, grid).amin(1) < 1 / 32
    points = torch.where(inside[:, None], spiral, grid[start])
    for _ in range(16):
        look()
        cell = torch.cdist(grid, points).argmin(1)
        weight = torch.zeros(count).index_add_(0, cell, light)
        centre = torch.zeros(count, 2).index_add_(0, cell, grid * light[:, None])
        points = torch.where((weight > 0)[:, None], centre / weight[:, None], points)  # an empty cell stays
    used = weight > 0
    return points[used].to(aperture.device), (weight[used] / weight[used].sum()).to(aperture.device)


def cell_light(aperture: Tensor, points: Tensor) -> Tensor:
    """Light [n] of the aperture [1, S, S] in the Voronoi cells of points [n, 2]; sums to 1."""
    grid, light = _open_grid(aperture)
    cell = torch.cdist(grid, points.cpu()).argmin(1)
    weight = torch.zeros(len(points)).index_add_(0, cell, light)
    return (weight / weight.sum()).to(aperture.device)


def _open_grid(aperture: Tensor) -> tuple[Tensor, Tensor]:
    """The open cells of a 64 x 64 raster of the aperture as the picture sees it: (positions [n, 2], light [n])."""
    m = F.interpolate(aperture[None].float().cpu(), (64, 64), mode="area")[0, 0].flip(-1)
    c = (torch.arange(64) + 0.5) / 32 - 1
    y, x = torch.meshgrid(c, c, indexing="ij")
    at = m > min(1e-3, float(m.max()) / 2)
    return torch.stack([x[at], y[at]], -1), m[at]


def aperture_kernel(aperture: Tensor | None, radius: float, reach: int | None = None) -> Tensor:
    """The image [K, K] of a point behind the focal plane at this blur radius in pixels (> 0); sums to 1.

    reach: pixels from the centre beyond which the image is not looked at; what is left of a larger one is its middle,
    K = 2 reach + 1, which then sums to less. Without it the radius is LARGEST_KERNEL at most. Raises RefocusError on
    wrong input.
    """
    aperture = _square(aperture)
    most = LARGEST_KERNEL if reach is None else 1e9
    check_number("the blur radius", radius, 1e-9, most, why="in pixels, the aperture's image has twice that a side")
    whole = math.ceil(radius + 0.5)
    half = whole if reach is None else min(whole, max(1, reach))
    k = 2 * half + 1
    ss = max(1, min(16, math.ceil(24 / max(radius, 0.5))))
    c = ((torch.arange(k * ss, device=aperture.device) + 0.5) / ss - k / 2) / radius
    y, x = torch.meshgrid(c, c, indexing="ij")
    # Where the kernel is coarser than the mask, average the mask first: bilinear lookups alone would alias.
    step = aperture.shape[-1] / 2 / (radius * ss)
    m = F.avg_pool2d(aperture[None], min(int(step), aperture.shape[-1])) if step >= 2 else aperture[None]
    s = F.grid_sample(m.flip(-1), torch.stack([x, y], -1)[None], mode="bilinear", align_corners=False)
    out = F.avg_pool2d(s, ss)[0, 0]
    if half < whole:
        return out / (aperture.mean() * 4 * radius**2)  # the sum of the whole image, which is large
    total = out.sum()
    if not total > 0:
        out[half, half] = total = torch.ones_like(total)
    return out / total
