"""Lens blur by aperture sampling."""

from .render import SAMPLES, render_bokeh

__all__ = ["SAMPLES", "render_bokeh"]
