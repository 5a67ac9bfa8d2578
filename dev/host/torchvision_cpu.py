"""Let torchvision be imported beside a CPU-only torch.

The published torchvision wheel is linked against CUDA. Without CUDA its C extension cannot be loaded, and its Python
part then stops because the operators it describes do not exist. Declaring the two schemas it asks for lets all the rest
work. Installed into .venv with a .pth file, so that every process there has it; where the extension loads, it does
nothing.
"""

import sys
from importlib.machinery import PathFinder, SourceFileLoader

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_keep = []  # a torch.library.Library removes its schemas when it is collected


def declare_missing_operators(folder):
    """Declare torchvision's operators if the C extension in `folder` does not load."""
    import torch

    extension = PathFinder.find_spec("_C", [folder])
    try:
        if extension is not None:
            torch.ops.load_library(extension.origin)
            return
    except (ImportError, OSError):
        pass
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        library.define(schema)
    _keep.append(library)


class Loader(SourceFileLoader):
    def exec_module(self, module):
        declare_missing_operators(module.__path__[0])
        super().exec_module(module)


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "torchvision":
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


sys.meta_path.insert(0, Finder)
