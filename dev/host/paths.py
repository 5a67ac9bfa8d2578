"""Where things lie, and the error that is a sentence for the user."""

import os

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
CACHE = os.path.join(ROOT, ".host")
COMFY = os.path.join(CACHE, "ComfyUI")
COMFY_VERSION = "0.3.75"


class UserError(Exception):
    """Something the user can act on; its text is printed without a traceback."""


def tail(path, lines=25):
    """The last lines of a text file, or an empty string when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:]).rstrip()
    except OSError:
        return ""
