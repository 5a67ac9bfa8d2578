"""Focal stacks: made of one photo and its disparity, and browsed.

Convention: a stack [N, H, W, 3] runs from the nearest to the farthest focus; frame i stands at position i / (N - 1),
so 0 is the nearest and 1 the farthest.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image.checks import (
    RefocusError,
    check_flag,
    check_image,
    check_number,
    check_plane,
    check_whole,
    match_batch,
    shown,
)
from ..image.progress import look
from ..optics.focus import pixel_at
from ..optics.lens import defocus_from_disparity
from .bokeh.render import render_bokeh

# A point is judged by the detail about it; this part of the picture's width holds some on most subjects.
SHARPNESS_WINDOW = 0.03
# Cells along the longer side of the map of where a stack is sharp: one is a third of a window.
MAP_CELLS = 96


def render_stack(
    image: Tensor, disparity: Tensor, focus_disparities, strength: float, *, progress=None, **bokeh
) -> Tensor:
    """image [1, H, W, 3], disparity [1, H, W], N focal planes (disparities) -> [N, H, W, 3].

    strength: blur radius in pixels per unit of disparity. Keywords go to render_bokeh (aperture, quality, ...).
    Frames come in the order of the planes. Raises RefocusError for several images or no plane.
    """
    image = check_image(image)
    if image.shape[0] != 1:
        raise RefocusError(f"{image.shape[0]} images were given, but a focal stack is made from 1: pick one frame.")
    d = match_batch(check_plane(disparity, "disparity"), 1, "disparity").to(image.device)
    if isinstance(focus_disparities, str) or not isinstance(focus_disparities, Iterable):
        raise RefocusError(f"the focal planes are {shown(focus_disparities)}, but a list of disparities is needed.")
    planes = list(focus_disparities)
    if not planes:
        raise RefocusError("no focal plane was given, but at least one focus disparity is needed.")
    out = torch.empty(len(planes), *image.shape[1:], device=image.device)
    for i, focus in enumerate(planes):

        def step(done, total, i=i):
            if progress is not None:
                progress(i * total + done, len(planes) * total)

        out[i] = render_bokeh(image, defocus_from_disparity(d, focus, strength), progress=step, **bokeh)[0]
    return out


def frame_at(stack: Tensor, position: float, *, blend: bool = True) -> tuple[Tensor, int, float]:
    """(1 - s) stack[i] + s stack[i + 1], where position (N - 1) = i + s: the frame at a position in 0..1.

    Returns (frame [1, H, W, 3], index of the nearest frame, position used). blend mixes the two neighbours in sRGB;
    without it, and where the position falls on a frame, the nearest frame comes bit for bit, with its own position.
    Raises RefocusError for a position outside 0..1.
    """
    stack = check_image(stack, "stack")
    blend = check_flag("blend", blend)
    check_number("the position", position, 0, 1, why="0 is the nearest, 1 the farthest")
    n = stack.shape[0]
    at = position * (n - 1)
    low, index = int(at), int(at + 0.5)
    share = at - low
    if not blend or share < 1e-6 or share > 1 - 1e-6:
        return stack[index : index + 1].clone(), index, index / max(n - 1, 1)
    return torch.lerp(stack[low], stack[low + 1], share)[None], index, position


def sharpest_position(stack: Tensor, x: float, y: float) -> float:
    """argmax of log mean(Laplacian^2) in a small window about (x, y) in 0..1: position 0..1 of the sharpest focus.

    Refined between frames by a parabola through the peak and its two neighbours. Raises RefocusError for a point
    outside the picture.
    """
    stack = check_image(stack, "stack")
    _, h, w, _ = stack.shape
    cx, cy = pixel_at(x, y, h, w)
    r = _reach(w)
    win = stack[:, max(0, cy - r) : cy + r + 1, max(0, cx - r) : cx + r + 1].mean(-1)[:, None]
    win = F.pad(win, (1, 1, 1, 1), mode="replicate")
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=stack.device)[None, None]
    return float(_peak((F.conv2d(win, kernel) ** 2).mean((1, 2, 3))))


def sharpest_map(stack: Tensor, most: int = MAP_CELLS) -> Tensor:
    """sharpest_position at the middle of every cell of a grid over the picture: [rows, columns] in 0..1, on the CPU.

    stack [N, H, W, 3]; square cells, at most `most` along the longer side. Every frame is gone through once, however
    much its windows overlap. Raises RefocusError for more cells than 96.
    """
    stack = check_image(stack, "stack")
    n, h, w, _ = stack.shape
    scale = min(1.0, check_whole("the number of cells of a map", most, 1, MAP_CELLS) / max(h, w))
    rows, columns = max(1, round(h * scale)), max(1, round(w * scale))
    x = torch.tensor([pixel_at((i + 0.5) / columns, 0, h, w)[0] for i in range(columns)])
    y = torch.tensor([pixel_at(0, (i + 0.5) / rows, h, w)[1] for i in range(rows)])
    r = _reach(w)
    across, down = ((x - r).clamp(min=0), (x + r).clamp(max=w - 1)), ((y - r).clamp(min=0), (y + r).clamp(max=h - 1))
    energy = torch.empty(n, rows, columns)
    for i in range(n):
        look()
        energy[i] = _mean_in_windows(stack[i].mean(-1).cpu(), across, down)
    return _peak(energy).float()


def _reach(width: int) -> int:
    """Pixels from the middle of a window to its border."""
    return max(4, int(SHARPNESS_WINDOW * width / 2))


def _peak(energy: Tensor) -> Tensor:
    """[N, ...] mean Laplacian^2 of each frame -> [...] position 0..1 of its peak, refined by a parabola of its log."""
    e = energy.clamp(min=1e-12).log().cpu().double()  # not every device has float64
    n = e.shape[0]
    peak = e.argmax(0, keepdim=True)
    before, top, after = (e.gather(0, (peak + step).clamp(0, n - 1)) for step in (-1, 0, 1))
    curve = before - 2 * top + after
    refined = (peak > 0) & (peak < n - 1) & (curve < 0)
    at = peak + torch.where(refined, 0.5 * (before - after) / curve, 0.0)
    return at[0] / max(n - 1, 1)


Span = tuple[Tensor, Tensor]  # first and last index of every window along one side, [n] each


def _mean_in_windows(grey: Tensor, across: Span, down: Span) -> Tensor:
    """grey [H, W] -> [rows, columns]: the mean Laplacian^2 that each window alone has.

    In a window the Laplacian repeats its outermost pixels, where that of the picture looks beyond them: there it is
    larger by d, the pixel less its neighbour outside, and in a corner by two of these. So the outermost are added up
    by themselves, and what lies within, as a product with a matrix of zeros and ones.
    """
    height, width = grey.shape
    p = F.pad(grey[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    lap = p[:-2, 1:-1] + p[2:, 1:-1]
    lap.add_(p[1:-1, :-2]).add_(p[1:-1, 2:]).sub_(grey, alpha=4)
    rows, columns = _within(down, height), _within(across, width)  # [rows, H], [columns, W]
    total = rows @ ((lap * lap) @ columns.T)
    d = [_beyond(grey.T, *side).T for side in zip(across, (-1, 1), strict=True)]  # [H, columns], left and right
    e = [_beyond(grey, *side) for side in zip(down, (-1, 1), strict=True)]  # [rows, W], above and below
    once = [[torch.ones(len(first)), (last > first).float()] for first, last in (across, down)]  # a window of one pixel
    for i, column in enumerate(across):
        total += rows @ (lap[:, column] + d[i]) ** 2 * once[0][i]
        for j, row in enumerate(down):
            corner = lap[row][:, column] + d[i][row] + e[j][:, column]
            total += corner**2 * once[0][i] * once[1][j][:, None]
    for j, row in enumerate(down):
        total += (lap[row] + e[j]) ** 2 @ columns.T * once[1][j][:, None]
    counts = [last - first + 1 for first, last in (down, across)]
    return total / (counts[0][:, None] * counts[1])


def _within(span: Span, length: int) -> Tensor:
    """[n, length]: 1 between the first and the last index of every span, 0 there and beyond."""
    first, last = (t[:, None] for t in span)
    at = torch.arange(length)
    return ((at > first) & (at < last)).float()


def _beyond(grey: Tensor, rows: Tensor, step: int) -> Tensor:
    """Rows of grey [H, W] less those `step` further, [n, W]; the outermost are repeated."""
    return grey[rows] - grey[(rows + step).clamp(0, grey.shape[0] - 1)]
