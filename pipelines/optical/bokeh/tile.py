"""One tile of the picture, photographed."""
import torch
from torch import Tensor

from .lens import Field, Lens
from .lights import add_lights, light_bins, signed_radius, split_lights
from .prefilter import prefilter
from .surfaces import Points, build_points
from .views import render_views

# Depths apart at which it is told what hides a light, in pixels of radius, and how many there are at most.
_VISIBILITY_STEP, _VISIBILITY_MAPS = 2.0, 16


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
    bins = light_bins(lights, radius)
    radii = {s: signed_radius(s) for s in bins}
    # What hides one light hides its neighbours in depth as well: one visibility map for a group of steps.
    span = max(radii.values(), default=0) - min(radii.values(), default=0)
    group = {s: int(r // max(_VISIBILITY_STEP, span / (_VISIBILITY_MAPS - 1))) for s, r in radii.items()}
    # A light shared by two steps may be one step nearer than its farther share is drawn.
    nearest = {g: min(signed_radius(s - 1) for s in bins if group[s] == g) for g in group.values()}
    seen, visible = render_views(points, h, w, lens, field, nearest.values(), tick)
    visible = dict(zip(nearest, visible, strict=True))
    out = seen[..., :3] / seen[..., 3:].clamp(min=1e-6)
    for s, (at, part) in bins.items():
        add_lights(out, at, part, visible[group[s]], lens, field, radii[s])
        tick(count - 1)
    return out
