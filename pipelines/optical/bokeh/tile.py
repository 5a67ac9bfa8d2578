"""One tile of the picture, photographed."""
import torch
from torch import Tensor

from .lens import Lens
from .lights import gather_lights, split_lights
from .prefilter import prefilter
from .spread import add_lights
from .surfaces import Points, build_points
from .tiles import Tile
from .views import render_views


def render_tile(light: Tensor, radius: Tensor, lens: Lens, tile: Tile, background: Tensor | None, tick) -> Tensor:
    """light [h, w, 3] linear, radius [h, w] and background of the tile's outer part -> its near part [H, W, 3]."""
    count = len(lens.points)
    top, left = tile.near[0] - tile.outer[0], tile.near[2] - tile.outer[2]
    height, width = tile.near[1] - tile.near[0], tile.near[3] - tile.near[2]
    near = (slice(top, top + height), slice(left, left + width))
    if float(radius[near].abs().max()) < 0.5:
        tick(count - 1)
        return light[near]
    scene, lights = split_lights(light, radius)
    points = build_points(scene, radius, background, (tile.outer[2], tile.outer[0]))
    points = _prefiltered(points, radius, count).within(left, top, width, height)
    lights = lights[near].clone()
    # Beyond its frame the picture is taken to go on, but no light of its edge is taken to.
    lights[~tile.in_frame(lights.device)] = 0
    lights = gather_lights(lights, radius[near])
    seen, open_ = render_views(points, height, width, lens, tile.field, lights, tick)
    out = seen[..., :3] / seen[..., 3:].clamp(min=1e-6)
    add_lights(out, lights, open_, lens, tile.field, lambda _: tick(count - 1))
    return out


def _prefiltered(points: Points, radius: Tensor, samples: int) -> Points:
    h, w = radius.shape
    smooth = prefilter(points.colour[:h * w].view(h, w, 3), radius, samples).reshape(-1, 3)
    return Points(points.at, points.radius, torch.cat([smooth, points.colour[h * w:]]), points.coverage)
