"""The Genfocus engine on ComfyUI's own MODEL, CLIP and VAE."""
from .parts import GenfocusParts, load_parts
from .run import run
from .tasks import prepare_bokeh, prepare_deblur

__all__ = ["GenfocusParts", "load_parts", "prepare_bokeh", "prepare_deblur", "run"]
