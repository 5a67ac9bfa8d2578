"""render_bokeh: a picture and its defocus map, photographed through an aperture."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...image.checks import RefocusError, check_choice, check_flag, check_image, check_number, match_batch, size_of
from ...image.light import decode_srgb, encode_srgb
from ...image.progress import Counter, bands, look
from ...optics.aperture import check_aperture
from ...optics.lens import DefocusMap, check_defocus
from .highlights import HIGHLIGHT_GAIN, add_highlights, find_clipped_highlights, gather_highlights, split_highlights
from .lens import Lens, make_lens
from .surfaces import Points, build_points, prefilter
from .tiles import Tile, tile_count, tiles
from .views import render_views

# Lens points. The prefilter closes the gaps between their images, so more points buy finer occlusion, not less noise.
SAMPLES = {"best": 256, "fast": 40}
# A result this near to the input (of linear light: of 1 + the input) is the input: what is in focus stays bit for bit.
SAME = 5e-5
MOST_GAIN, MOST_CHROMATIC = 1e4, 1000.0  # of highlights, times white; of chromatic, pixels
_SHARP = 0.5  # pixels of radius: a disc that stays within its own pixel
# Steps of progress within a tile before its first lens point, a step being about as long as a lens point: when its
# light is split, its points are built, they are smoothed, and the views are made ready.
_SPLIT, _BUILT, _SMOOTHED, _READY = 2, 14, 20, 24


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

        photo(x) = mean over aperture points p of light(y_p),    y_p = the nearest point y with y + radius(y) p = x

    image [B, H, W, 3]: sRGB in 0..1, or with linear=True light that may exceed 1; all in focus. defocus: signed blur
    radius in pixels, 1 map or B, resized to the image if need be. aperture: mask [1, S, S] as seen from the front,
    None = circle. background [1 or B, H, W, 3] in the image's encoding: what stands behind the depth edges; None
    fills it from around. quality "best" or "fast" (fewer lens points). highlights >= 1: how many times white a small
    clipped highlight is taken to be; not used with linear=True. progress(done, total) is called often and may raise to
    cancel.

    Character of the lens: cats_eye 0..1, mechanical vignetting: how far the exit pupil's rim is shifted against the
    aperture in the picture's corners, in blur radii; spherical -1..1, bright-rimmed discs behind the focal plane and
    bright-centred ones in front (above 0) or the reverse; chromatic in pixels, longitudinal chromatic aberration: how
    much smaller the blur of red and blue is than green's behind the plane, and larger in front (green rims behind,
    magenta rims in front).

    Returns [B, H, W, 3] in the image's encoding; 1 image with B maps gives B pictures, each as if it were alone.
    Pixels that no blur reaches are returned bit for bit.
    Source: distributed ray tracing of a thin lens (Cook, Porter, Carpenter 1984) on a layered depth image (Shade et
    al. 1998).
    Raises RefocusError on wrong input.
    """
    linear = check_flag("linear", linear)
    _check_options(quality, highlights, cats_eye, spherical, chromatic)
    image, background = _check_pictures(image, defocus, background)
    b, h, w, _ = image.shape
    tick_count = b * tile_count(h, w) * _ticks(quality, chromatic)
    with Counter(progress, tick_count) as counter:
        counter.pulse()
        radius = match_batch(defocus.scaled_to(h, w).radius.to(image.device), b, "the defocus map")
        mask = check_aperture(aperture).to(image.device)
        lens = make_lens(mask, SAMPLES[quality], spherical, cats_eye)
        camera = _Camera(lens, chromatic, linear, highlights, _ticks(quality, chromatic))
        plans = [camera.plan(r) for r in radius]
        out = torch.empty_like(image)
        for i, plan in enumerate(plans):
            behind = None if background is None else background[i]
            out[i] = camera.photograph(image[i], radius[i], behind, plan, counter)
    return out


def _check_options(quality: str, highlights: float, cats_eye: float, spherical: float, chromatic: float) -> None:
    check_choice("quality", quality, SAMPLES)
    check_number("highlights", highlights, 1, MOST_GAIN, why="1 leaves clipped highlights as they are")
    check_number("cats_eye", cats_eye, 0, 1)
    check_number("spherical", spherical, -1, 1)
    check_number("chromatic", chromatic, 0, MOST_CHROMATIC, why="in pixels of the picture")


def _ticks(quality: str, chromatic: float) -> int:
    """Of the counter, to a tile, for each group of channels that is rendered by itself."""
    return (_READY + SAMPLES[quality]) * (2 if chromatic > 0 else 1)


def _check_pictures(image, defocus, background) -> tuple[Tensor, Tensor | None]:
    """-> image and background (or None) [B, H, W, 3], of one size; B is that of the image or of the defocus map."""
    image = check_image(image)
    defocus = check_defocus(defocus)
    if image.shape[0] == 1:
        image = image.expand(defocus.radius.shape[0], -1, -1, -1)
    b, h, w, _ = image.shape
    match_batch(defocus.radius, b, "the defocus map")
    if background is None:
        return image, None
    background = check_image(background, "background").to(image.device)
    if background.shape[1:3] != (h, w):
        raise RefocusError(
            f"the background is {size_of(background[0, ..., 0])} and the image {h} x {w}, but both "
            "must have one size: scale the background to the image."
        )
    return image, match_batch(background, b, "the background")


