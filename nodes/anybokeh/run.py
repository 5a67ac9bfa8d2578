"""AnyBokeh from photos to photos: stage 1 once for each of them, then stage 2, tile by tile."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

from ...pipelines.anybokeh import chain
from ...pipelines.anybokeh.chain import Panels
from ...pipelines.anybokeh.target import photo_lens, refocused
from ...pipelines.anybokeh.tiles import count
from ...pipelines.image.checks import RefocusError, match_batch
from ...pipelines.optics import (
    DefocusMap,
    defocus_from_disparity,
    focus_at_point,
    from_1000,
    resize_depth,
    stack_disparities,
    to_disparity,
)
from ...pipelines.optics.lens import LARGEST_RADIUS
from ..host import Refocused, from_device
from ..sampling import Report
from .models import AnyBokehModels, Stage
from .paint import NativePainter

# What a blur of AnyBokeh's is, in our blur radius. No source tells which.
COC_IS = {"radius": 1.0, "diameter": 2.0}
RADIUS = "radius"
WEIGHTS = "AnyBokeh's public weights, trained by its authors"


class Work:
    """The pictures of one run of a node: one bar, stage 1 for all photos before stage 2, so that LoRAs change once."""

    def __init__(self, models: AnyBokehModels, photos: Tensor, steps: int, seed: int, *, as_published: bool = False):
        self.models, self.steps, self.seed, self.as_published = models, steps, seed, as_published
        self.photos = photos.float().cpu()  # what is not FLUX's or the VAE's work is little
        self.height, self.width = self.photos.shape[1:3]

    def begin(self, pictures: int, *, estimate: bool = True) -> list[Panels]:
        """Stage 1 of each photo, if it is wanted, before so many pictures are painted. What it said of a photo with
        these steps and this seed it says again, for a few photos, without another run."""
        keys = [self._key(photo) for photo in self.photos] if estimate else []
        known = self.models.remembered
        new = len(dict.fromkeys(key for key in keys if key not in known))
        tiles = count(self.width, self.height, self.models.second.side)
        self.report = Report(self.models.second.model, self.steps * (new + pictures * tiles))
        stage, found = self.models.first, {key: known[key] for key in keys if key in known}
        for key, photo in zip(keys, self.photos, strict=False):
            if key not in found:
                paint = self._painter(stage, 2 * stage.side)
                found[key] = chain.estimate(paint, photo, self.seed, stage.side, as_published=self.as_published)
                self.models.remember(key, found[key])
        return [found[key] for key in keys]

    def _key(self, photo: Tensor) -> tuple:
        digest = hashlib.sha256(photo.contiguous().cpu().numpy().tobytes()).hexdigest()
        return digest, tuple(photo.shape), self.steps, self.seed, self.as_published

    def paint(self, i: int, coc: Tensor, target: Tensor) -> Tensor:
        """Photo i [H, W, 3], its CoC [H, W] or [H, W, 3] and the wanted one [H, W] -> the new photo [H, W, 3]."""
        stage = self.models.second
        given = (self.photos[i], coc, target, self.seed, stage.side)
        return chain.render(self._painter(stage), *given, as_published=self.as_published)

    def _painter(self, stage: Stage, vae_tile: int | None = None) -> NativePainter:
        return NativePainter(stage, self.models.vae, self.steps, self.report, vae_tile, self.as_published)

    def maps(self, panels: Panels) -> tuple[Tensor, Tensor]:
        """(CoC [H, W, 3], disparity [H, W]) of a photo."""
        return panels.coc_of(self.width, self.height), panels.disparity_of(self.width, self.height)[..., 0]


def _defocus(maps: Iterable[Tensor], unit: float) -> DefocusMap:
    """CoCs [H, W] -> a map of blur radius for each."""
    return DefocusMap(torch.stack([(coc / unit).clamp(-LARGEST_RADIUS, LARGEST_RADIUS) for coc in maps]))


def refocus(
    models: AnyBokehModels,
    image: Tensor,
    *,
    focus: tuple[float, float],
    blur: float,
    depth: Tensor | None,
    ratio: float,
    unit: float,
    steps: int,
    seed: int,
) -> Refocused:
    """See engines.TASKS. ratio: 0, or how much wider than the photo's the aperture is; it takes the place of a blur
    that is not 0 (everything in focus)."""
    work = Work(models, image, steps, seed)
    panels = work.begin(len(image))
    out, wanted, had, disparities, said = [], [], [], [], [WEIGHTS]
    for i, found in enumerate(panels):
        coc, disparity = work.maps(found)
        disparity = disparity if depth is None else from_device(depth[i])
        at = focus_at_point(disparity[None], *focus)
        if ratio and blur:
            lens = photo_lens(coc[..., 0], disparity)
            target = refocused(lens, disparity, at, ratio)
            said += [line for line in _doubts(lens, target) if line not in said]
        else:
            target = unit * defocus_from_disparity(disparity[None], at, from_1000(blur, work.width)).radius[0]
        out.append(work.paint(i, coc, target))
        wanted.append(target)
        had.append(coc[..., 0])
        disparities.append(disparity)
    return Refocused(
        torch.stack(out),
        _defocus(wanted, unit),
        "; ".join(said),
        source=_defocus(had, unit),
        disparity=torch.stack(disparities) if depth is None else None,
    )


def _doubts(lens, target: Tensor) -> list[str]:
    """What an artist should know of a lens that was read out of a photo."""
    if lens.k != lens.k:
        return ["no depth was found in the photo, so there is no blur of it to scale: set blur and aperture_ratio 0"]
    if target.abs().max() < 0.5:
        return ["the photo has next to no blur to scale: set blur and aperture_ratio 0"]
    return ["blur and disparity of the photo disagree about what is near"] if lens.k < 0 else []


def blurred(models: AnyBokehModels, image: Tensor, defocus: DefocusMap, *, unit: float, steps: int, seed: int):
    """[N, H, W, 3]: photos with the blur of the maps, one for all or one each on either side."""
    n = max(len(image), len(defocus.radius))
    work = Work(models, image, steps, seed)
    panels = work.begin(n)
    radius = match_batch(from_device(defocus.scaled_to(work.height, work.width).radius), n, "the defocus map")
    if len(panels) not in (1, n):
        raise RefocusError(
            f"the defocus map has {n} frames and the image {len(panels)}, but one of them must be 1, or both equal."
        )
    of = [i if len(panels) > 1 else 0 for i in range(n)]
    return torch.stack([work.paint(of[i], work.maps(panels[of[i]])[0], unit * radius[i]) for i in range(n)])


def sharpened(
    models: AnyBokehModels, image: Tensor, defocus: DefocusMap | None, *, unit: float, steps: int, seed: int
) -> tuple[Tensor, DefocusMap]:
    """(photos [B, H, W, 3] that are sharp everywhere, the blur that they had): of the map, else as stage 1 sees it."""
    work = Work(models, image, steps, seed)
    if defocus is None:
        had = [work.maps(panels)[0] for panels in work.begin(len(image))]
    else:
        radius = from_device(defocus.scaled_to(work.height, work.width).radius)
        had = list(unit * match_batch(radius, len(image), "the defocus map"))
        work.begin(len(image), estimate=False)
    sharp = torch.stack([work.paint(i, coc, torch.zeros(work.height, work.width)) for i, coc in enumerate(had)])
    return sharp, defocus or _defocus([coc[..., 0] for coc in had], unit)


def swept(
    models: AnyBokehModels,
    image: Tensor,
    depth,
    depth_kind: str,
    *,
    frames: int,
    strength: float,
    unit: float,
    steps: int,
    seed: int,
) -> tuple[list[Tensor], list[float], str]:
    """A stack of frames for each photo, nearest focus first, all of one noise; positions; what each is focused at."""
    work = Work(models, image, steps, seed)
    given = None
    if depth is not None:
        given = resize_depth(from_device(to_disparity(depth, depth_kind)), work.height, work.width)
        given = match_batch(given, len(image), "depth")
    stacks, info = [], []
    for i, panels in enumerate(work.begin(len(image) * frames)):
        coc, disparity = work.maps(panels)
        disparity = (disparity if given is None else given[i])[None]
        planes = stack_disparities(disparity, frames)
        lens = [defocus_from_disparity(disparity, plane, from_1000(strength, work.width)) for plane in planes]
        stacks.append(torch.stack([work.paint(i, coc, unit * defocus.radius[0]) for defocus in lens]))
        info.append(f"focus disparity {planes[0]:.4g} to {planes[-1]:.4g}")
    return stacks, torch.linspace(0, 1, frames).tolist(), "\n".join(info)
