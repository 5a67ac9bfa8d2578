"""The learn2refocus engine on ComfyUI's own MODEL, CLIP_VISION and VAE."""
from .parts import SvdParts, load_parts
from .run import run

__all__ = ["SvdParts", "load_parts", "run"]
