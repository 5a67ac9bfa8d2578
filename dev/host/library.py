"""Use ComfyUI as a library in this process: `use_comfy()` first, then `import comfy.sd`, `import nodes` and so on."""

import os
import sys

from .paths import COMFY, GIVEN, HOST_PYTHON, HOST_VENV, ROOT, UserError


def use_comfy(cpu=True):
    """Put the host's modules on sys.path and choose its device. Raises UserError if others are in the way."""
    if not os.path.isdir(COMFY):
        raise UserError("ComfyUI is not set up: run `make setup`.")
    if GIVEN and os.path.realpath(sys.prefix) != os.path.realpath(HOST_VENV):
        raise UserError(f"{COMFY} needs {HOST_PYTHON}, and {sys.executable} runs: use `python -m dev.host test`.")
    known = sys.modules.get("nodes")
    if known is not None and not str(known.__file__).startswith(COMFY):
        raise UserError(f"A module `nodes` from {known.__file__} is loaded already and hides the host's.")
    sys.path[:] = [COMFY] + [path for path in sys.path if os.path.abspath(path or ".") not in (ROOT, COMFY)]

    from comfy.cli_args import args

    if "comfy.model_management" not in sys.modules:
        args.cpu = cpu
    elif args.cpu != cpu:
        raise UserError("comfy.model_management is loaded already, with another device.")
