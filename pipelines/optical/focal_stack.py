"""render_stack: one photo and its disparity become a focal stack."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image.checks import RefocusError, check_image, check_plane, match_batch
from ..optics.focus import check_point
from ..optics.lens import defocus_from_disparity
from .bokeh.render import render_bokeh


def stack_disparities(disparity: Tensor, count: int, robust: float = 0.01) -> list[float]:
    """Focal planes from the nearest to the farthest surface, even in disparity (dioptres): `count` values, falling.

    disparity [1, H, W]; the nearest and farthest `robust` share of pixels are left out as depth noise.
    """
    if count < 2:
        raise RefocusError(f"a focal stack of {count} frames was asked for, but at least 2 are needed.")
    v = disparity.reshape(-1).sort().values
    k = int(robust * (len(v) - 1))
    return torch.linspace(float(v[-1 - k]), float(v[k]), count).tolist()


def render_stack(
    image: Tensor, disparity: Tensor, focus_disparities, strength: float, *, progress=None, **bokeh
) -> Tensor:
    """image [1, H, W, 3], disparity [1, H, W], N focal planes (disparities) -> [N, H, W, 3].

    strength: blur radius in pixels per unit of disparity. Keywords go to render_bokeh (aperture, quality, ...).
    """
    image = check_image(image)
    if image.shape[0] != 1:
        raise RefocusError(f"{image.shape[0]} images were given, but a focal stack is made from 1: pick one frame.")
    d = match_batch(check_plane(disparity, "disparity"), 1, "disparity")
    planes = list(focus_disparities)
    if not planes:
        raise RefocusError("no focal plane was given, but at least one focus disparity is needed.")
    frames = []
    for i, focus in enumerate(planes):

        def step(done, total, i=i):
            if progress is not None:
                progress(i * total + done, len(planes) * total)

        frames.append(render_bokeh(image, defocus_from_disparity(d, focus, strength), progress=step, **bokeh))
    return torch.cat(frames)


# Taking one picture out of a focal stack.

# A point is judged by the detail about it; this part of the picture's width holds some on most subjects.
_WINDOW = 0.03


def frame_at(stack: Tensor, position: float, *, blend: bool = True) -> tuple[Tensor, int, float]:
    """stack [N, H, W, 3] near to far, position 0..1 -> (frame [1, H, W, 3], nearest index, position used).

    blend mixes the two neighbours in sRGB; a position that falls on a frame returns it bit for bit.
    """
    stack = check_image(stack, "stack")
    if not 0 <= position <= 1:
        raise RefocusError(f"the position is {position:g}, but 0 (nearest) to 1 (farthest) is needed.")
    n = stack.shape[0]
    at = position * (n - 1)
    index = min(int(at + 0.5), n - 1)
    low = min(int(at), n - 1)
    share = at - low
    if not blend or share < 1e-6 or share > 1 - 1e-6:
        return stack[index : index + 1].clone(), index, index / max(n - 1, 1)
    return torch.lerp(stack[low], stack[low + 1], share)[None], index, position


def sharpest_position(stack: Tensor, x: float, y: float) -> float:
    """Position 0..1 of the sharpest focus at the point (x, y in 0..1): energy of the Laplacian in a small window,
    refined between frames by a parabola through its logarithm."""
    stack = check_image(stack, "stack")
    check_point(x, y)
    n, h, w, _ = stack.shape
    r = max(4, int(_WINDOW * w / 2))
    cx, cy = min(int(x * w), w - 1), min(int(y * h), h - 1)
    win = stack[:, max(0, cy - r) : cy + r + 1, max(0, cx - r) : cx + r + 1].mean(-1)[:, None]
    win = F.pad(win, (1, 1, 1, 1), mode="replicate")
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=stack.device)[None, None]
    energy = (F.conv2d(win, kernel) ** 2).mean((1, 2, 3)).clamp(min=1e-12).log()
    k = int(energy.argmax())
    if 0 < k < n - 1:
        a, b, c = (float(energy[i]) for i in (k - 1, k, k + 1))
        curve = a - 2 * b + c
        k = k + (0.5 * (a - c) / curve if curve < 0 else 0.0)
    return min(max(k / max(n - 1, 1), 0.0), 1.0)
