"""Engine 3: learn2refocus, one photo becomes a focal stack of nine frames (arXiv 2512.19823).

The explicit reference over diffusers' Stable Video Diffusion, and the pure parts that the nodes' native path shares.
"""

from .inputs import (
    MEGAPIXELS,
    POSITIONS,
    check_position,
    clip_pixels,
    dioptres_at,
    model_size,
    place,
    position_at,
    resize,
)
from .reference import GUIDANCE, STEPS, Reference, generate, load_reference, photo_to_stack

__all__ = [
    "GUIDANCE",
    "MEGAPIXELS",
    "POSITIONS",
    "STEPS",
    "Reference",
    "check_position",
    "clip_pixels",
    "dioptres_at",
    "generate",
    "load_reference",
    "model_size",
    "photo_to_stack",
    "place",
    "position_at",
    "resize",
]
