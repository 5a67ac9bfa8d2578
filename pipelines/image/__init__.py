"""Ground floor: pictures as tensors. Checks, light, filters, pyramids, tiles, progress; nothing of optics."""

from .checks import RefocusError, check_finite, check_image, check_plane, match_batch, size_of
from .light import decode_srgb, encode_srgb

__all__ = [
    "RefocusError",
    "check_finite",
    "check_image",
    "check_plane",
    "decode_srgb",
    "encode_srgb",
    "match_batch",
    "size_of",
]
