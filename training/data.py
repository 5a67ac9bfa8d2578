"""Where batches come from."""

from collections.abc import Callable, Sequence

import torch

from ..pipelines.image.checks import RefocusError
from .batch import Batch
from .mosaic import PLANES, SMALL, small_scenes

UNSEEN = 1_000_000  # number of the first procedural scene for validation: none of training is


class Procedural:
    """Small procedural scenes, all of them in memory: 256 take about 4 CPU seconds to make."""

    def __init__(
        self,
        scenes: int = 2048,
        size: int = 32,
        seed: int = 0,
        first: int = 0,
        progress: Callable[[int, int], object] | None = None,
    ):
        self.all = small_scenes(seed, first, scenes, size, SMALL, progress)

    def __len__(self) -> int:
        return len(self.all)

    def batch(self, numbers: Sequence[int], planes: int, random: torch.Generator) -> Batch:
        if planes > PLANES:
            raise RefocusError(f"--planes is {planes}, but procedural scenes have {PLANES}: give at most that.")
        which = torch.rand(len(numbers), PLANES, generator=random).argsort(1)[:, :planes]
        return self.all[torch.as_tensor(numbers)].planes(which)
