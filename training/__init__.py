"""Training data, training and validation of DiffCamera: `python -m rackfocus.training`.

Nothing of this is imported by nodes, and nothing here knows ComfyUI.
"""

from .example import Example, Photo, Settings, UnfitError, example
from .procedural import procedural

__all__ = ["Example", "Photo", "Settings", "UnfitError", "example", "procedural"]
