"""Run pytest as the chosen ComfyUI has Python: RACKFOCUS_COMFYUI names it, see paths.py. Set up before: `setup`.

Arguments are pytest's own.
"""

import argparse
import os

from .layer import ready
from .paths import COMFY, GIVEN, HOST_PYTHON, UserError, version


def main():
    parser = argparse.ArgumentParser(description=__doc__, add_help=False)
    _, arguments = parser.parse_known_args()
    if GIVEN and not ready():
        raise UserError(f"ComfyUI {version(COMFY)} of {COMFY} is not set up: run `make test-host COMFYUI={COMFY}`.")
    print(f"ComfyUI {version(COMFY)} of {COMFY}", flush=True)
    os.execv(HOST_PYTHON, [HOST_PYTHON, "-m", "pytest", *arguments])
