"""Light: sRGB encoding.

Convention: an *image* is sRGB-encoded (IEC 61966-2-1), a *linear* tensor is light and may exceed 1.
"""

import torch
from torch import Tensor


def decode_srgb(image: Tensor) -> Tensor:
    """sRGB -> linear light, any shape. Odd about zero; values above 1 follow the same curve."""
    a = image.abs()
    return torch.where(a <= 0.04045, a / 12.92, ((a + 0.055) / 1.055) ** 2.4) * image.sign()


def encode_srgb(linear: Tensor) -> Tensor:
    """Linear light -> sRGB in 0..1, any shape; light brighter than white clips, as a camera does."""
    x = linear.clamp(0, 1)
    return torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp(min=1e-8) ** (1 / 2.4) - 0.055)
