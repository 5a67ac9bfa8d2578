"""Fusion by smooth weights: robust against noise and small misalignment."""
from torch import Tensor

from ...optics.light import decode_srgb, encode_srgb
from .filters import guided

# The sharper frame wins by this power of the ratio of the measures.
CONTRAST = 8.0
# Weights follow edges of a tenth of the picture's range over windows of a few pixels.
RADIUS, EPS = 4, 1e-3


def fuse_average(frames: Tensor, measure: Tensor) -> Tensor:
    """frames [N, H, W, 3] sRGB, measure [N, H, W] -> [H, W, 3]: mean of the light, weighted by sharpness.

    Weights are powers of the measure, smoothed along the picture's edges by a guided filter (Li, Kang and Hu,
    "Image Fusion with Guided Filtering", 2013).
    """
    w = (measure / measure.amax(0).clamp(min=1e-6)).clamp(min=1e-3) ** CONTRAST
    w = guided(w / w.sum(0), frames.mean((0, -1)), RADIUS, EPS).clamp(min=1e-6)
    w = w / w.sum(0)
    return encode_srgb((decode_srgb(frames) * w[..., None]).sum(0))
