"""The door of focus stacking: checks, the range of frames, tiles, progress."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...image.checks import RefocusError, check_choice, check_flag, check_number, check_whole
from ...image.progress import Counter, look
from ...image.pyramid import up
from ...image.tiles import Tile, tiles
from .align import align as align_stack
from .methods import fuse_average, fuse_depth, fuse_pyramid, peak, smooth_position
from .sharpness import QUARTER, fine_measure, survey, survey_tiles
from .source import Stack, gather_frames
from .warp import IDENTITY, Pose

METHODS = ("average", "depth", "pyramid")
HALO = 32  # px read round a tile: more than the reach of the fine measure and of the fusion after it
TILE_FLOATS = 8_000_000  # read by one tile over all frames; the fusion holds about ten times as many


@dataclass(frozen=True)
class FuseResult:
    """image [1, H, W, 3] sRGB 0..1; order [1, H, W] 0..1, the place along the WHOLE stack of the sharpest frame
    (0 = first = nearest); confidence [1, H, W] 0..1, how clearly that frame beats the others."""

    image: Tensor
    order: Tensor
    confidence: Tensor


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
    check_choice("method", method, METHODS)
    align = check_flag("align", align)
    with Counter(None if isinstance(frames, Tensor) else progress, 1):  # the frames of a stream are not counted yet
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
    counter = Counter(progress, n * (len(survey_tiles(h, w)) + len(plan) + align) + len(plan))
    with counter:
        counter.pulse()
        stack = _stack(frames, align, bend, counter)
        coarse = survey(stack, counter.tick)
        for t in plan:
            window, measure = _measured(stack, coarse, t, counter.tick)
            position, sure = peak(measure)
            look()
            if method == "average":
                fused = fuse_average(window, measure)
            elif method == "depth":
                fused = fuse_depth(window, position)
            else:
                fused = fuse_pyramid(window, measure)
            look()
            smooth = smooth_position(position, sure, fused.mean(-1))
            image[(0, *t.core)] = fused[t.inner]
            order[(0, *t.core)] = (a + smooth[t.inner]) / max(count - 1, 1)
            confidence[(0, *t.core)] = sure[t.inner]
            counter.tick()
    return FuseResult(image, order, confidence)


def _range(n: int, first: int | None, last: int | None) -> tuple[int, int]:
    """The first and the last frame that take part, both included."""
    why = f"the stack has {n} frames, counted from 0"
    a = 0 if first is None else check_whole("the first frame", first, 0, n - 1, why=why)
    b = n - 1 if last is None else check_whole("the last frame", last, 0, n - 1, why=why)
    if a > b:
        raise RefocusError(f"first frame is {a} and last frame is {b}, but first must not exceed last: swap them.")
    return a, b


def _distortion(k: float | Sequence[float], count: int) -> list[float]:
    if not isinstance(k, Sequence) or isinstance(k, str):
        return [_bend(k)] * count
    if len(k) != count:
        raise RefocusError(
            f"distortion has {len(k)} values and the stack {count} frames, but one for all or one for each is needed."
        )
    return [_bend(v) for v in k]


def _bend(k) -> float:
    """A coefficient: beyond these a corner lies twice as far out, or on the centre."""
    return float(check_number("distortion", k, -1, 1, why="the share by which a corner is moved"))


def _stack(frames: Tensor, align: bool, distortion: list[float], counter: Counter) -> Stack:
    if align:
        return Stack(frames, align_stack(_reader(frames), len(frames), distortion, counter.tick, counter.pulse))
    if any(distortion):
        return Stack(frames, [Pose(IDENTITY, k) for k in distortion])
    return Stack(frames)


def _reader(frames: Tensor) -> Callable[[int], Tensor]:
    return lambda i: frames[i].movedim(-1, 0).float()


def _measured(stack: Stack, coarse: Tensor, t: Tile, tick: Callable[[], None]) -> tuple[Tensor, Tensor]:
    """The frames [N, h, w, 3] in the tile's outer window and their measure [N, h, w]; where a frame does not reach, it
    measures 0."""
    frames, measure = [], _enlarged(coarse, t)
    for i in range(len(stack)):
        x, covered = stack.read(i, t.outer)
        measure[i] += fine_measure(x[None])[0]
        if covered is not None:
            measure[i] *= covered
        frames.append(x.movedim(0, -1))
        tick()
    return torch.stack(frames), measure


def _enlarged(coarse: Tensor, t: Tile) -> Tensor:
    """coarse [N, h, w] at a quarter of the size -> the full-size values in the tile's outer window."""
    (y, x) = t.outer
    samples = coarse[:, y.start // QUARTER : y.stop // QUARTER + 2, x.start // QUARTER : x.stop // QUARTER + 2]
    return up(samples[:, None], y.stop - y.start, x.stop - x.start, QUARTER)[:, 0]
