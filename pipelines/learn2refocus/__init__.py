"""Engine 3: learn2refocus, one photo becomes a focal stack of nine frames (arXiv 2512.19823).

The explicit reference over diffusers' Stable Video Diffusion, and the pure parts that the nodes' native path shares.
"""
from .clip_input import clip_pixels
from .conditioning import place
from .generate import GUIDANCE, STEPS, generate
from .positions import POSITIONS, check_position, dioptres_at, position_at
from .sizes import MEGAPIXELS, model_size, resize
from .stack import Reference, load_reference, photo_to_stack

__all__ = ["GUIDANCE", "MEGAPIXELS", "POSITIONS", "STEPS", "Reference", "check_position", "clip_pixels", "dioptres_at",
           "generate", "load_reference", "model_size", "photo_to_stack", "place", "position_at", "resize"]
