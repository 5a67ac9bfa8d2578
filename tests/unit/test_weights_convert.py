"""Prompt embeddings that were published as .pt files become one safetensors file."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from rackfocus.tests.unit.weight_entries import entry
from rackfocus.weights import convert as module
from rackfocus.weights.cli import main
from rackfocus.weights.manifest import weight_files

MADE = "Any/prompts.safetensors"
PARTS = {"stage1/text.pt": (1, 5, 3), "stage1/pooled.pt": (1, 4), "stage2/text.pt": (1, 7, 3)}


@pytest.fixture
def files(manifest, models_root):
    """The three .pt files, here in their places."""
    manifest(*(entry(path, folder="refocus", bytes=None, sha256=None, becomes=MADE) for path in PARTS))
    g = torch.Generator().manual_seed(2)
    for path, shape in PARTS.items():
        place = models_root / "refocus" / "repo" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        torch.save(torch.randn(shape, generator=g).bfloat16(), place)
    return models_root / "refocus"


def command(folder, word="fetch"):
    return main([word, "genfocus", "--models", str(folder.parent)])


def test_fetch_makes_one_file_of_what_is_here(files, capsys):
    assert command(files, "check") == 1 and "not made yet" in capsys.readouterr().out
    assert command(files) == 0 and "made of stage1/text.pt" in capsys.readouterr().out
    made = load_file(files / MADE)
    assert {name: tuple(t.shape) for name, t in made.items()} == {p.removesuffix(".pt"): s for p, s in PARTS.items()}
    for path in PARTS:
        assert torch.equal(made[path.removesuffix(".pt")], torch.load(files / "repo" / path))
    assert command(files, "check") == 0
    before = (files / MADE).stat().st_mtime_ns
    assert command(files) == 0 and (files / MADE).stat().st_mtime_ns == before  # once
    assert [p.name for p in (files / "Any").iterdir()] == ["prompts.safetensors"]


def test_it_waits_for_all_of_them(files):
    (files / "repo" / "stage1/pooled.pt").unlink()
    assert module.convert(weight_files("genfocus"), files.parent, print) == []
    assert not (files / "Any").exists()


class Runs:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    "content, said",
    [
        (Runs(), "cannot be read as a tensor alone"),
        ([torch.zeros(2)], "holds a list, but a tensor of numbers"),
        (torch.zeros(1, 3, dtype=torch.int32), "holds a Tensor, but a tensor of numbers"),
        (torch.full((1, 3), torch.nan), "not all of them usable"),
        (torch.zeros(1, 1, 1, 3), "not all of them usable"),
    ],
)
def test_what_is_no_embedding_is_refused_and_leaves_nothing(files, content, said, capsys):
    torch.save(content, files / "repo" / "stage1/text.pt")
    assert command(files) == 1
    err = capsys.readouterr().err
    assert said in err and "text.pt" in err and "Traceback" not in err and err.count("\n") == 1
    assert not (files / "Any").exists()


def test_a_file_that_is_far_too_large_is_not_loaded(files, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 100)
    with pytest.raises(ValueError, match="at most 100 are possible"):
        module.read_pt(files / "repo" / "stage1/text.pt")


def test_a_full_disk_leaves_nothing_behind(files, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "replace", full)
    assert command(files) == 1
    assert "could not be written" in capsys.readouterr().err
    assert not list((files / "Any").iterdir())
    monkeypatch.undo()
    shutil.rmtree(files / "Any")
