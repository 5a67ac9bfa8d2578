"""Engine 1: our own lens. No weights; what works the minute the pack is installed."""
from .bokeh import SAMPLES, render_bokeh
from .deconvolution import deblur, estimate_coarse, estimate_defocus
from .focal_stack import render_stack, stack_disparities
from .stacking import METHODS as FUSE_METHODS
from .stacking import FuseResult, fuse_stack

__all__ = ["FUSE_METHODS", "SAMPLES", "FuseResult", "deblur", "estimate_coarse", "estimate_defocus",
           "fuse_stack", "render_bokeh", "render_stack", "stack_disparities"]
