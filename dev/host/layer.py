"""A virtual environment over .venv for another ComfyUI: .venv's packages, and in front of them what its own
requirements.txt asks for and .venv has not (its front end, its templates ...). torch is not installed twice.

RACKFOCUS_COMFYUI=<folder> chooses the ComfyUI. Nothing is written into its folder, no bytecode either.
"""

import glob
import hashlib
import os
import shutil
import subprocess

from .paths import CACHE, COMFY, HOST_PYTHON, HOST_VENV, PYTHON, VENV, UserError, version
from .venv import logged

STAMP = os.path.join(HOST_VENV, "rackfocus-stamp")
# They come from .venv as they are: another build of one of them would not fit the others.
FIXED = ("torch", "torchvision")


def fingerprint():
    """Changes with the requirements of the given ComfyUI, with .venv, and with this file."""
    digest = hashlib.sha256(os.path.realpath(VENV).encode())
    for path in (os.path.join(COMFY, "requirements.txt"), os.path.join(VENV, "rackfocus-stamp"), __file__):
        try:
            with open(path, "rb") as file:
                digest.update(file.read())
        except OSError:
            pass
    return digest.hexdigest()


def ready():
    try:
        with open(STAMP) as file:
            return file.read() == fingerprint() and os.access(HOST_PYTHON, os.X_OK)
    except OSError:
        return False


def set_up():
    """Make it anew; an interrupted run leaves no stamp. .venv is there already."""
    if version(COMFY) is None or not os.path.exists(os.path.join(COMFY, "requirements.txt")):
        raise UserError(f"{COMFY} is no ComfyUI: give a folder that holds its main.py and requirements.txt.")
    print(f"Setting up ComfyUI {version(COMFY)} of {COMFY} (log: {os.path.join(CACHE, 'setup.log')})", flush=True)
    shutil.rmtree(HOST_VENV, ignore_errors=True)
    logged([PYTHON, "-m", "venv", "--without-pip", HOST_VENV], "Making a virtual environment")
    _put_over_venv()
    constraints = os.path.join(HOST_VENV, "constraints.txt")
    with open(constraints, "w") as file:
        file.writelines(f"{name}=={_installed(name)}\n" for name in FIXED)
    pip = [HOST_PYTHON, "-m", "pip", "install", "-c", constraints]
    logged(pip + ["-r", os.path.join(COMFY, "requirements.txt")], f"Installing what ComfyUI {version(COMFY)} needs")
    _mend_torchaudio()
    with open(STAMP, "w") as file:
        file.write(fingerprint())


def _site(venv):
    return glob.glob(os.path.join(venv, "lib", "python3*", "site-packages"))[0]


def _put_over_venv():
    """.venv's packages stand behind this one's own; bytecode of the given ComfyUI is kept here."""
    bytecode, below = (os.path.realpath(p) for p in (os.path.join(HOST_VENV, "bytecode"), _site(VENV)))
    with open(os.path.join(_site(HOST_VENV), "rackfocus_layer.pth"), "w") as file:
        file.write(f"import site, sys; sys.pycache_prefix = {bytecode!r}; site.addsitedir({below!r})\n")


def _installed(package):
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([HOST_PYTHON, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def _mend_torchaudio():
    """The published binaries of torchaudio are linked against one CUDA; all but forced alignment works without them."""
    probe = subprocess.run([HOST_PYTHON, "-c", "import torchaudio"], capture_output=True)
    if probe.returncode:
        for binary in glob.glob(os.path.join(_site(HOST_VENV), "torchaudio", "lib", "*.so")):
            os.remove(binary)
