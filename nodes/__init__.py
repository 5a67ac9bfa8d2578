"""The node classes, listed for the host. The only part of the pack that knows ComfyUI."""
from .aperture import ApertureShapeMask
from .blur import BokehSynthesize, DeblurAiF
from .conditioning import GenfocusConditioning
from .lens import RefocusLens
from .model import LoadRefocusModel
from .stack import FocalStackGenerate, SelectFocusFrame, StackFuse

NODES = [LoadRefocusModel, RefocusLens, ApertureShapeMask, BokehSynthesize, DeblurAiF, FocalStackGenerate,
         SelectFocusFrame, StackFuse, GenfocusConditioning]
