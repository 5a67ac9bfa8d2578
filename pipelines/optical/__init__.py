"""Engine 1: our own lens. No weights; what works the minute the pack is installed."""

from ..optics.focus import stack_disparities
from . import rehearsal
from .bokeh.highlights import HIGHLIGHT_GAIN, lost_light
from .bokeh.render import SAMPLES, render_bokeh
from .deconvolution.deblur import deblur
from .deconvolution.estimate import estimate_coarse, estimate_defocus
from .focal_stack import render_stack
from .refocus import refocus
from .stacking.fuse import METHODS as FUSE_METHODS
from .stacking.fuse import FuseResult, fuse_stack

__all__ = [
    "FUSE_METHODS",
    "HIGHLIGHT_GAIN",
    "SAMPLES",
    "FuseResult",
    "deblur",
    "estimate_coarse",
    "estimate_defocus",
    "fuse_stack",
    "lost_light",
    "refocus",
    "rehearsal",
    "render_bokeh",
    "render_stack",
    "stack_disparities",
]
