"""The learn2refocus engine on ComfyUI's own MODEL, CLIP_VISION and VAE."""
from .parts import SvdParts, load_parts
from .run import run
from .stacks import generate_stacks

__all__ = ["SvdParts", "generate_stacks", "load_parts", "run"]
