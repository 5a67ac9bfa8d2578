"""Ground floor: pictures as tensors. Checks, light, filters, pyramids, tiles, progress; nothing of optics."""

from .checks import (
    RefocusError,
    check_choice,
    check_finite,
    check_flag,
    check_image,
    check_number,
    check_plane,
    check_text,
    check_whole,
    match_batch,
    shown,
    size_of,
)
from .light import decode_srgb, encode_srgb

__all__ = [
    "RefocusError",
    "check_choice",
    "check_finite",
    "check_flag",
    "check_image",
    "check_number",
    "check_plane",
    "check_text",
    "check_whole",
    "decode_srgb",
    "encode_srgb",
    "match_batch",
    "shown",
    "size_of",
]
