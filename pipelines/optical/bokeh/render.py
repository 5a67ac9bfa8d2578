"""render_bokeh: a picture and its defocus map, photographed through an aperture."""
import math

import torch
from torch import Tensor

from ...optics.aperture import aperture_points, check_aperture
from ...optics.checks import check_image, match_batch, size_of
from ...optics.defocus import DefocusMap
from ...optics.errors import RefocusError
from ...optics.light import HIGHLIGHT_GAIN, decode_srgb, encode_srgb, recover_highlights
from .lights import add_lights, light_bins, split_lights, step_radius
from .prefilter import prefilter
from .surfaces import FILL_REACH, Points, build_points
from .views import render_views

# Lens points. The prefilter closes the gaps between their images, so more points buy finer occlusion, not less noise.
SAMPLES = {"best": 160, "fast": 40}
TILE = 2048
LIGHT_GROUP = 4
# A result this near to the input is the input: whatever is in focus stays bit for bit what it was.
SAME = 5e-5


def render_bokeh(image: Tensor, defocus: DefocusMap, *, aperture: Tensor | None = None,
                 background: Tensor | None = None, quality: str = "best", linear: bool = False,
                 highlights: float = HIGHLIGHT_GAIN, progress=None) -> Tensor:
    """Lens blur by aperture sampling.

    image [B, H, W, 3]: sRGB in 0..1, or with linear=True light that may exceed 1; all in focus. defocus: signed blur
    radius in pixels, 1 map or B, resized to the image if need be. aperture: mask [1, S, S] as seen from the front,
    None = circle. background [1 or B, H, W, 3] in the image's encoding: what stands behind the silhouettes; None
    fills it from around. quality "best" or "fast" (fewer lens points). highlights >= 1: how much brighter than white
    a small clipped light is taken to be; not used with linear=True. progress(done, total) is called often and may
    raise to cancel.

    Returns [B, H, W, 3] in the image's encoding; 1 image with B maps gives B pictures.
    Pixels that no blur reaches are returned bit for bit.
    Source: distributed ray tracing of a thin lens (Cook, Porter, Carpenter 1984) on a layered depth image (Shade et
    al. 1998): out(x) = mean over aperture points p of the nearest surface y with y + radius(y) p = x.
    Raises RefocusError on wrong input.
    """
    image = check_image(image)
    if not isinstance(defocus, DefocusMap):
        raise RefocusError(f"defocus is a {type(defocus).__name__}, but a DefocusMap is needed: make one with "
                           "RefocusLens.")
    if quality not in SAMPLES:
        raise RefocusError(f"quality is '{quality}', but one of {', '.join(SAMPLES)} is needed.")
    if not highlights >= 1:
        raise RefocusError(f"highlights is {highlights}, but 1 or more is needed: 1 leaves clipped lights as they are.")
    if image.shape[0] == 1:
        image = image.expand(defocus.radius.shape[0], -1, -1, -1)
    b, h, w, _ = image.shape
    radius = match_batch(defocus.scaled_to(h, w).radius.to(image.device), b, "the defocus map")
    mask = check_aperture(aperture).to(image.device)
    if background is not None:
        background = check_image(background, "background")
        if background.shape[1:3] != (h, w):
            raise RefocusError(f"the background is {size_of(background[0, ..., 0])} and the image {h} x {w}, but both "
                               "must have one size: scale the background to the image.")
        background = match_batch(background, b, "the background")
    lens, weight = aperture_points(mask, SAMPLES[quality])
    reach = [float(r.abs().max()) for r in radius]
    plans = [_tiles(h, w, r) for r in reach]
    total, done = sum(map(len, plans)) * len(weight), 0
    out = torch.empty_like(image)
    for i in range(b):
        if reach[i] < 0.5:
            out[i] = image[i]
            done += len(plans[i]) * len(weight)
            continue
        light = image[i] if linear else recover_highlights(image[i:i + 1], radius[i:i + 1], highlights)[0]
        behind = None if background is None else background[i] if linear else decode_srgb(background[i])
        for inner, outer in plans[i]:
            base = done

            def tick(k, base=base):
                if progress is not None:
                    progress(base + k + 1, total)

            tile = _render(light[outer], radius[i][outer], mask, lens, weight,
                           None if behind is None else behind[outer], (outer[1].start, outer[0].start), tick)
            top, left = inner[0].start - outer[0].start, inner[1].start - outer[1].start
            th, tw = inner[0].stop - inner[0].start, inner[1].stop - inner[1].start
            tile, source = tile[top:top + th, left:left + tw], image[i][inner]
            if linear:
                same = (tile - source).abs() <= SAME * (1 + source.abs())
            else:
                tile = encode_srgb(tile)
                same = (tile - source).abs() <= SAME
            out[i][inner] = torch.where(same, source, tile)
            done += len(weight)
    return out


def _render(light, radius, mask, lens, weight, background, origin, tick) -> Tensor:
    """One tile: linear [h, w, 3] and radius [h, w] -> linear [h, w, 3]."""
    h, w = radius.shape
    if float(radius.abs().max()) < 0.5:
        tick(len(weight) - 1)
        return light
    scene, lights = split_lights(light, radius)
    points = build_points(scene, radius, background)
    smooth = prefilter(points.colour[:h * w].view(h, w, 3), radius, len(weight)).reshape(-1, 3)
    points = Points(points.at, points.radius, torch.cat([smooth, points.colour[h * w:]]), points.coverage)
    bins = light_bins(lights, radius)
    radii = {s: math.copysign(step_radius(abs(s)), s) for s in bins}
    # What hides one light hides its neighbours in depth as well: one visibility map for a group of steps.
    groups = {s: s // LIGHT_GROUP for s in bins}
    nearest = {g: min(radii[s] for s in bins if groups[s] == g) for g in groups.values()}
    seen, visible = render_views(points, h, w, lens, weight, nearest.values(), origin, tick)
    visible = dict(zip(nearest, visible, strict=True))
    out = seen[..., :3] / seen[..., 3:].clamp(min=1e-6)
    for s, (at, light) in bins.items():
        add_lights(out, at, light, visible[groups[s]], mask, radii[s])
        tick(len(weight) - 1)
    return out


def _tiles(h: int, w: int, reach: float) -> list:
    """[(inner, outer)] slices: outer is inner plus all that can reach it, on the grid of the background fill."""
    halo = -(-math.ceil(reach + 16 + 3 * FILL_REACH) // FILL_REACH) * FILL_REACH
    out = []
    for y in range(0, h, TILE):
        for x in range(0, w, TILE):
            y1, x1 = min(y + TILE, h), min(x + TILE, w)
            out.append(((slice(y, y1), slice(x, x1)),
                        (slice(max(0, y - halo), min(h, y1 + halo)), slice(max(0, x - halo), min(w, x1 + halo)))))
    return out