@dataclass(frozen=True)
class _Camera:
    """A lens with its longitudinal chromatic aberration in pixels, and what its pictures are: linear light or sRGB,
    and then how many times white a clipped highlight is. ticks: of the counter, to a tile."""

    lens: Lens
    chromatic: float
    linear: bool
    highlight_gain: float
    ticks: int

    def plan(self, radius: Tensor) -> list[Tile]:
        """radius [H, W] -> the tiles of its picture."""
        height, width = radius.shape
        return tiles(height, width, self._largest(radius))

    def photograph(
        self, image: Tensor, radius: Tensor, background: Tensor | None, plan: list[Tile], counter: Counter
    ) -> Tensor:
        """image and background [H, W, 3] in the picture's encoding, radius [H, W] -> [H, W, 3]."""
        if self._largest(radius) < _SHARP:
            counter.to(counter.done + self.ticks * len(plan))
            return image
        decode = (lambda x: x) if self.linear else decode_srgb
        clipped = None if self.linear else find_clipped_highlights(image, self.highlight_gain)
        out = torch.empty_like(image)
        groups = 2 if self.chromatic > 0 else 1
        for tile in plan:
            light, r = decode(tile.take(image)), tile.take(radius)
            if clipped is not None:
                light = clipped.recover(light, r, tile)
            behind = None if background is None else decode(tile.take(background))
            core = tile.core.within(tile.picture)
            source, photo = image[core], torch.empty_like(image[core])
            for channels, r_channels in radius_of_channels(r, self.chromatic):
                done = counter.done + self.ticks // groups
                photo[..., channels] = render_tile(light, r_channels, self.lens, tile, behind, counter)[..., channels]
                counter.to(done)
            photo = photo if self.linear else encode_srgb(photo)
            kept = out[core]
            for _, rows in bands(photo[None]):
                tolerance = SAME * (1 + source[rows].abs()) if self.linear else SAME
                kept[rows] = torch.where((photo[rows] - source[rows]).abs() <= tolerance, source[rows], photo[rows])
        return out

    def _largest(self, radius: Tensor) -> float:
        return float(radius.abs().max()) + self.chromatic


def radius_of_channels(radius: Tensor, chromatic: float) -> list[tuple[tuple[int, ...], Tensor]]:
    """Longitudinal chromatic aberration: the blur radius of each group of channels that is focused alike.

        red, blue:  radius - chromatic * min(|radius| / (2 chromatic), 1)        green:  radius

    so that they stay sharp where green is, and part from it by `chromatic` pixels from twice that blur on.
    """
    if not chromatic > 0:
        return [((0, 1, 2), radius)]
    share = (radius / max(2 * chromatic, 1e-6)).abs().clamp(max=1)
    return [((1,), radius), ((0, 2), radius - chromatic * share)]


def render_tile(
    light: Tensor, radius: Tensor, lens: Lens, tile: Tile, background: Tensor | None, counter: Counter
) -> Tensor:
    """light [h, w, 3] linear, radius [h, w] and background over the tile's `known` window -> its core [H, W, 3]. The
    counter goes on by _READY and one for each lens point, or less."""
    start, samples = counter.done, len(lens.points)
    seen, core = tile.seen.within(tile.known), tile.core.within(tile.seen)
    if float(radius[seen].abs().max()) < _SHARP:
        return light[seen][core]
    look()
    scene, shining = split_highlights(light, radius)
    counter.to(start + _SPLIT)
    points = build_points(scene, radius, background, (tile.known.left, tile.known.top))
    counter.to(start + _BUILT)
    points = _prefiltered(points, radius, samples)
    counter.to(start + _SMOOTHED)
    points = points.within(*seen)
    look()
    # Beyond its frame the picture is taken to go on, but no highlight of its edge is taken to.
    shining = shining[seen] * tile.in_frame(light.device)[..., None]
    highlights = gather_highlights(shining, radius[seen])
    counter.to(start + _READY)
    exposed, visible = render_views(points, tile.seen.height, tile.seen.width, lens, tile.field, highlights, counter)
    out = exposed[..., :3] / exposed[..., 3:].clamp(min=1e-6)
    look()
    add_highlights(out, highlights, visible, lens, tile.field)
    return out[core]


def _prefiltered(points: Points, radius: Tensor, samples: int) -> Points:
    """The picture's own pixels smoothed to the spacing of the lens points; what lies hidden is smooth already."""
    h, w = radius.shape
    own, hidden = points.colour[: h * w].view(h, w, 3), points.colour[h * w :]
    smooth = prefilter(own, radius, samples).reshape(-1, 3)
    return Points(points.at, points.radius, torch.cat([smooth, hidden]), points.coverage)
