"""One tile of the picture, photographed."""
import torch
from torch import Tensor

from .lens import Field, Lens
from .lights import gather_lights, split_lights
from .prefilter import prefilter
from .spread import add_lights
from .surfaces import Points, build_points
from .views import render_views


def render_tile(light: Tensor, radius: Tensor, lens: Lens, field: Field, background: Tensor | None, tick) -> Tensor:
    """light [h, w, 3] linear and radius [h, w] of the tile at `field` -> [h, w, 3] linear."""
    h, w = radius.shape
    count = len(lens.points)
    if float(radius.abs().max()) < 0.5:
        tick(count - 1)
        return light
    scene, lights = split_lights(light, radius)
    # Beyond its frame the picture is taken to go on, but no light of its edge is taken to.
    outside = torch.ones(h, w, dtype=torch.bool, device=radius.device)
    outside[max(0, -field.y):max(0, field.height - field.y), max(0, -field.x):max(0, field.width - field.x)] = False
    lights[outside] = 0
    points = build_points(scene, radius, background, (field.x, field.y))
    smooth = prefilter(points.colour[:h * w].view(h, w, 3), radius, count).reshape(-1, 3)
    points = Points(points.at, points.radius, torch.cat([smooth, points.colour[h * w:]]), points.coverage)
    lights = gather_lights(lights, radius)
    seen, open_ = render_views(points, h, w, lens, field, lights, tick)
    out = seen[..., :3] / seen[..., 3:].clamp(min=1e-6)
    add_lights(out, lights, open_, lens, field, lambda _: tick(count - 1))
    return out
