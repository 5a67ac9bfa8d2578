"""RACKFOCUS_COMFYUI: which ComfyUI everything in dev and tests runs on. No ComfyUI is needed for these."""

import os
import subprocess
import sys

import pytest

from rackfocus.dev.host.paths import COMFY_VERSION, PINNED, VENV


def said(code, cwd, comfy=""):
    """(what a process prints that imports dev.host.paths as p, its errors)."""
    code = f"from rackfocus.dev.host import paths as p\n{code}"
    environment = {**os.environ, "RACKFOCUS_COMFYUI": str(comfy)}
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)
    return done.stdout.strip(), done.stderr.strip()


@pytest.fixture
def tree(tmp_path):
    """A folder that says it is a ComfyUI."""
    folder = tmp_path / "some ComfyUI"
    folder.mkdir()
    (folder / "comfyui_version.py").write_text('__version__ = "9.8.7"\n')
    return folder


def test_without_it_the_pinned_one_in_venv(tmp_path):
    out, _ = said("print(p.COMFY, p.HOST_VENV, p.COMFY_VERSION, sep='|')", tmp_path)
    assert out == f"{PINNED}|{VENV}|{COMFY_VERSION}"


def test_another_one_has_an_environment_of_its_own(tree):
    code = "import os; print(p.COMFY, p.version(p.COMFY), p.HOST_VENV, os.environ['RACKFOCUS_COMFYUI'], sep='|')"
    comfy, version, venv, told = said(code, tree.parent, tree.name)[0].split("|")
    assert comfy == told == str(tree) and version == "9.8.7"  # children in other folders find it
    assert os.path.basename(venv).startswith("9.8.7-") and venv != VENV
    other = tree.with_name("other")
    tree.rename(other)
    assert said("print(p.HOST_VENV)", other.parent, other)[0] not in ("", venv)


def test_what_is_wrong_is_one_sentence(tree, root):
    out, error = said("from rackfocus.dev.host.layer import set_up; set_up()", tree, tree)
    assert error.splitlines()[-1].endswith(
        f"{tree} is no ComfyUI: give a folder that holds its main.py and requirements.txt."
    )
    (tree / "requirements.txt").write_text("")
    out, error = said("from rackfocus.dev.host.test import main; main()", tree, tree)
    assert not out and f"ComfyUI 9.8.7 of {tree} is not set up: run `make test-host COMFYUI={tree}`." in error
    out, error = said("from rackfocus.dev.host.library import use_comfy; use_comfy()", tree, tree)
    assert f"{tree} needs " in error and f"{sys.executable} runs: use `python -m dev.host test`." in error


def test_nothing_is_written_into_it(tree, monkeypatch, tmp_path):
    """Bytecode of whatever it holds goes beside its environment; its packages come before those of .venv."""
    from rackfocus.dev.host import layer

    venv = tmp_path / "venv"
    below = tmp_path / "below" / "lib" / "python3.11" / "site-packages"
    below.mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    monkeypatch.setattr(layer, "HOST_VENV", str(venv))
    monkeypatch.setattr(layer, "VENV", str(tmp_path / "below"))
    layer._put_over_venv()
    own = next((venv / "lib").glob("python3*")) / "site-packages"
    for folder in (below, own):
        (folder / "both.py").write_text(f"where = {str(folder)!r}")
    (below / "only.py").write_text("")
    (tree / "inside.py").write_text("")
    code = f"import sys; sys.path.append({str(tree)!r}); import inside, only, both; print(both.where)"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    command = [str(venv / "bin" / "python"), "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(own)
    assert not list(tree.rglob("__pycache__")) and list((venv / "bytecode").rglob("inside*.pyc"))
