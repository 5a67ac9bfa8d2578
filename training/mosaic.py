"""Many small scenes in one call of the renderer: side by side in a mosaic, each with a frame that goes on as it ends.

A picture of 32 px costs the renderer about what one of 500 px does; a mosaic of 256 of them takes a second. All scenes
of a mosaic are taken with one lens, a circle without highlights, and the given photos have noise but no JPEG, whose
blocks would be a quarter of the picture.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..pipelines.image.checks import check_whole
from ..pipelines.optical import render_bokeh
from ..pipelines.optics import DefocusMap
from .batch import Batch, join
from .example import Settings, Shots, UnfitError, as_from_a_camera, in_steps, random_of, scaled, shots_of
from .procedural import procedural

AT_ONCE = 256  # scenes of a mosaic
FRAME = 8  # pixels around each: more than a blur's reach and the renderer's look at surfaces
PLANES = 3  # of each scene
TRIES = 100
# A blur of 4 px per 1000 is an eighth of a pixel here: blurs are drawn where they can be seen.
SMALL = Settings(planes=(PLANES, PLANES), weakest=20, strongest=100, noise=0.005, jpeg=100)


def small_scenes(
    seed: int,
    first: int,
    count: int,
    size: int = 32,
    settings: Settings = SMALL,
    progress: Callable[[int, int], object] | None = None,
) -> Batch:
    """The procedural scenes number `first` .. first + count - 1, of size x size px, with PLANES targets each.

    A pure function. Beside others a scene is what it is alone but for a few pixels at depth edges, where the renderer
    fills what lies hidden by cells that begin elsewhere: an rmse of about 1 of 255. progress(scenes done, count).
    """
    check_whole("the number of scenes", count, 1)
    check_whole("a scene's size", size, 16, 512)
    parts = []
    for start in range(first, first + count, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, first + count))
        parts.append(_scenes(seed, numbers, size, settings))
        if progress is not None:
            progress(numbers[-1] + 1 - first, count)
    return join(parts)


def render_mosaic(pictures: Tensor, radius: Tensor) -> Tensor:
    """render_bokeh of each of n pictures [n, S, S, 3] with its radius [n, S, S], through a circle, in one call."""
    n, size = radius.shape[:2]
    side = math.ceil(math.sqrt(n))
    rest = side * side - n
    frame = (FRAME,) * 4
    picture = F.pad(pictures.permute(0, 3, 1, 2), frame, mode="replicate")
    blur = F.pad(radius[:, None], frame, mode="replicate")
    whole, blurs = (_laid(torch.cat([x, x[:1].expand(rest, -1, -1, -1)]), side) for x in (picture, blur))
    taken = render_bokeh(whole.permute(1, 2, 0)[None], DefocusMap(blurs), quality="fast", highlights=1)[0]
    cell = size + 2 * FRAME
    cells = taken.unflatten(0, (side, cell)).unflatten(2, (side, cell)).permute(0, 2, 1, 3, 4).flatten(0, 1)
    return cells[:n, FRAME:-FRAME, FRAME:-FRAME]


def _laid(x: Tensor, side: int) -> Tensor:
    """[side^2, C, T, T] -> [C, side T, side T], row by row."""
    c, t = x.shape[1:3]
    return x.unflatten(0, (side, side)).permute(2, 0, 3, 1, 4).reshape(c, side * t, side * t)


def _scenes(seed: int, numbers: range, size: int, settings: Settings) -> Batch:
    scenes = [_scene(seed, i, size, settings) for i in numbers]
    aif, d = torch.stack([s[0] for s in scenes]), torch.stack([s[1] for s in scenes])
    shots = [s[2] for s in scenes]
    given = [s.source for s in shots]

    def photographs(focus: Tensor, b: Tensor) -> Tensor:
        strength = (b * size / 10)[:, None, None]
        return in_steps(render_mosaic(aif, strength * (focus[:, None, None] - d)), 255)

    source_focus, source_blur = torch.tensor([p.disparity for p, _ in given]), torch.tensor([b for _, b in given])
    source = photographs(source_focus, source_blur)
    noisy = [as_from_a_camera(i, s[3], settings) for i, s in zip(source, scenes, strict=True)]
    focus = torch.tensor([[p.disparity for p, _ in s.targets] for s in shots])
    blur = torch.tensor([[b for _, b in s.targets] for s in shots])
    targets = torch.stack([photographs(focus[:, k], blur[:, k]) for k in range(focus.shape[1])], 1)
    return Batch(
        aif=aif,
        source=in_steps(torch.stack(noisy), 255),
        disparity=d,
        targets=targets,
        blur=blur,
        focus=focus,
        point=torch.tensor([[p.point for p, _ in s.targets] for s in shots]),
        sharp=(targets == aif[:, None]).all(-1),
        source_blur=source_blur,
        source_focus=source_focus,
    )


def _scene(seed: int, number: int, size: int, settings: Settings) -> tuple[Tensor, Tensor, Shots, np.random.Generator]:
    """(aif, disparity, shots, random): the first of its arrangements that has depths enough."""
    for again in range(TRIES):
        picture, disparity = procedural(seed, TRIES * number + again, (size, size))
        random = random_of(seed, f"small {number}", again)
        d = in_steps(scaled(disparity), 65535)
        try:
            shots = shots_of(d, random, settings)
        except UnfitError:
            continue
        if len(shots.targets) == settings.planes[1]:
            return in_steps(picture, 255), d, shots, random
    raise AssertionError("no procedural scene has depths enough")
