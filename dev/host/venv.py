"""Build .venv: packages, the pack itself in editable form, and the torchvision repair. Runs on Python 3.7 too."""

import glob
import os
import shutil
import subprocess
import sys

from .paths import CACHE, HERE, PYTHON, ROOT, VENV, UserError, tail

OLDEST, NEWEST = (3, 10), (3, 14)
LOG = os.path.join(CACHE, "setup.log")
NEEDED_GB = 4


def find_python():
    """An interpreter that torch supports: the running one if it fits, else the first that PATH offers."""
    names = ["python3.12", "python3.11", "python3.13", "python3.10", "python3.14"]
    for candidate in [sys.executable] + [path for path in map(shutil.which, names) if path]:
        probe = subprocess.run([candidate, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True)
        version = tuple(int(part) for part in probe.stdout.split()) if probe.returncode == 0 else (0, 0)
        if OLDEST <= version <= NEWEST:
            return candidate
    raise UserError(
        f"Python {sys.version_info[0]}.{sys.version_info[1]} does not do, and no python3.10 to python3.14 is on PATH: "
        "install one of them, or name it with `make PYTHON=/path/to/python3.12`."
    )


def check_disk():
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < NEEDED_GB:
        raise UserError(
            f"Only {free:.1f} GB are free where {ROOT} lies, and the set-up needs {NEEDED_GB} GB "
            "(10 GB with the CUDA build of torch): make room and run it again."
        )


def logged(command, what):
    """Run a command with its output in the log; a failure shows the log's tail and where the whole of it lies."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    environment.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    with open(LOG, "a") as log:
        log.write("$ " + " ".join(command) + "\n")
        log.flush()
        result = subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
        )
    if result.returncode:
        raise UserError(f"{tail(LOG)}\n\n{what} failed (exit code {result.returncode}); the whole log: {LOG}")


def build(python):
    """Make an empty .venv, in place of whatever an interrupted set-up left."""
    probe = subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True)
    if probe.returncode:
        raise UserError(
            f"{python} cannot make virtual environments: install its venv package (Debian and Ubuntu: python3-venv)."
        )
    check_disk()
    shutil.rmtree(VENV, ignore_errors=True)
    logged([python, "-m", "venv", VENV], "Making .venv")


def install():
    """Install or bring up to date everything in .venv."""
    pip = [PYTHON, "-m", "pip", "install"]
    pins = ["-r", os.path.join(HERE, "requirements.txt"), "-c", os.path.join(HERE, "constraints.txt")]
    logged(pip + pins, "Installing the packages")
    # No isolation: the build would otherwise download a setuptools of its own, unpinned.
    logged(pip + ["--no-deps", "--no-build-isolation", "-e", ROOT], "Installing the pack into .venv")
    site = glob.glob(os.path.join(VENV, "lib", "python3*", "site-packages"))[0]
    shutil.copy(os.path.join(HERE, "torchvision_cpu.py"), os.path.join(site, "rackfocus_torchvision_cpu.py"))
    with open(os.path.join(site, "rackfocus_torchvision_cpu.pth"), "w") as file:
        file.write("import rackfocus_torchvision_cpu\n")
