"""The learn2refocus engine on ComfyUI's own MODEL, CLIP_VISION and VAE."""

from .models import SvdParts, load_parts
from .run import generate_stacks, run

__all__ = ["SvdParts", "generate_stacks", "load_parts", "run"]
