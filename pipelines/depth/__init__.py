"""Depth from one picture, through the depth models of transformers that the artist has on disk."""
from .estimate import DepthEstimate, estimate_depth
from .find import find_models
from .load import DepthModel, load_depth_model
from .meaning import MEANINGS

__all__ = ["MEANINGS", "DepthEstimate", "DepthModel", "estimate_depth", "find_models", "load_depth_model"]
