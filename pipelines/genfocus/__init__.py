"""Engine 2: Genfocus, FLUX.1-dev with DeblurNet and BokehNet (arXiv 2512.16923).

The explicit reference over diffusers modules, and the pure functions that the nodes' native path shares with it.
"""

from ..flux.architecture import FLUX_1, Architecture
from ..flux.blocks import Condition
from ..flux.lora_file import LowRank
from ..flux.reference import architecture_of, load_transformer, velocity
from ..flux.tokens import pack, unpack
from .generate import generate
from .setups import BOKEH, DEBLUR, DEBLUR_PRE, SETUPS, Setup, Slot, conditions, read_lora, with_aperture

__all__ = [
    "BOKEH",
    "DEBLUR",
    "DEBLUR_PRE",
    "FLUX_1",
    "SETUPS",
    "Architecture",
    "Condition",
    "LowRank",
    "Setup",
    "Slot",
    "architecture_of",
    "conditions",
    "generate",
    "load_transformer",
    "pack",
    "read_lora",
    "unpack",
    "velocity",
    "with_aperture",
]
