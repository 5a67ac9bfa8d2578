import subprocess
import sys

CODE = """
from rackfocus.dev.host.library import use_comfy
use_comfy()
import comfy.model_management as mm
import nodes, torchvision
from rackfocus.dev.host.paths import COMFY
assert nodes.__file__.startswith(COMFY), nodes.__file__
print(mm.get_torch_device(), "KSampler" in nodes.NODE_CLASS_MAPPINGS, len(torchvision.__version__) > 0)
"""


def test_comfy_as_a_library(root):
    # From the repository's root on purpose: its `nodes` must not be taken for the host's.
    result = subprocess.run([sys.executable, "-c", CODE], cwd=root, capture_output=True, text=True)
    assert result.stdout.split()[-3:] == ["cpu", "True", "True"], result.stderr


def test_torchvision_is_left_alone_where_its_extension_loads(monkeypatch):
    import rackfocus_torchvision_cpu as repair
    import torch
    import torchvision

    before, loaded = list(repair._keep), []
    monkeypatch.setattr(torch.ops, "load_library", loaded.append)  # as with the CUDA build of torch
    repair.declare_missing_operators(torchvision.__path__[0])
    assert len(loaded) == 1 and repair._keep == before
