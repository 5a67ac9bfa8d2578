"""The scene seen from points of the lens: each point of the aperture sees every surface shifted by radius * point,
nearest wins; the mean over the aperture is the photograph. Occlusion is exact per point of the lens."""

import torch
from torch import Tensor

from .highlights import Lights
from .lens import Field, Lens
from .surfaces import PARALLAX, Points

_ID_BITS = 32
_ID_MASK = (1 << _ID_BITS) - 1
_DEPTH_STEPS = 64  # z-buffer steps per pixel of radius
_GOLDEN = 0.6180339887498949


def depth_level(radius: Tensor) -> Tensor:
    """Blur radius -> int64 that grows towards the viewer."""
    return ((2.0**15 - radius) * _DEPTH_STEPS).round().long().clamp(min=0)


def render_views(points: Points, height: int, width: int, lens: Lens, field: Field, lights: Lights, tick=None):
    """Points of a tile of height x width, which lies at `field` in the picture, seen through the lens.

    Returns (seen [H, W, 4], open [L, N] uint8): the sum of weighted light with the weight that hit anything, and
    from which lens points nothing nearer stands before each of the lights.
    A point of coverage a takes part in a share a of the views (stochastic transparency, Enderton et al. 2010), in a
    fixed low-discrepancy order so that a static scene gives identical frames. tick(i) is called once per lens point.
    """
    dev = points.radius.device
    # Points that take part only now and then come last, in one piece.
    hard, soft = (points.coverage >= 1).nonzero()[:, 0], (points.coverage < 1).nonzero()[:, 0]
    points = points.pick(torch.cat([hard, soft]))
    part = slice(len(hard), None)
    key = (depth_level(points.radius) << _ID_BITS) | torch.arange(len(points.radius), device=dev)
    # Places in the whole picture, so that every tile rounds alike; and half a pixel up, to be rounded down, because
    # rounding to even would tear holes into a plane that is shifted by half a pixel.
    x, y = (points.at + torch.tensor([field.x + 0.5, field.y + 0.5], device=dev)).T.contiguous()
    start = torch.frac(x[part] * 0.7548776662466927 + y[part] * 0.5698402909980532 + 128)
    stride, none = width + 2, len(points.radius)
    # One 16-byte element per point, red, green, blue and weight, and last the nothing that an empty pixel sees.
    table = torch.zeros(none + 1, 4, device=dev)
    table[:none, :3], table[:none, 3] = points.colour, 1
    table = table.view(torch.complex128)[:, 0]
    # Every array of the loop is made once: at this size making one costs more than filling it.
    tx, ty, to = torch.empty_like(x), torch.empty_like(y), torch.empty_like(key)
    buffer = torch.empty((height + 2) * stride, dtype=torch.int64, device=dev)
    front = torch.empty(height, width, dtype=torch.int64, device=dev)
    seen = torch.empty(height * width, dtype=table.dtype, device=dev)
    out = torch.zeros(height * width, 4, device=dev)
    # A thing hides a light if their images part by more than what silhouettes are told by.
    limit = depth_level(lights.radius - PARALLAX) << _ID_BITS
    light_x, light_y = lights.x + (field.x + 0.5), lights.y + (field.y + 0.5)
    open_ = torch.ones(len(limit), len(lens.points), dtype=torch.uint8, device=dev)
    in_front = torch.cat([points.radius, points.radius.new_zeros(1)]) < 0
    barrel = _Barrel(lens, field, height, width, dev) if lens.cats_eye else None
    weights = zip(lens.points.tolist(), lens.behind.tolist(), lens.front.tolist(), strict=True)
    for i, ((px, py), behind, front_weight) in enumerate(weights):
        torch.add(x, points.radius, alpha=px, out=tx).floor_().sub_(field.x - 1).clamp_(0, width + 1)
        torch.add(y, points.radius, alpha=py, out=ty).floor_().sub_(field.y - 1).clamp_(0, height + 1)
        to.copy_(ty.mul_(stride).add_(tx))
        to[part] *= torch.frac(start + i * _GOLDEN) < points.coverage[part]
        buffer.fill_(none).scatter_reduce_(0, to, key, "amax")
        if len(limit):
            lx = light_x.add(lights.radius, alpha=px).floor_().sub_(field.x - 1)
            ly = light_y.add(lights.radius, alpha=py).floor_().sub_(field.y - 1)
            inside = (lx >= 1) & (lx <= width) & (ly >= 1) & (ly <= height)
            at = ly.clamp_(0, height + 1).mul_(stride).add_(lx.clamp_(0, width + 1)).long()
            open_[:, i] = (buffer[at] < limit) | ~inside
        torch.bitwise_and(buffer.view(height + 2, stride)[1:-1, 1:-1], _ID_MASK, out=front)
        light = torch.index_select(table, 0, front.view(-1), out=seen).view(torch.float32).view(-1, 4)
        if lens.symmetric and barrel is None:
            out.add_(light, alpha=behind)
        else:
            share = torch.where(in_front[front.view(-1)], front_weight, behind)
            if barrel is not None:
                share = share * barrel.passes(px, py)
            out.addcmul_(light, share[:, None])
        if tick is not None:
            tick(i)
    return out.view(height, width, 4), open_


class _Barrel:
    """Which pixels' rays through a lens point also pass the shifted opening of the barrel."""

    def __init__(self, lens: Lens, field: Field, height: int, width: int, device):
        self.x, self.y = field.shift(
            torch.arange(width, device=device), torch.arange(height, device=device), lens.cats_eye
        )
        self.rim2 = lens.rim**2

    def passes(self, px: float, py: float) -> Tensor:
        """-> [H * W] 0 or 1."""
        return ((px - self.x)[None] ** 2 + (py - self.y)[:, None] ** 2 <= self.rim2).reshape(-1).float()
