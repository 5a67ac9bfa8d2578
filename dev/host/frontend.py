"""Another front end (the page's scripts) than the one that the host brings: fetched into .host/frontends.

RACKFOCUS_FRONTEND chooses it for everything that starts a host: newest, a version, or a folder that holds index.html.
"""

import argparse
import glob
import os
import shutil
import tempfile
import zipfile

from .paths import CACHE, PYTHON, UserError
from .venv import logged

PACKAGE = "comfyui-frontend-package"
FOLDER = os.path.join(CACHE, "frontends")
INSIDE = "comfyui_frontend_package/static/"


def folder(wanted):
    """The folder with the front end's index.html. wanted: newest, a version, or such a folder."""
    if os.path.isdir(wanted):
        if not os.path.exists(os.path.join(wanted, "index.html")):
            raise UserError(f"{wanted} is no front end: it holds no index.html.")
        return os.path.abspath(wanted)
    place = os.path.join(FOLDER, wanted)
    return place if wanted != "newest" and os.path.isdir(place) else fetch(wanted)


def fetch(wanted):
    """Put it at its place in one rename, so that an interrupted run leaves all of it or nothing."""
    os.makedirs(FOLDER, exist_ok=True)
    work = tempfile.mkdtemp(prefix="unpack-", dir=CACHE)
    try:
        name = PACKAGE if wanted == "newest" else f"{PACKAGE}=={wanted}"
        pip = [PYTHON, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "-d", work, name]
        logged(pip, f"Fetching the front end {wanted}")
        (wheel,) = glob.glob(os.path.join(work, "*.whl"))
        place = os.path.join(FOLDER, os.path.basename(wheel).split("-")[1])
        with zipfile.ZipFile(wheel) as file:
            file.extractall(work, [name for name in file.namelist() if name.startswith(INSIDE)])
        if not os.path.isdir(place):
            os.rename(os.path.join(work, *INSIDE.rstrip("/").split("/")), place)
        return place
    finally:
        shutil.rmtree(work, ignore_errors=True)


def arguments():
    """What ComfyUI is told to use the chosen front end; nothing for its own."""
    wanted = os.environ.get("RACKFOCUS_FRONTEND", "")
    return ["--front-end-root", folder(wanted)] if wanted else []


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", nargs="?", default="newest", help="as in the package registry")
    print(folder(parser.parse_args().version))
