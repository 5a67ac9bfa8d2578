"""The browser of the tests: one of the machine, or one that the set-up installs. Runs with nothing installed.

CHROMIUM=<path> names one; CHROMIUM=none means none, and nothing is looked for or installed.
"""

import os
import shutil
import subprocess

from .paths import PYTHON, UserError
from .venv import LOG, logged

NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser", "microsoft-edge")
PLACES = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",)
NEEDED = (
    "install Chromium (Debian: apt install chromium) or Google Chrome, or run `.venv/bin/python -m dev.host browser`, "
    "or name one by CHROMIUM=<path>."
)
# Where Playwright keeps its own Chromium, if it has one.
OWN = "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium.executable_path)"


def find():
    """The path of a browser that starts, or None."""
    given = os.environ.get("CHROMIUM", "")
    if given:
        return given if starts(given) else None
    machine = [path for path in [shutil.which(name) for name in NAMES] + list(PLACES) if path]
    return next((path for path in machine if starts(path)), None) or _own()


def starts(path):
    """Whether it can tell its version: Ubuntu's chromium-browser, for example, may be a mere hint at a package."""
    try:
        probe = subprocess.run([path, "--version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    except (OSError, subprocess.SubprocessError):
        return False
    return probe.returncode == 0 and bool(probe.stdout.strip())


def _own():
    probe = subprocess.run([PYTHON, "-c", OWN], capture_output=True, text=True)
    path = probe.stdout.strip()
    return path if probe.returncode == 0 and starts(path) else None


def missing():
    """The sentence that says that there is none, and what to do."""
    given = os.environ.get("CHROMIUM", "")
    if given == "none":
        return "CHROMIUM=none asks for no browser."
    return "No browser was found: " + NEEDED if not given else f"CHROMIUM={given} does not start: " + NEEDED


def install():
    """The path of a browser: one that is there, else Debian's by apt where that asks nothing, else Playwright's own.

    Raises UserError if none can be had.
    """
    found = find()
    if found or os.environ.get("CHROMIUM"):
        return _or_error(found)
    print(f"Installing Chromium for the browser's tests (log: {LOG})", flush=True)
    for way in (_by_apt, _by_playwright):
        try:
            way()
        except UserError:
            continue
        found = find()
        if found:
            break
    return _or_error(found)


def _or_error(found):
    if not found:
        raise UserError(missing())
    return found


def _by_apt():
    """Only Debian's own: Ubuntu's package of that name is a hint at another store."""
    if not _is_debian() or not shutil.which("apt-get"):
        raise UserError("This is no Debian.")
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    patience = ["-o", "Acquire::http::Timeout=20", "-o", "Acquire::Retries=1", "-o", "DPkg::Lock::Timeout=60"]
    apt = root + ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", *patience]
    get = apt + ["install", "--no-install-recommends", "chromium"]
    try:
        logged(get, "Installing Chromium by apt")
    except (UserError, OSError):  # a fresh container has no lists of packages
        logged(apt + ["update"], "Reading apt's lists")
        logged(get, "Installing Chromium by apt")


def _is_debian():
    try:
        with open("/etc/os-release") as file:
            return "ID=debian\n" in file.readlines()
    except OSError:
        return False


def _by_playwright():
    logged([PYTHON, "-m", "playwright", "install", "--no-shell", "chromium"], "Installing Playwright's Chromium")


def set_up():
    """A part of `make setup`, which goes on without a browser."""
    try:
        install()
    except (UserError, OSError) as error:
        print(f"{error} `make test` leaves its browser part out until then.", flush=True)


def main():
    print(install())
