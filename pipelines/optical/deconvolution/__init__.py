"""Undoing defocus: with a known defocus map, or with one estimated from the picture."""
from .coarse import estimate_coarse
from .deblur import deblur
from .estimate import estimate_defocus

__all__ = ["deblur", "estimate_coarse", "estimate_defocus"]
