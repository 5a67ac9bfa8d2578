"""The command that messages print runs on this machine: any folder, any name, spaces, from anywhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rackfocus.weights.manifest import command

IGNORED = shutil.ignore_patterns(".*", "tests", "dev", "docs", "out", "build", "workflows", "__pycache__", "*.egg-info")
PRINT = (
    "import importlib.util, sys\n"
    "spec = importlib.util.spec_from_file_location('a-pack', sys.argv[1] + '/__init__.py', submodule_search_locations="
    "[sys.argv[1]])\n"
    "sys.modules['a-pack'] = importlib.util.module_from_spec(spec)\n"
    "spec.loader.exec_module(sys.modules['a-pack'])\n"
    "import importlib\n"
    "print(importlib.import_module('a-pack.weights.manifest').command(*sys.argv[2:]))\n"
)


@pytest.fixture(scope="module")
def pack(root, tmp_path_factory):
    """The pack in a folder of another name, in a ComfyUI whose path has a space."""
    comfy = tmp_path_factory.mktemp("base") / "My ComfyUI"
    (comfy / "models").mkdir(parents=True)
    folder = comfy / "custom_nodes" / "ComfyUI-Rackfocus"
    shutil.copytree(root, folder, ignore=IGNORED)
    return folder


def ran(line, cwd):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, shell=isinstance(line, str))


def test_the_printed_command_runs_in_any_folder_and_from_anywhere(pack, tmp_path):
    printed = ran([sys.executable, "-c", PRINT, str(pack), "check", "depth", "--fast"], tmp_path).stdout.strip()
    assert str(pack / "weights") in printed and sys.executable in printed
    for cwd in (tmp_path, pack.parent, pack / "weights"):
        made = ran(printed, cwd)
        assert not made.stderr and made.returncode == 1, made.stderr  # no depth model is there
        assert made.stdout.startswith(f"in {pack.parent.parent / 'models'}:") and "1 still needed" in made.stdout


def test_a_linked_pack_serves_the_comfyui_that_links_it(pack, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "custom_nodes").mkdir()
    link = tmp_path / "custom_nodes" / "linked"
    link.symlink_to(pack, target_is_directory=True)
    said = ran([sys.executable, str(link / "weights"), "check", "depth", "--fast"], tmp_path).stdout
    assert said.startswith(f"in {tmp_path / 'models'}:")


def test_it_runs_by_its_name_too(tmp_path):
    made = subprocess.run(
        [sys.executable, "-m", "rackfocus.weights", "list"], cwd=tmp_path, capture_output=True, text=True
    )
    assert made.returncode == 0 and made.stdout.startswith("genfocus\n")


def test_no_message_prints_a_command_that_needs_a_name(root):
    """Messages take `command`; the folder of the pack is rarely called rackfocus."""
    wrong = [
        str(path)
        for folder in ("nodes", "pipelines", "weights")
        for path in (root / folder).rglob("*.py")
        if re.search(r"[^\"]python -m rackfocus", path.read_text())
    ]
    assert not wrong and Path(command()).name == "weights"
