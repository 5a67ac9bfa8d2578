"""Taking one picture out of a focal stack."""
import torch
import torch.nn.functional as F
from torch import Tensor

from ..optics.checks import check_image
from ..optics.errors import RefocusError
from ..optics.focus import check_point

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
        return stack[index:index + 1].clone(), index, index / max(n - 1, 1)
    return torch.lerp(stack[low], stack[low + 1], share)[None], index, position


def sharpest_position(stack: Tensor, x: float, y: float) -> float:
    """Position 0..1 of the sharpest focus at the point (x, y in 0..1): energy of the Laplacian in a small window,
    refined between frames by a parabola through its logarithm."""
    stack = check_image(stack, "stack")
    check_point(x, y)
    n, h, w, _ = stack.shape
    r = max(4, int(_WINDOW * w / 2))
    cx, cy = min(int(x * w), w - 1), min(int(y * h), h - 1)
    win = stack[:, max(0, cy - r):cy + r + 1, max(0, cx - r):cx + r + 1].mean(-1)[:, None]
    win = F.pad(win, (1, 1, 1, 1), mode="replicate")
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=stack.device)[None, None]
    energy = (F.conv2d(win, kernel) ** 2).mean((1, 2, 3)).clamp(min=1e-12).log()
    k = int(energy.argmax())
    if 0 < k < n - 1:
        a, b, c = (float(energy[i]) for i in (k - 1, k, k + 1))
        curve = a - 2 * b + c
        k = k + (0.5 * (a - c) / curve if curve < 0 else 0.0)
    return min(max(k / max(n - 1, 1), 0.0), 1.0)
