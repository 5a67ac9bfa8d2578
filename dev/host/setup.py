"""`make setup`: .venv, ComfyUI and a browser, once; a second run only compares stamps.

Runs with nothing installed, and on a Python too old for the rest (3.7), to be able to say so.
"""

import fcntl
import glob
import hashlib
import os
import shutil
import time

from . import browser, layer
from .comfy import unpack
from .paths import CACHE, COMFY_VERSION, GIVEN, HERE, PINNED, PYTHON, ROOT, VENV, UserError, version
from .venv import LOG, build, find_python, install

STAMP = os.path.join(VENV, "rackfocus-stamp")
INPUTS = [os.path.join(HERE, name) for name in ("requirements.txt", "constraints.txt", "torchvision_cpu.py")] + [
    os.path.join(ROOT, name) for name in ("pyproject.toml", "setup.py")
]


def fingerprint():
    digest = hashlib.sha256(ROOT.encode())  # a virtual environment does not survive being moved
    for path in INPUTS:
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def stamp():
    try:
        with open(STAMP) as file:
            return file.read()
    except OSError:
        return None


def ready(wanted):
    return stamp() == wanted and os.access(PYTHON, os.X_OK) and has_comfy()


def has_comfy():
    return layer.ready() if GIVEN else version(PINNED) == COMFY_VERSION


def set_up(wanted):
    start = time.time()
    for leftover in glob.glob(os.path.join(CACHE, "unpack-*")):
        shutil.rmtree(leftover, ignore_errors=True)
    if os.path.exists(LOG):
        os.remove(LOG)
    if stamp() != wanted or not os.access(PYTHON, os.X_OK):
        print(f"Setting up .venv (some minutes the first time; log: {LOG})", flush=True)
        if stamp() is None or not os.access(PYTHON, os.X_OK):
            build(find_python())
        else:
            os.remove(STAMP)  # from here until it is written again, an interruption means: start over
        install()
        with open(STAMP, "w") as file:
            file.write(wanted)
    if not has_comfy():
        if GIVEN:
            layer.set_up()
        else:
            print(f"Fetching ComfyUI {COMFY_VERSION}", flush=True)
            unpack()
    browser.set_up()
    print(f"Set up in {time.time() - start:.0f} s.")


def main():
    wanted = fingerprint()
    if ready(wanted):
        return
    try:
        os.makedirs(CACHE, exist_ok=True)
        with open(os.path.join(ROOT, ".setup.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two `make` at once: the second waits, then finds all done
            if not ready(wanted):
                set_up(wanted)
    except OSError as error:
        raise UserError("{}: {}".format(error.filename or "the disk", error.strerror or error)) from error
