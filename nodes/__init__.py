"""The node classes, listed for the host. The only part of the pack that knows ComfyUI."""

from .aperture import ApertureShapeMask
from .blur import BokehSynthesize, DeblurAiF
from .depth import RefocusDepth
from .engines import ENGINES
from .lens import RefocusLens, RefocusRack
from .model import LoadRefocusModel
from .photo import RefocusPhoto
from .sample import RefocusSample
from .stack import FocalStackGenerate, SelectFocusFrame, StackFuse

NODES = [
    RefocusSample,
    RefocusPhoto,
    LoadRefocusModel,
    RefocusDepth,
    RefocusLens,
    RefocusRack,
    ApertureShapeMask,
    BokehSynthesize,
    DeblurAiF,
    FocalStackGenerate,
    SelectFocusFrame,
    StackFuse,
    *(node for engine in ENGINES.values() for node in engine.NODES),
]
