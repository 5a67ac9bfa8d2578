"""The estimated blur of a large photo, found in a small copy of it."""
import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from ...optics.checks import check_image
from ...optics.defocus import DefocusMap
from ...optics.light import decode_srgb, encode_srgb
from .estimate import estimate_defocus

PIXELS = 250_000


def estimate_coarse(image: Tensor, *, pixels: int = PIXELS,
                    progress: Callable[[int, int], object] | None = None) -> DefocusMap:
    """As estimate_defocus, from a copy of at most that many pixels: the time no longer grows with the photo.

    image [B, H, W, 3] sRGB 0..1 -> radius [B, H, W] in the photo's own pixels. Blur that the reduction makes small
    counts as sharp, and larger discs than estimate_defocus knows are found. Raises RefocusError on wrong input.
    """
    image = check_image(image)
    h, w = image.shape[1:3]
    scale = min(1.0, math.sqrt(pixels / (h * w)))
    if scale < 1:
        size = (max(1, math.floor(h * scale)), max(1, math.floor(w * scale)))
        light = F.interpolate(decode_srgb(image.clamp(0, 1)).movedim(-1, 1), size, mode="area")
        image = encode_srgb(light).movedim(1, -1)
    return estimate_defocus(image, progress=progress).scaled_to(h, w)
