"""Engine: the method of DiffCamera (arXiv 2509.26599) as far as it is published, on FLUX.1-dev.

No checkpoint of the paper's is public: weights are trained with this pack. What the paper says and what was decided
here is told in docs/diffcamera.md.
"""

from .camera import CAMERAS, LINEAR, POINT, Aim, Camera
from .checkpoint import ALL, BASE, CONDITIONS, About, Checkpoint, read_about, read_checkpoint, write_checkpoint
from .generate import GUIDANCE, STEPS, conditions, generate, seen
from .geometry import DEFOCUS, DEPTH, GEOMETRIES, defocus_picture, depth_picture, quantiles, scaled
from .target import Target, at_plane, at_point, of_map, place_of, sharp
from .trainee import Trainee, parameters_of

__all__ = [
    "ALL",
    "BASE",
    "CAMERAS",
    "CONDITIONS",
    "DEFOCUS",
    "DEPTH",
    "GEOMETRIES",
    "GUIDANCE",
    "LINEAR",
    "POINT",
    "STEPS",
    "About",
    "Aim",
    "Camera",
    "Checkpoint",
    "Target",
    "Trainee",
    "at_plane",
    "at_point",
    "conditions",
    "defocus_picture",
    "depth_picture",
    "generate",
    "of_map",
    "parameters_of",
    "place_of",
    "quantiles",
    "read_about",
    "read_checkpoint",
    "scaled",
    "seen",
    "sharp",
    "write_checkpoint",
]
