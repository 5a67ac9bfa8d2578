"""DiffCamera's file: what is written is read back, and what is no such file is refused in one sentence."""

import json
import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from rackfocus.dev.tiny.diffcamera import tiny_checkpoint
from rackfocus.pipelines.diffcamera import About, Camera, read_about, read_checkpoint, write_checkpoint
from rackfocus.pipelines.diffcamera import checkpoint as module
from rackfocus.pipelines.flux.architecture import Architecture
from rackfocus.pipelines.flux.reference import architecture_of
from rackfocus.pipelines.image.checks import RefocusError


@pytest.fixture
def given(transformer):
    notes = {"data": "procedural", "seed": 3}
    return tiny_checkpoint(transformer, resolution=512, prompt="a photo", notes=notes)


@pytest.fixture
def path(given, tmp_path):
    write_checkpoint(tmp_path / "lens.safetensors", given, torch.float32)
    return tmp_path / "lens.safetensors"


@pytest.fixture
def sizes(transformer):
    return architecture_of(transformer)


def changed(path, drop=(), more=None, **said):
    """A copy of the file with other entries in the header, and tensors left out or put in."""
    tensors = {k: v for k, v in load_file(path).items() if k not in drop} | (more or {})
    metadata = {k: v for k, v in (metadata_of(path) | said).items() if v is not None}
    save_file(tensors, path, metadata or None)
    return path


def metadata_of(path):
    raw = path.read_bytes()
    return json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]


@pytest.mark.parametrize("camera", ["point", "linear"])
def test_what_is_written_is_read_back(transformer, sizes, tmp_path, camera):
    given = tiny_checkpoint(transformer, camera=camera, geometry="depth", lora="all", notes={"a": [1, {"b": None}]})
    write_checkpoint(tmp_path / "a.safetensors", given, torch.float32)
    found = read_checkpoint(tmp_path / "a.safetensors", sizes, given.text.shape[-1], given.pooled.shape[-1])
    assert found.about == given.about == read_about(tmp_path / "a.safetensors")
    assert torch.equal(found.text, given.text) and torch.equal(found.pooled, given.pooled)
    assert found.lora.keys() == given.lora.keys()
    for layer, low in given.lora.items():
        assert torch.equal(found.lora[layer].up, low.up) and torch.equal(found.lora[layer].down, low.down)
    values = given.camera.state_dict()
    assert all(torch.equal(v, values[k]) for k, v in found.camera.state_dict().items())
    assert not any(p.requires_grad for p in found.camera.parameters()) and os.listdir(tmp_path) == ["a.safetensors"]


def test_files_are_written_in_half_precision(given, tmp_path):
    write_checkpoint(tmp_path / "a.safetensors", given)
    assert {t.dtype for t in load_file(tmp_path / "a.safetensors").values()} == {torch.bfloat16}


def test_what_an_artist_is_told(given):
    said = replace(given.about, trained_by="a lab", steps=20000).describe()
    assert said == "weights trained by a lab, 20000 steps, rank 4, geometry defocus, camera point"
    assert "trained by unknown" in About().describe()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"kind": None}, r"lens\.safetensors is no DiffCamera checkpoint .* choose a file that"),
        ({"version": "2"}, r"of version 2, but this Rackfocus reads up to version 1: update Rackfocus"),
        ({"version": "new"}, r"has 'new' for its version, but a whole number is needed"),
        ({"base": "FLUX.1-schnell"}, r"was trained on 'FLUX\.1-schnell', but FLUX\.1-dev is needed"),
        ({"base": "small"}, r"was trained on 'small', but FLUX\.1-dev is needed"),
        ({"rank": "16"}, r"says that its rank is 16, but x_embedder has a rank of 4"),
        ({"rank": None}, r"has '' for its rank, but a whole number is needed"),
        ({"geometry": "stereo"}, r"has 'stereo' for its geometry, but one of defocus, depth is needed"),
        ({"camera": "linear"}, r"has camera\.bias missing, but 3 x 32 is needed for a camera of the kind linear"),
    ],
)
def test_another_header_is_refused(path, sizes, said, sentence):
    with pytest.raises(RefocusError, match=sentence) as error:
        read_checkpoint(changed(path, **said), sizes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("drop", "more", "sentence"),
    [
        (["transformer.x_embedder.lora_A.weight"], {}, r"lacks 1 tensor \(transformer\.x_embedder\.lora_A\.weight\)"),
        ([], {"transformer.proj_out.lora_A.weight": (4, 4)}, r"has in excess 1 tensor"),
        (["camera.known"], {}, r"has camera\.known missing, but 2 x 32 is needed"),
        ([], {"camera.more": (2,)}, r"has camera\.more 2, but none is needed"),
        (["text.prompt"], {}, r"has text\.prompt missing"),
        ([], {"text.prompt": (5, 7)}, r"has text\.prompt 5 x 7, but 5 x 32 is needed"),
        ([], {"text.pooled": ()}, r"has text\.pooled"),
    ],
)
def test_other_tensors_are_refused(path, sizes, drop, more, sentence):
    changed(path, drop, {k: torch.zeros(s) for k, s in more.items()})
    with pytest.raises(RefocusError, match=sentence):
        read_checkpoint(path, sizes, 32)


def test_it_is_for_one_size_of_flux(path, sizes):
    with pytest.raises(RefocusError, match=r"has in the wrong shape"):
        read_checkpoint(path, Architecture(sizes.channels, 64, 256, sizes.double, sizes.single))


@pytest.mark.parametrize("share", [0, 0.0005, 0.4, 0.999])
def test_a_file_that_is_cut_off(path, sizes, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(RefocusError, match=r"cannot be read as a safetensors file .*: copy it again, or"):
        read_checkpoint(path, sizes)


def test_numbers_that_are_none(path, sizes):
    changed(path, more={"camera.known": torch.full((2, 32), float("nan"))})
    with pytest.raises(RefocusError, match="not numbers"):
        read_checkpoint(path, sizes)


def test_a_full_disk_leaves_what_was_there(path, given, monkeypatch):
    before = path.read_bytes()

    def full(tensors, name, metadata):
        with open(name, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(RefocusError, match=r"lens\.safetensors cannot be written .*No space left.*: free some space"):
        write_checkpoint(path, given)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


def test_reading_draws_no_random_number(path, sizes):
    state = torch.get_rng_state()
    read_checkpoint(path, sizes)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_cameras_of_a_real_file_are_small():
    """Beside the LoRA's 232 million numbers."""
    with torch.device("meta"):
        assert sum(p.numel() for p in Camera("point", 3072).parameters()) < 2e6
    assert module.VERSION == 1
