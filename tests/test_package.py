import asyncio
import importlib
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest

TEXT = (".py", ".js", ".mjs", ".css", ".toml", ".txt", ".json", ".md", ".html")
GENERATED = {".venv", ".host", ".git", "out", "build", "__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}
# What the host and its page read beside the code.
FOR_THE_PAGE = ("samples", "web", "locales", "subgraphs")
NOT_CODE = shutil.ignore_patterns(".*", "tests", "out", "build", "*.egg-info", "__pycache__", "workflows")


def python(source, cwd):
    return subprocess.run([sys.executable, "-c", source], cwd=cwd, capture_output=True, text=True)


def code(root):
    return [path for name in ("nodes", "pipelines", "training", "weights") for path in root.glob(f"{name}/**/*.py")]


@pytest.mark.slow
def test_wheel_holds_every_module(root, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy, ignore=NOT_CODE)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(copy)]
    result = subprocess.run(build, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    assert {f"rackfocus/{path.relative_to(root)}" for path in code(root)} | {"rackfocus/__init__.py"} <= names
    shown = [path for name in FOR_THE_PAGE for path in (root / name).rglob("*") if path.is_file()]
    assert {f"rackfocus/{path.relative_to(root).as_posix()}" for path in shown} <= names
    assert not [name for name in names if name.startswith(("rackfocus/dev", "rackfocus/tests", "dev", "tests"))]


def test_the_registry_gets_samples_and_templates(root):
    """What .comfyignore names is left out of the archive: not these."""
    left_out = (root / ".comfyignore").read_text(encoding="utf-8").split()
    assert not {f"{name}/" for name in (*FOR_THE_PAGE, "workflows", "nodes")} & set(left_out)


def test_every_folder_with_code_is_a_package(root):
    folders = {path.parent for path in code(root)}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


def test_import_does_nothing_else(root, tmp_path):
    result = python("import rackfocus, sys; print('torch' in sys.modules, rackfocus.__file__)", tmp_path)
    heavy, where = result.stdout.strip().split(" ", 1)
    assert heavy == "False" and Path(where).samefile(root / "__init__.py"), result.stderr


@pytest.mark.slow
def test_pipelines_import_without_the_host(tmp_path):
    source = (
        "import importlib, pkgutil, sys, rackfocus.pipelines as p\n"
        "for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.'): importlib.import_module(m.name)\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('comfy', 'comfy_api', 'folder_paths', 'nodes')])"
    )
    result = python(source, tmp_path)
    assert result.stdout.strip() == "[]", result.stderr


def test_failure_at_the_door_is_logged_and_raised(root, tmp_path, monkeypatch, caplog):
    (tmp_path / "nodes").mkdir()
    (tmp_path / "nodes" / "__init__.py").write_text("raise RuntimeError('broken on purpose')\n")
    shutil.copy(root / "__init__.py", tmp_path)
    monkeypatch.setitem(sys.modules, "comfy_api", types.ModuleType("comfy_api"))
    latest = types.ModuleType("comfy_api.latest")
    latest.ComfyExtension = object
    monkeypatch.setitem(sys.modules, "comfy_api.latest", latest)
    spec = importlib.util.spec_from_file_location(
        "broken-pack", tmp_path / "__init__.py", submodule_search_locations=[str(tmp_path)]
    )
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "broken-pack", module)
    spec.loader.exec_module(module)
    with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError, match="broken on purpose"):
        asyncio.run(module.comfy_entrypoint())
    assert "Traceback" in caplog.text and "broken on purpose" in caplog.text


def sources(root):
    """Text files of the repository; folders that hold no source are not entered."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in GENERATED and not name.endswith(".egg-info")]
        for name in names:
            if name == "Makefile" or name.endswith(TEXT):
                yield Path(folder, name)


def test_sources_are_ascii(root):
    assert not [str(path) for path in sources(root) if path.suffix != ".md" and not path.read_bytes().isascii()]


def test_no_machine_or_registry_is_named(root):
    names = "|".join(["/" + "work/", "/" + "root/", "pypi" + r"\.", "files.python" + "hosted"])
    found = [str(path) for path in sources(root) if re.search(names, path.read_text(encoding="utf-8"))]
    assert not found


CAUGHT = {"TooLong"}  # in the module beside it: nobody sees it


def test_errors_are_shown_under_the_packs_name_whatever_its_folder_is_called(root):
    """Logs and pages show an exception's module, which is the folder's path where a host loads the pack."""
    seen = set()
    for path in code(root):
        for name in re.findall(r"(?m)^class (\w+)\(\w*(?:Error|Exception)\):", path.read_text(encoding="utf-8")):
            module = importlib.import_module(".".join(("rackfocus", *path.relative_to(root).with_suffix("").parts)))
            assert name in CAUGHT or getattr(module, name).__module__ == "rackfocus", name
            seen.add(name)
    assert "RefocusError" in seen
