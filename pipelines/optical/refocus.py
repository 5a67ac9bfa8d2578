"""refocus: any photo, photographed again with another focus and another blur, as far as one photo tells.

    s = the blur radius that the photo has         t = the signed one that is asked for
    sharpened where less blur is asked for:    x = photo + w (deblurred - photo)    w = clamp(2 (s - |t|) / s, 0, 1)
    blurred by what is then missing:           r = sign(t) sqrt(t^2 - ((1 - w) s)^2)      (second moments add)

Deconvolution costs more than it brings where the result is to be blurred anyway, so there it is left out. Where s = |t|
nothing is done. A highlight that the photo spread over a disc has lost no more light than it shows, unlike one that is
in focus: what is clipped there does not count as clipped.

s is that of one thin lens where depth is known (photo_lens.py). Without depth each part of the photo is looked at by
itself (estimate.py), and nothing tells whether what is blurred stands in front of what is sharp or behind it. What the
photo is focused on can then be kept in focus while the rest is blurred more or less: it counts as behind, the most
blurred of it as one unit of disparity away (defocus magnification: S. Bae, F. Durand, Eurographics 2007).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..image.checks import RefocusError, check_image, check_number, check_plane, match_batch
from ..image.filters import window_max, window_min
from ..image.light import WHITE
from ..image.progress import Counter, bands, look
from ..optics.focus import focus_at_point
from ..optics.lens import STRONGEST, DefocusMap, defocus_from_disparity
from .bokeh.highlights import HIGHLIGHT_GAIN
from .bokeh.render import render_bokeh
from .deconvolution.deblur import deblur
from .deconvolution.estimate import estimate_defocus
from .deconvolution.photo_lens import estimate_lens

SPREAD = 2.0  # px of radius from which a clipped light is a disc
TOLD = 2.0  # px: a photo whose largest blur is smaller tells nothing of what is far
IN_FOCUS = 0.25  # of the largest blur: more at the focus point, and the photo is not focused there
MOST = 0.99  # of the pixels have no larger blur than what counts as the largest
_PARTS = (0.1, 0.5, 1.0)  # of the time, by which blur is estimated, the photo sharpened, and blurred
_STEPS = 10_000

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Refocused:
    """A photo refocused.

    image      [B, H, W, 3]
    defocus    the blur asked for
    source     the blur that the photo had
    disparity  [B, H, W] as it was given, or as the photo's blur tells it; None: blur 0 needs none
    by_blur    whether it is the photo's blur that tells what is far
    """

    image: Tensor
    defocus: DefocusMap
    source: DefocusMap
    disparity: Tensor | None
    by_blur: bool

    def describe(self) -> str:
        """One line: the blur that the photo had, and what could not be done."""
        had = self.source.max_radius
        text = [f"the photo was blurred by up to {had:.1f} px" if had else "the photo was sharp"]
        if had:
            text.append("mild blur is taken away, detail that a larger one destroyed cannot come back")
        if self.by_blur:
            text.append(
                "without a depth map what is blurred in the photo counts as behind what is sharp: connect one for what "
                "stands in front"
            )
        return "; ".join(text)


def refocus(
    image: Tensor,
    disparity: Tensor | None = None,
    *,
    focus: tuple[float, float],
    blur: float,
    aperture: Tensor | None = None,
    quality: str = "best",
    highlights: float = HIGHLIGHT_GAIN,
    progress: Progress | None = None,
) -> Refocused:
    """Any photo -> the photo focused at a point, with another blur.

    image [B, H, W, 3] sRGB 0..1, of any focus. disparity [B, H, W], larger is nearer, of the image's size; None: the
    photo's own blur tells what is far. focus: (x, y) in 0..1. blur: radius in pixels one unit of disparity from the
    focal plane, 0 = everything in focus. aperture, quality, highlights: of the new lens, as in render_bokeh.
    progress(done, total) may raise to cancel. Raises RefocusError on wrong input, and without depth for a blur above 0
    where the photo is sharp everywhere, or is not focused at the point: nothing tells then what is near.
    """
    image = check_image(image)
    check_number("blur", blur, 0, STRONGEST, why="0 means everything in focus")
    if disparity is not None:
        disparity = check_plane(disparity, "depth").to(image.device)
        disparity = match_batch(disparity, len(image), "depth", "the image")
    with Counter(progress, _STEPS) as counter:
        source = _photo_blur(image, disparity, _part(counter, 0.0, _PARTS[0]))
        by_blur = disparity is None and blur > 0
        if by_blur:
            disparity = disparity_by_blur(source, focus)
        if disparity is None:
            target = DefocusMap(torch.zeros_like(source.radius), focus_point=focus)
        else:
            plane = focus_at_point(disparity, *focus)
            target = defocus_from_disparity(disparity, plane, blur, focus_point=focus)
        sharpened, rest = _split(image, source, target, _part(counter, *_PARTS[:2]))
        if rest.max_radius:
            sharpened = render_bokeh(
                _without_spread_highlights(sharpened, source, rest),
                rest,
                aperture=aperture,
                quality=quality,
                highlights=highlights,
                progress=_part(counter, *_PARTS[1:]),
            )
        counter.to(_STEPS)
    return Refocused(sharpened, target, source, disparity, by_blur)


def _floored(sharp: Tensor, photo: Tensor, s: Tensor) -> Tensor:
    """sharp, photo [H, W, 3], s [H, W] -> sharp, nowhere about a spread light darker than the photo is near there.

    How bright a light was that is clipped in its disc is lost, so deconvolution digs a dark hole about it. Near means
    within twice the disc's radius.
    """
    clipped, low = photo.amax(-1) >= WHITE, SPREAD
    while clipped.any() and low < float(s.max()):
        look()
        these, width = clipped & (s > low) & (s <= 2 * low), 2 * math.ceil(4 * low) + 1
        if these.any():
            about = window_max(these.float()[None, None], width)[0, 0, :, :, None] > 0
            floor = window_min(photo.movedim(-1, 0)[None], width)[0].movedim(0, -1)
            sharp = torch.where(about, torch.maximum(sharp, floor), sharp)
        low *= 2
    return sharp


def _without_spread_highlights(image: Tensor, source: DefocusMap, rest: DefocusMap) -> Tensor:
    """The picture, one step below white where the photo was out of focus and is to be blurred more."""
    out = image.clone()
    for i, rows in bands(rest.radius):
        spread = (source.radius[i, rows] != 0) & (rest.radius[i, rows] != 0)
        out[i, rows] = torch.where(spread[..., None], image[i, rows].clamp(max=WHITE - 1 / 255), image[i, rows])
    return out


def disparity_by_blur(source: DefocusMap, focus: tuple[float, float]) -> Tensor:
    """The blur of a photo -> disparity [B, H, W]: 1 where it is sharp, 0 where it is blurred most.

    Raises RefocusError where the photo is sharp everywhere, or is not focused at the point (x, y).
    """
    out = torch.empty_like(source.radius)
    there = focus_at_point(source.radius, *focus)
    for i, radius in enumerate(source.radius):
        largest = _nearly_largest(radius)
        if largest < TOLD:
            raise RefocusError(
                "no depth map is connected and the photo is sharp everywhere, so nothing tells what is near and what "
                "is far: connect a depth map (RefocusDepth makes one), or set blur to 0."
            )
        if float(there[i]) > IN_FOCUS * largest:
            raise RefocusError(
                f"no depth map is connected and the photo is out of focus at the point {focus[0]:g}, {focus[1]:g}, so "
                "nothing tells whether that lies in front or behind: connect a depth map (RefocusDepth makes one), "
                "choose a point that is sharp, or set blur to 0."
            )
        out[i] = 1 - radius / largest
        look()
    return out


def _nearly_largest(radius: Tensor) -> float:
    some = radius.flatten()[:: max(1, radius.numel() // 2**18)].sort().values
    return float(some[int(MOST * (len(some) - 1))])


def _part(counter: Counter, start: float, end: float) -> Progress:
    """A progress for a part of the whole."""
    return lambda done, total: counter.to(round(_STEPS * (start + (end - start) * done / total)))


def _photo_blur(image: Tensor, disparity: Tensor | None, progress: Progress) -> DefocusMap:
    if disparity is None:
        return estimate_defocus(image, progress=progress)
    return estimate_lens(image, disparity, progress=progress)


def _split(image: Tensor, source: DefocusMap, target: DefocusMap, progress: Progress) -> tuple[Tensor, DefocusMap]:
    """-> (photo sharpened where less blur is asked for than it has, the blur that is then missing)."""
    rest, share = torch.empty_like(target.radius), torch.empty_like(target.radius)
    for i, rows in bands(rest):
        s, t = source.radius[i, rows].abs(), target.radius[i, rows]
        w = (2 * (s - t.abs()) / s.clamp(min=1e-6)).clamp(0, 1)
        left = t.sign() * (t**2 - ((1 - w) * s) ** 2).clamp(min=0).sqrt()
        rest[i, rows], share[i, rows] = torch.where(s == 0, t, left), w
    if not share.any():
        return image, DefocusMap(rest)
    sharp = deblur(image, source, progress=progress)
    for i, radius in enumerate(source.radius):
        sharp[i] = _floored(sharp[i], image[i], radius.abs())
    for i, rows in bands(rest):
        w = share[i, rows, :, None]
        sharp[i, rows] = torch.where(w == 0, image[i, rows], image[i, rows] + w * (sharp[i, rows] - image[i, rows]))
    return sharp, DefocusMap(rest)
