"""Where batches come from: procedural scenes made at the start, or shards that `simulate` wrote."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ..pipelines.image.checks import RefocusError
from .batch import Batch, of_examples
from .mosaic import PLANES, SMALL, small_scenes
from .shards import index_shard, read_example

TRAIN, VALIDATION = "train", "val"  # how shards are called
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


class Shards:
    """The examples of a folder's shards for training, or of those held out for validation; each is read when
    it is asked for. RefocusError for a broken one."""

    def __init__(self, folder: Path, part: str = TRAIN):
        if not folder.is_dir():
            raise RefocusError(f"{folder} is not there, but a folder of shards is needed: make one with simulate.")
        self.index = [place for path in sorted(folder.glob(f"{part}-*.tar")) for place in index_shard(path)]
        if not self.index:
            what, do = ("for training", "") if part == TRAIN else ("that was held out", " with --held-out above 0")
            raise RefocusError(f"{folder} holds no example {what}, but shards are needed: run simulate{do}.")

    def __len__(self) -> int:
        return len(self.index)

    def batch(self, numbers: Sequence[int], planes: int, random: torch.Generator) -> Batch:
        examples = [read_example(*self.index[i]) for i in numbers]
        sizes = sorted({tuple(e.aif.shape[:2]) for e in examples})
        if len(sizes) > 1:
            (h, w), (high, wide) = sizes[0], sizes[-1]
            raise RefocusError(
                f"scenes of {w} x {h} and {wide} x {high} pixels cannot be side by side in one step: give --scenes 1, "
                "and --accumulate for as many of them to a step."
            )
        return of_examples(examples, planes, random)
