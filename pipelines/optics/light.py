"""Light: sRGB encoding, and the lights that an 8-bit picture clipped.

Convention: an *image* is sRGB-encoded (IEC 61966-2-1), a *linear* tensor is light and may exceed 1.
"""
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .window import window_max, window_min


def decode_srgb(image: Tensor) -> Tensor:
    """sRGB -> linear light, any shape. Odd about zero; values above 1 follow the same curve."""
    a = image.abs()
    return torch.where(a <= 0.04045, a / 12.92, ((a + 0.055) / 1.055) ** 2.4) * image.sign()


def encode_srgb(linear: Tensor) -> Tensor:
    """Linear light -> sRGB in 0..1, any shape; light brighter than white clips, as a camera does."""
    x = linear.clamp(0, 1)
    return torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp(min=1e-8) ** (1 / 2.4) - 0.055)


# A light is brighter than its clipped white by this factor, in linear light, where nothing tells by how much.
HIGHLIGHT_GAIN = 8.0
# A clipped patch wider than this part of the picture's diagonal is a wall or a sky, not a light.
LIGHT_SIZE = 0.025


def find_clipped_lights(image: Tensor, white: float = 254 / 255) -> Tensor:
    """Where an 8-bit picture [B, H, W, 3] clips SMALL lights -> [B, H, W] in 0..1.

    Clipped means a channel at white. What survives a morphological opening by a window of LIGHT_SIZE of the diagonal
    is large, hence no light.
    """
    clipped = (image.amax(-1) >= white).float()[:, None]
    if not clipped.any():
        return clipped[:, 0]
    h, w = image.shape[1:3]
    k = int(LIGHT_SIZE * math.hypot(h, w) / 2) * 2 + 1
    padded = F.pad(clipped, (k // 2,) * 4, mode="replicate")
    large = window_max(window_min(padded, k, pad=False), k)
    return (clipped * (1 - large))[:, 0]


def recover_highlights(image: Tensor, radius: Tensor, gain: float) -> Tensor:
    """image [B, H, W, 3] sRGB -> linear light, in which small clipped lights are `gain` (>= 1) times as bright.

    The hue is kept. Only what is out of focus changes (radius [B, H, W] in pixels, full gain from 2 px on): in focus
    the light is to stay the white that it was.
    """
    linear = decode_srgb(image)
    if gain == 1:
        return linear
    blurred = ((radius.abs() - 0.5) / 1.5).clamp(0, 1)
    return linear * (1 + (gain - 1) * find_clipped_lights(image) * blurred)[..., None]
