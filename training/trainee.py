"""What the loop, the sampler and the metrics know of a model: pictures in, velocities out.

`small` (small.py) and `flux` (flux.py) are Trainees; nothing else in here differs between them.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..pipelines.flux.sampling import sigmas
from ..pipelines.image.checks import RefocusError
from .batch import Batch
from .corrupt import corrupted

BATCH = 64  # pictures that are sampled at once by default


@dataclass(frozen=True)
class Asked:
    """n pictures to be made of S photos.

    source [S, H, W, 3] in 0..1; scene [n]: which of them each picture is made of; point [n, 2] (x, y) in 0..1;
    blur [n]; focus [n] and disparity [n, H, W] count where known [n] is true.
    """

    source: Tensor
    scene: Tensor
    point: Tensor
    blur: Tensor
    focus: Tensor
    disparity: Tensor
    known: Tensor

    def __len__(self) -> int:
        return len(self.scene)

    @property
    def radius(self) -> Tensor:
        """[n, H, W] signed blur radius in pixels: b W / 10 (focus - disparity); b W / 10 = from_1000(100 b, W)."""
        strength = self.blur * self.disparity.shape[-1] / 10
        return strength[:, None, None] * (self.focus[:, None, None] - self.disparity)

    def rows(self, which) -> "Asked":
        """Some of the pictures, of the same photos."""
        return Asked(self.source, **{f.name: getattr(self, f.name)[which] for f in fields(self) if f.name != "source"})

    def to(self, device) -> "Asked":
        return Asked(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def asked(batch: Batch, known: Tensor | None = None, *, source: Tensor | None = None) -> Asked:
    """All S x K targets of a batch, scene by scene. known: bool [S], None = everywhere; source: instead of its own."""
    s, k = batch.blur.shape
    known = torch.ones(s, dtype=torch.bool) if known is None else known
    return Asked(
        source=batch.source if source is None else source,
        scene=torch.arange(s).repeat_interleave(k),
        point=batch.point.flatten(0, 1),
        blur=batch.blur.flatten(),
        focus=batch.focus.flatten(),
        disparity=batch.disparity.repeat_interleave(k, 0),
        known=known.repeat_interleave(k),
    )


def with_disparity(given: Asked, disparity: Tensor) -> Asked:
    """Another map [n, H, W]; the focal plane is what it has at the point, as a node would read it."""
    h, w = disparity.shape[1:]
    x = (given.point[:, 0] * w).long().clamp(0, w - 1)
    y = (given.point[:, 1] * h).long().clamp(0, h - 1)
    return replace(given, disparity=disparity, focus=disparity[torch.arange(len(given)), y, x])


def with_broken_depth(given: Asked, random: torch.Generator) -> Asked:
    """Maps as depth models get them wrong; all pictures of one photo share one."""
    first = [int((given.scene == s).nonzero()[0, 0]) for s in given.scene.unique().tolist()]
    maps = corrupted(given.disparity[first], random)
    return with_disparity(given, maps[torch.searchsorted(given.scene.unique(), given.scene)])


class Trainee(Protocol):
    """A model that can be trained. Latents are token grids [n, h, w, C]."""

    name: str
    token: int  # pixels of a token's side

    @property
    def module(self) -> nn.Module:
        """Its parameters that require a gradient are trained."""

    def encode(self, images: Tensor) -> Tensor:
        """[n, H, W, 3] in 0..1 -> latents; no gradient."""

    def decode(self, latents: Tensor) -> Tensor:
        """Back to [n, H, W, 3] in 0..1."""

    def conditions(self, given: Asked) -> Any:
        """What velocity needs to know of the pictures that are asked for; no gradient."""

    def velocity(self, noisy: Tensor, t: Tensor, conditions: Any) -> Tensor:
        """v [n, h, w, C] at noisy latents of that shape and times t [n]."""

    def config(self) -> dict[str, Any]:
        """What a new one must be made with to hold this one's parameters; plain values."""


def check_size(size: tuple[int, int], token: int) -> None:
    """RefocusError unless both sides of (H, W) are whole tokens."""
    h, w = size
    if h % token or w % token:
        raise RefocusError(
            f"the pictures are {w} x {h}, but this model needs sides that are multiples of {token}: simulate them at "
            "another size."
        )


def trained(module: nn.Module) -> dict[str, Tensor]:
    """{name: parameter} of those that are trained."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


@torch.no_grad()
def sample(
    trainee: Trainee,
    given: Asked,
    *,
    steps: int = 8,
    seed: int = 0,
    most: int = BATCH,
    progress: Callable[[int, int], object] | None = None,
) -> Tensor:
    """Pictures [n, H, W, 3]: Euler steps of FLUX's shifted levels from noise.

    All pictures of one photo start from one noise, drawn by its number in `given.source` and the seed, so that a sweep
    keeps its texture. progress(done, total) after each step.
    """
    device = next(trainee.module.parameters()).device
    out: list[Tensor] = []
    parts = torch.arange(len(given)).split(most)
    for i, part in enumerate(parts):
        rows = given.rows(part).to(device)
        conditions = trainee.conditions(rows)
        h, w = (n // trainee.token for n in rows.disparity.shape[1:])
        x = _noise(trainee, rows, seed).to(device)
        levels = sigmas(steps, h * w).tolist()
        for j, (now, then) in enumerate(pairwise(levels)):
            v = trainee.velocity(x, torch.full((len(part),), now, device=device), conditions)
            x = x + (then - now) * v
            if progress is not None:
                progress(i * steps + j + 1, len(parts) * steps)
        out.append(trainee.decode(x).float().clamp(0, 1).cpu())
    return torch.cat(out)


def _noise(trainee: Trainee, given: Asked, seed: int) -> Tensor:
    """[n, h, w, C]: the same for all pictures of one photo, whatever else is sampled beside it."""
    channels = trainee.encode(given.source[:1]).shape[-1]
    h, w = (n // trainee.token for n in given.disparity.shape[1:])
    drawn = {}
    for s in given.scene.unique().tolist():
        random = torch.Generator().manual_seed(seed * 1_000_003 + s)
        drawn[s] = torch.randn(h, w, channels, generator=random)
    return torch.stack([drawn[s] for s in given.scene.tolist()])
