"""The node classes, listed for the host. The only part of the pack that knows ComfyUI."""
from .aperture import ApertureShapeMask
from .blur import BokehSynthesize, DeblurAiF
from .conditioning import GenfocusConditioning
from .depth import RefocusDepth
from .lens import RefocusLens
from .model import LoadRefocusModel
from .rack import RefocusRack
from .stack import FocalStackGenerate, SelectFocusFrame, StackFuse
from .sweep import RefocusPositionSweep

NODES = [LoadRefocusModel, RefocusDepth, RefocusLens, RefocusRack, ApertureShapeMask, BokehSynthesize, DeblurAiF,
         FocalStackGenerate, SelectFocusFrame, StackFuse, GenfocusConditioning, RefocusPositionSweep]
