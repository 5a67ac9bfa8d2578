"""The files of the learned engines: which there are, which are here, and fetching them when the artist asks.

Nodes read the manifest and never fetch: nothing downloads by itself.
"""

from .check import FOUND, Place, check_file, models_folder
from .manifest import model_entries

__all__ = ["FOUND", "Place", "check_file", "model_entries", "models_folder"]
