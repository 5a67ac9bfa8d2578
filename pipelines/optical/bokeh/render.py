"""render_bokeh: a picture and its defocus map, photographed through an aperture."""

import torch
from torch import Tensor

from ...image.checks import RefocusError, check_image, match_batch, size_of
from ...image.light import decode_srgb, encode_srgb
from ...optics.aperture import check_aperture
from ...optics.lens import DefocusMap
from .highlights import HIGHLIGHT_GAIN, add_lights, find_clipped_lights, gather_lights, split_lights
from .lens import Lens, make_lens
from .surfaces import Points, build_points, prefilter
from .tiles import Tile, tiles
from .views import render_views

# One tile of the picture, photographed.


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
    smooth = prefilter(points.colour[: h * w].view(h, w, 3), radius, samples).reshape(-1, 3)
    return Points(points.at, points.radius, torch.cat([smooth, points.colour[h * w :]]), points.coverage)


# Lens points. The prefilter closes the gaps between their images, so more points buy finer occlusion, not less noise.
SAMPLES = {"best": 256, "fast": 40}
# A result this near to the input is the input: whatever is in focus stays bit for bit what it was.
SAME = 5e-5
# Green is in focus; red and blue stay sharp there too and part from it by the full amount at twice that blur.
_CHANNELS = {True: (((1,), 0.0), ((0, 2), 1.0)), False: (((0, 1, 2), 0.0),)}


def render_bokeh(
    image: Tensor,
    defocus: DefocusMap,
    *,
    aperture: Tensor | None = None,
    background: Tensor | None = None,
    quality: str = "best",
    linear: bool = False,
    highlights: float = HIGHLIGHT_GAIN,
    cats_eye: float = 0.0,
    spherical: float = 0.0,
    chromatic: float = 0.0,
    progress=None,
) -> Tensor:
    """Lens blur by aperture sampling.

    image [B, H, W, 3]: sRGB in 0..1, or with linear=True light that may exceed 1; all in focus. defocus: signed blur
    radius in pixels, 1 map or B, resized to the image if need be. aperture: mask [1, S, S] as seen from the front,
    None = circle. background [1 or B, H, W, 3] in the image's encoding: what stands behind the silhouettes; None
    fills it from around. quality "best" or "fast" (fewer lens points). highlights >= 1: how many times white a small
    clipped light is taken to be; not used with linear=True. progress(done, total) is called often and may raise to
    cancel.

    Character of the lens: cats_eye 0..1, how far the barrel's opening is shifted against the aperture in the
    picture's corners, in blur radii; spherical -1..1, bright-rimmed discs behind the focal plane and bright-centred
    ones in front (above 0) or the reverse; chromatic in pixels, how much smaller the blur of red and blue is than
    green's behind the plane, and larger in front (axial colour: green rims behind, magenta rims in front).

    Returns [B, H, W, 3] in the image's encoding; 1 image with B maps gives B pictures.
    Pixels that no blur reaches are returned bit for bit.
    Source: distributed ray tracing of a thin lens (Cook, Porter, Carpenter 1984) on a layered depth image (Shade et
    al. 1998): out(x) = mean over aperture points p of the nearest surface y with y + radius(y) p = x.
    Raises RefocusError on wrong input.
    """
    image = check_image(image)
    if not isinstance(defocus, DefocusMap):
        raise RefocusError(
            f"defocus is a {type(defocus).__name__}, but a DefocusMap is needed: make one with RefocusLens."
        )
    if quality not in SAMPLES:
        raise RefocusError(f"quality is '{quality}', but one of {', '.join(SAMPLES)} is needed.")
    if not highlights >= 1:
        raise RefocusError(f"highlights is {highlights}, but 1 or more is needed: 1 leaves clipped lights as they are.")
    if not 0 <= cats_eye <= 1 or not -1 <= spherical <= 1 or not 0 <= chromatic < 1000:
        raise RefocusError(
            f"cats_eye {cats_eye:g}, spherical {spherical:g}, chromatic {chromatic:g} were given, but "
            "cats_eye must be from 0 to 1, spherical from -1 to 1 and chromatic 0 or more pixels."
        )
    if image.shape[0] == 1:
        image = image.expand(defocus.radius.shape[0], -1, -1, -1)
    b, h, w, _ = image.shape
    radius = match_batch(defocus.scaled_to(h, w).radius.to(image.device), b, "the defocus map")
    mask = check_aperture(aperture).to(image.device)
    if background is not None:
        background = check_image(background, "background")
        if background.shape[1:3] != (h, w):
            raise RefocusError(
                f"the background is {size_of(background[0, ..., 0])} and the image {h} x {w}, but both "
                "must have one size: scale the background to the image."
            )
        background = match_batch(background, b, "the background")
    lens = make_lens(mask, SAMPLES[quality], spherical, cats_eye)
    passes = _CHANNELS[chromatic > 0]
    steps = len(lens.points)
    reach = [float(r.abs().max()) + chromatic for r in radius]
    plans = [tiles(h, w, r) for r in reach]
    total, done = sum(map(len, plans)) * steps * len(passes), 0
    decode = (lambda x: x) if linear else decode_srgb
    out = torch.empty_like(image)
    for i in range(b):
        if reach[i] < 0.5:
            out[i] = image[i]
            done += len(plans[i]) * steps * len(passes)
            continue
        lights = None if linear else find_clipped_lights(image[i], highlights)
        for tile in plans[i]:
            light, r, source = decode(tile.take(image[i])), tile.take(radius[i]), image[i][tile.inner]
            if lights is not None:
                light = lights.recover(light, r, tile)
            behind = None if background is None else decode(tile.take(background[i]))
            result = torch.empty_like(source)
            for channels, share in passes:
                base = done

                def tick(k, base=base):
                    if progress is not None:
                        progress(base + k + 1, total)

                shifted = r - chromatic * share * (r / max(2 * chromatic, 1e-6)).abs().clamp(max=1)
                photo = render_tile(light, shifted, lens, tile, behind, tick)
                result[..., channels] = tile.crop(photo)[..., channels]
                done += steps
            if not linear:
                result = encode_srgb(result)
            same = (result - source).abs() <= SAME * (1 + source.abs() * linear)
            out[i][tile.inner] = torch.where(same, source, result)
    return out
