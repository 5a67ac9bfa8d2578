"""Focus stacking: one picture sharp everywhere from a stack focused near to far, with its depth order."""

from .fuse import METHODS, FuseResult, fuse_stack

__all__ = ["METHODS", "FuseResult", "fuse_stack"]
