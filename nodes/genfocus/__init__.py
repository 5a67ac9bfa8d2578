"""The Genfocus engine on ComfyUI's own MODEL, CLIP and VAE."""

from .parts import GenfocusParts, load_parts
from .prepare import prepare_bokeh, prepare_deblur
from .run import run

__all__ = ["GenfocusParts", "load_parts", "prepare_bokeh", "prepare_deblur", "run"]
