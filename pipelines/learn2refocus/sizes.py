"""The sizes learn2refocus works at: sides in multiples of 64, half a megapixel at most."""
import math

import torch.nn.functional as F
from torch import Tensor

from ..optics import RefocusError

SIDE = 64
MEGAPIXELS = 0.5


def model_size(height: int, width: int, megapixels: float = MEGAPIXELS) -> tuple[int, int]:
    """(height, width) for a picture of that size: shrunk to the megapixels, then both sides floored to 64s, 64 at
    least."""
    if not megapixels > 0:
        raise RefocusError(f"the largest size is {megapixels:g} megapixels, but more than 0 is needed.")
    scale = min(1.0, math.sqrt(megapixels * 1e6 / (height * width)))
    return tuple(max(SIDE, int(n * scale + 1e-6) // SIDE * SIDE) for n in (height, width))


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """[B, h, w, C] in 0..1 -> [B, height, width, C] in 0..1: bicubic, antialiased; of its own size it is unchanged."""
    if image.shape[1:3] == (height, width):
        return image
    x = F.interpolate(image.movedim(-1, 1), (height, width), mode="bicubic", antialias=True, align_corners=False)
    return x.movedim(1, -1).clamp(0, 1)
