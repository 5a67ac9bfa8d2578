"""Engine 1: our own lens. No weights; what works the minute the pack is installed."""
from .bokeh import render_bokeh
from .focal_stack import render_stack, stack_disparities

__all__ = ["render_bokeh", "render_stack", "stack_disparities"]
