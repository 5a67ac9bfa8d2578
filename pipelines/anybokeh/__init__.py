"""Engine 4: AnyBokeh, FLUX.1-Fill-dev with two LoRAs (arXiv 2606.31959).

The explicit reference over diffusers' modules, and the pure functions that the nodes' native path shares with it.
"""

from .chain import Paint, Panels, estimate, render
from .photo import RESOLUTION
from .prompts import Prompt, read_prompts
from .reference import Painter, linear_layers
from .target import PhotoLens, photo_lens, refocused

__all__ = [
    "RESOLUTION",
    "Paint",
    "Painter",
    "Panels",
    "PhotoLens",
    "Prompt",
    "estimate",
    "linear_layers",
    "photo_lens",
    "read_prompts",
    "refocused",
    "render",
]
