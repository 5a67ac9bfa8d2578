"""Fusion by smooth weights: forgiving of noise and of small misalignment."""
from torch import Tensor

from ...optics.light import decode_srgb, encode_srgb
from .measure import ROUNDING

# The sharper frame wins by this power of the ratio of the measures.
CONTRAST = 8.0


def weights(measure: Tensor, contrast: float) -> Tensor:
    """measure [N, H, W] -> weights [N, H, W] that sum to 1; where all frames measure alike, as in noise, they are
    equal, and the noise averages out."""
    w = ((measure + ROUNDING) / (measure.amax(0) + ROUNDING)) ** contrast
    return w / w.sum(0)


def fuse_average(frames: Tensor, measure: Tensor) -> Tensor:
    """frames [N, H, W, 3] sRGB, measure [N, H, W] -> [H, W, 3]: mean of the light, weighted by sharpness."""
    return encode_srgb((decode_srgb(frames) * weights(measure, CONTRAST)[..., None]).sum(0))
