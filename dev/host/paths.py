"""Where things lie, and the error that is a sentence for the user."""

import hashlib
import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
CACHE = os.path.join(ROOT, ".host")
# The ComfyUI that is fetched, and that shipped workflows name.
PINNED = os.path.join(CACHE, "ComfyUI")
COMFY_VERSION = "0.3.75"


def version(folder):
    """The version an unpacked ComfyUI says it has, or None."""
    try:
        with open(os.path.join(folder, "comfyui_version.py")) as file:
            return re.search(r'__version__ = "(.+?)"', file.read()).group(1)
    except (OSError, AttributeError):
        return None


def layer(comfy):
    """The virtual environment over .venv in which a given ComfyUI runs, see layer.py."""
    name = hashlib.sha256(os.path.realpath(comfy).encode()).hexdigest()[:8]
    return os.path.join(CACHE, "hosts", f"{version(comfy)}-{name}")


# The ComfyUI that everything here runs, and its interpreter. RACKFOCUS_COMFYUI names another one, which is only read.
GIVEN = os.environ.get("RACKFOCUS_COMFYUI", "")
COMFY = os.path.abspath(GIVEN) if GIVEN else PINNED
if GIVEN:
    os.environ["RACKFOCUS_COMFYUI"] = COMFY  # for children in other folders
HOST_VENV = layer(COMFY) if GIVEN else VENV
HOST_PYTHON = os.path.join(HOST_VENV, "bin", "python")


class UserError(Exception):
    """Something the user can act on; its text is printed without a traceback."""


def tail(path, lines=25):
    """The last lines of a text file, or an empty string when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:]).rstrip()
    except OSError:
        return ""
