"""Depth from one picture, through the depth models of transformers that the artist has on disk."""

from .estimate import DepthEstimate, estimate_depth
from .load import MEANINGS, DepthModel, find_models, load_depth_model

__all__ = ["MEANINGS", "DepthEstimate", "DepthModel", "estimate_depth", "find_models", "load_depth_model"]
