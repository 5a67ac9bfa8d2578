"""The door of focus stacking: checks, the range of frames, tiles, progress."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...image.checks import RefocusError
from ...image.pyramid import up
from ...image.tiles import Tile, tiles
from .align import align as register_stack
from .methods import fuse_average, fuse_depth, fuse_pyramid, peak, settle
from .sharpness import QUARTER, fine_measure, parts, survey
from .source import Stack, gather_frames
from .warp import Pose

METHODS = ("average", "depth", "pyramid")
# Pixels seen round a tile: more than the reach of the fine measure and of the fusion after it.
HALO = 32
# Floats that one tile reads over all frames. The fusion holds about ten times as many.
TILE_FLOATS = 8_000_000


@dataclass(frozen=True)
class FuseResult:
    """image [1, H, W, 3] sRGB 0..1; order [1, H, W] 0..1, the place along the WHOLE stack of the sharpest frame
    (0 = first = nearest); confidence [1, H, W] 0..1, how clearly that frame beats the others."""

    image: Tensor
    order: Tensor
    confidence: Tensor


def _range(n: int, first: int | None, last: int | None) -> tuple[int, int]:
    a, b = 0 if first is None else first, n - 1 if last is None else last
    for name, v in (("first", a), ("last", b)):
        if not 0 <= v < n:
            raise RefocusError(f"{name} frame is {v}, but the stack has {n} frames: choose 0 to {n - 1}.")
    if a > b:
        raise RefocusError(f"first frame is {a} and last frame is {b}, but first must not exceed last: swap them.")
    return a, b


def fuse_stack(
    frames: Tensor | Iterable[Tensor],
    *,
    method: str = "pyramid",
    align: bool = False,
    first: int | None = None,
    last: int | None = None,
    distortion: float | Sequence[float] = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> FuseResult:
    """A focal stack -> one picture that is sharp wherever any frame is.

    frames      [N, H, W, 3] sRGB 0..1, focused near to far; or an iterable of frames [H, W, 3], which is read once
                and kept in a temporary file, for stacks that do not fit into memory.
    method      "average"  mean of the light weighted by sharpness: soft, forgiving
                "depth"    the sharpest frame per pixel: keeps colours that exist in the frames
                "pyramid"  octave by octave: the cleanest seams
    align       undo focal breathing, shift, small rotation and exposure drift; the first frame that takes part is
                the reference.
    first, last the frames that take part, counted from 0, both included (None = all). What is sharp in no frame of
                the subset stays blurred: control of the depth of field.
    distortion  radial distortion k of the frames, one for all or one each: a point that belongs at p lies at
                p (1 + k r^2), r = 1 at half the diagonal.
    progress    called as progress(done, total) while working; may raise to cancel.
    Returns FuseResult. Raises RefocusError on wrong input.
    """
    if method not in METHODS:
        raise RefocusError(f"method is '{method}', but one of {', '.join(METHODS)} is needed.")
    frames = gather_frames(frames)
    count = frames.shape[0]
    a, b = _range(count, first, last)
    bend = _distortion(distortion, count)[a : b + 1]
    frames = frames[a : b + 1]
    n, h, w, _ = frames.shape
    order = torch.full((1, h, w), a / max(count - 1, 1), device=frames.device)
    confidence = torch.zeros((1, h, w), device=frames.device)
    if n == 1 and not any(bend):
        return FuseResult(frames.float().clone(), order, confidence)
    image = torch.empty((1, h, w, 3), device=frames.device)
    plan = tiles(h, w, halo=HALO, area=TILE_FLOATS // (3 * n))
    tick = Ticker(progress, n * (len(parts(h, w)) + len(plan) + align) + len(plan))
    stack = _aligned(frames, align, bend, tick)
    coarse = survey(stack, tick)
    for t in plan:
        part, measure = _measured(stack, coarse, t, tick)
        position, sure = peak(measure)
        if method == "average":
            fused = fuse_average(part, measure)
        elif method == "depth":
            fused = fuse_depth(part, position)
        else:
            fused = fuse_pyramid(part, measure)
        image[(0, *t.core)] = fused[t.inner]
        order[(0, *t.core)] = (a + settle(position, sure, fused.mean(-1))[t.inner]) / max(count - 1, 1)
        confidence[(0, *t.core)] = sure[t.inner]
        tick()
    return FuseResult(image, order, confidence)


def _distortion(k: float | Sequence[float], count: int) -> list[float]:
    if not isinstance(k, Sequence):
        return [float(k)] * count
    if len(k) != count:
        raise RefocusError(
            f"distortion has {len(k)} values and the stack {count} frames, but one for all or one for each is needed."
        )
    return [float(v) for v in k]


def _aligned(frames: Tensor, align: bool, distortion: list[float], tick: "Ticker") -> Stack:
    if align:
        return Stack(
            frames,
            register_stack(lambda i: frames[i].movedim(-1, 0).float(), len(frames), distortion, tick, tick.pulse),
        )
    if any(distortion):
        return Stack(frames, [Pose(torch.eye(2, 3, dtype=torch.float64), k) for k in distortion])
    return Stack(frames)


def _measured(stack: Stack, coarse: Tensor, t: Tile, tick: "Ticker") -> tuple[Tensor, Tensor]:
    """The tile's frames [N, h, w, 3] and their measure [N, h, w]; where a frame does not reach, it measures 0."""
    part, measure = [], _crop(coarse, t)
    for i in range(len(stack)):
        x, covered = stack.read(i, t.outer)
        measure[i] += fine_measure(x[None])[0]
        if covered is not None:
            measure[i] *= covered
        part.append(x.movedim(0, -1))
        tick()
    return torch.stack(part), measure


def _crop(coarse: Tensor, t: Tile) -> Tensor:
    """coarse [N, h, w] at a quarter of the size -> the full-size values in the tile's outer window."""
    (y, x) = t.outer
    part = coarse[:, y.start // QUARTER : y.stop // QUARTER + 2, x.start // QUARTER : x.stop // QUARTER + 2]
    return up(part[:, None], y.stop - y.start, x.stop - x.start, QUARTER)[:, 0]


class Ticker:
    """Counts the steps of a job and tells them to the caller's progress(done, total)."""

    def __init__(self, progress, total: int):
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self):
        self.done += 1
        self.pulse()

    def pulse(self):
        """Say again where the job stands, so that it can be cancelled within a long step."""
        if self.progress:
            self.progress(self.done, self.total)
