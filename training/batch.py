"""Examples side by side, as a training step takes them."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..pipelines.image.checks import RefocusError
from .example import Example

TURNS = 8  # of a square: mirrored left to right, top to bottom, about the diagonal, or not


@dataclass(frozen=True)
class Batch:
    """S scenes with K photos each that are asked for; float32, pictures sRGB in 0..1.

    aif, source     [S, H, W, 3]: all in focus, and the photo that is given
    disparity       [S, H, W] in 0..1
    targets         [S, K, H, W, 3], their blur and focus [S, K], the point in focus [S, K, 2] (x, y) in 0..1
    sharp           bool [S, K, H, W]: where a target equals aif bit for bit
    source_blur, source_focus  [S]: how the given photo was taken; nothing that is trained sees them
    """

    aif: Tensor
    source: Tensor
    disparity: Tensor
    targets: Tensor
    blur: Tensor
    focus: Tensor
    point: Tensor
    sharp: Tensor
    source_blur: Tensor
    source_focus: Tensor

    def __len__(self) -> int:
        return len(self.aif)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)"""
        return self.aif.shape[1], self.aif.shape[2]

    def __getitem__(self, scenes) -> "Batch":
        """That of some of the scenes: a slice or their numbers."""
        return Batch(**{f.name: getattr(self, f.name)[scenes] for f in fields(self)})

    def planes(self, which: Tensor) -> "Batch":
        """The targets of numbers [S, k], for each scene."""
        row = torch.arange(len(self))[:, None]
        chosen = {n: getattr(self, n)[row, which] for n in ("targets", "blur", "focus", "point", "sharp")}
        return Batch(**{f.name: chosen.get(f.name, getattr(self, f.name)) for f in fields(self)})

    def turned(self, turn: int) -> "Batch":
        """Mirrored: 1 left to right, 2 top to bottom, 4 about the diagonal, and their sums; points go with it."""
        new = {f.name: getattr(self, f.name) for f in fields(self)}
        x, y = self.point.unbind(-1)
        new["point"] = torch.stack([1 - x if turn & 1 else x, 1 - y if turn & 2 else y], -1)
        if turn & 4:
            new["point"] = new["point"].flip(-1)
        for name in ("aif", "source", "targets", "disparity", "sharp"):
            plane = new[name]
            row = plane.ndim - (3 if name in ("aif", "source", "targets") else 2)  # the axis of H
            plane = plane.flip([axis for axis, bit in ((row + 1, 1), (row, 2)) if turn & bit])
            new[name] = plane.transpose(row, row + 1) if turn & 4 else plane
        return Batch(**new)

    def to(self, device) -> "Batch":
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def join(batches: list[Batch]) -> Batch:
    """One batch of all their scenes; sizes and numbers of planes must be alike."""
    return Batch(**{f.name: torch.cat([getattr(b, f.name) for b in batches]) for f in fields(Batch)})


def of_examples(examples: list[Example], planes: int, random: torch.Generator) -> Batch:
    """`planes` targets of each example, drawn without repetition. RefocusError for one that has fewer."""
    chosen = []
    for e in examples:
        if len(e.targets) < planes:
            raise RefocusError(
                f"the example {e.key[:12]} has {len(e.targets)} focal planes, but {planes} are trained at once: lower "
                "--planes, or simulate with more."
            )
        chosen.append([e.targets[i] for i in torch.randperm(len(e.targets), generator=random)[:planes].tolist()])

    def each(f) -> Tensor:
        return torch.stack([torch.stack([torch.as_tensor(f(p)) for p in photos]) for photos in chosen])

    return Batch(
        aif=torch.stack([e.aif for e in examples]),
        source=torch.stack([e.source.image for e in examples]),
        disparity=torch.stack([e.disparity for e in examples]),
        targets=each(lambda p: p.image),
        blur=each(lambda p: float(p.blur)),
        focus=each(lambda p: float(p.focus)),
        point=each(lambda p: p.point),
        sharp=each(lambda p: p.sharp),
        source_blur=torch.tensor([float(e.source.blur) for e in examples]),
        source_focus=torch.tensor([float(e.source.focus) for e in examples]),
    )
