"""Undoing defocus: with a known defocus map, or with one estimated from the picture."""

from .deblur import deblur
from .estimate import estimate_coarse, estimate_defocus

__all__ = ["deblur", "estimate_coarse", "estimate_defocus"]
