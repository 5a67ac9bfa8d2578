"""sRGB encoding (IEC 61966-2-1).

Convention: an *image* is sRGB-encoded in 0..1, a *linear* tensor is light and may exceed 1; any shape.
"""

import torch
from torch import Tensor

from .progress import by_pieces

# The value from which a channel counts as clipped: the white of 8 bits, read as 255/255, or as 255/256, which ComfyUI
# from 0.33 on makes of a grey PNG.
WHITE = 254 / 255


def decode_srgb(image: Tensor) -> Tensor:
    """v / 12.92 up to 0.04045, else ((v + 0.055) / 1.055)^2.4: sRGB -> linear light.

    Odd about zero; values above 1 follow the same curve.
    """
    return by_pieces(_decoded, image)


def _decoded(image: Tensor) -> Tensor:
    a = image.abs()
    return torch.where(a <= 0.04045, a / 12.92, ((a + 0.055) / 1.055) ** 2.4) * image.sign()


def encode_srgb(linear: Tensor) -> Tensor:
    """12.92 x up to 0.0031308, else 1.055 x^(1/2.4) - 0.055: linear light -> sRGB in 0..1.

    Light brighter than white clips, as in a camera.
    """
    return by_pieces(_encoded, linear)


def _encoded(linear: Tensor) -> Tensor:
    x = linear.clamp(0, 1)
    return torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp(min=1e-8) ** (1 / 2.4) - 0.055)
