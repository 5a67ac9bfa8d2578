"""Both stages in a row, over whatever paints a collage: the reference, or the host's own model."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from . import photo as stage1
from . import tiles as stage2
from .photo import RESOLUTION

# (collage [H, W, 3] in 0..1, mask [H, W], seed) -> painted [H, W, 3] in 0..1
Paint = Callable[[Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class Panels:
    """What stage 1 painted beside a photo: coc, disparity [R, R, 3], and where the photo lies in them."""

    coc: Tensor
    disparity: Tensor
    at: stage1.Fit

    def coc_of(self, width: int, height: int) -> Tensor:
        """[H, W, 3] in pixels of the photo."""
        return stage1.unfit(self.coc, self.at, width, height) / self.at.scale

    def disparity_of(self, width: int, height: int, channels: slice = slice(0, 1)) -> Tensor:
        """[H, W, n], 0..1; the first channel, which all but the picture to look at goes by."""
        return stage1.unfit(self.disparity[..., channels], self.at, width, height)


def estimate(paint: Paint, photo: Tensor, seed: int, side: int = RESOLUTION, *, as_published: bool = False) -> Panels:
    """Stage 1: photo [H, W, 3] -> its blur and disparity."""
    height, width = photo.shape[:2]
    at = stage1.fit(width, height, side, as_published=as_published)
    collage = stage1.collage(photo, at, as_published=as_published)
    return Panels(*stage1.read_panels(paint(collage, stage1.mask(side), seed)), at)


def render(
    paint: Paint,
    photo: Tensor,
    coc: Tensor,
    target: Tensor,
    seed: int,
    side: int = RESOLUTION,
    *,
    as_published: bool = False,
) -> Tensor:
    """Stage 2: photo [H, W, 3], its CoC [H, W] or [H, W, 3] and the wanted one [H, W] -> [H, W, 3] of its size.

    CoC is in pixels of the photo. Tile i is painted with the noise of seed + i.
    """
    height, width = photo.shape[:2]
    size, _, tiles = stage2.tiles_of(photo, coc, target, side, as_published=as_published)
    blend, mask = stage2.Blend(size, side, as_published=as_published, device=photo.device), stage2.mask(side)
    for i, (collage, place) in enumerate(tiles):
        blend.add(paint(collage, mask, seed + i)[side:, side:].to(photo), place)
    return stage2.shrunk(blend.picture(), width, height, as_published=as_published)
