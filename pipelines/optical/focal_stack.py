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
    check_finite,
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
MOST_FRAMES = 1000


def stack_disparities(disparity: Tensor, count: int, robust: float = 0.01) -> list[float]:
    """Focal planes from the nearest to the farthest surface: `count` disparities, falling in even steps (dioptres).

    disparity [1, H, W]; the `robust` share of pixels at either end is left out as depth noise. Raises RefocusError
    for fewer than 2 frames.
    """
    count = check_whole("the number of frames of a focal stack", count, 2, MOST_FRAMES)
    check_number("robust", robust, 0, 0.499)
    disparity = check_finite(check_plane(disparity, "disparity"), "disparity")
    v = disparity.reshape(-1).cpu()  # not every device has kthvalue
    k = int(robust * (len(v) - 1))
    look()
    far = float(v.kthvalue(k + 1).values)
    look()
    return torch.linspace(float(v.kthvalue(len(v) - k).values), far, count).tolist()


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
    n, h, w, _ = stack.shape
    cx, cy = pixel_at(x, y, h, w)
    r = max(4, int(SHARPNESS_WINDOW * w / 2))
    win = stack[:, max(0, cy - r) : cy + r + 1, max(0, cx - r) : cx + r + 1].mean(-1)[:, None]
    win = F.pad(win, (1, 1, 1, 1), mode="replicate")
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=stack.device)[None, None]
    energy = (F.conv2d(win, kernel) ** 2).mean((1, 2, 3)).clamp(min=1e-12).log()  # [N]
    peak = int(energy.argmax())
    at = float(peak)
    if 0 < peak < n - 1:
        before, top, after = energy[peak - 1 : peak + 2].tolist()
        curve = before - 2 * top + after
        if curve < 0:
            at += 0.5 * (before - after) / curve
    return at / max(n - 1, 1)
