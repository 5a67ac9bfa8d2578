"""The reader of model files: what is whole comes as it is, everything else is one sentence."""

import json
import os
import struct

import pytest
import torch
from safetensors.torch import save_file

from rackfocus.pipelines.files import config, read_config, read_header, read_tensors, tensors
from rackfocus.pipelines.files.tensors import check_amount, check_floats
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.tests.fuzz import files as fuzz

posix = pytest.mark.skipif(os.name == "nt", reason="links and pipes are made otherwise there")


@pytest.fixture
def file(tmp_path):
    """Tensors of three types, and the file that holds them."""
    g = torch.Generator().manual_seed(0)
    held = {"a": torch.randn(3, 5, generator=g), "b.weight": torch.randn(2, 1, 4, generator=g).half()}
    held["c"] = torch.tensor([1, -2])
    save_file(held, tmp_path / "file.safetensors", {"format": "pt"})
    return tmp_path / "file.safetensors", held


@pytest.mark.parametrize("case", [pytest.param(c, id=n.split(":")[0]) for n, c in fuzz.cases(40, 4)])
@posix
def test_seeded_hostile_files(case):
    case()


def test_a_whole_file_comes_as_it_is(file):
    path, held = file
    header = read_header(path)
    assert {n: (i.dtype, i.shape) for n, i in header.items()} == {
        "a": ("F32", (3, 5)),
        "b.weight": ("F16", (2, 1, 4)),
        "c": ("I64", (2,)),
    }
    assert [header[n].numbers for n in ("a", "b.weight", "c")] == [15, 8, 2]
    got = read_tensors(path, finite=True)
    assert got.keys() == held.keys() and all(
        torch.equal(got[n], t) and got[n].dtype == t.dtype for n, t in held.items()
    )


def written(path, header, data=b"\0" * 64, length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


ENTRY = {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"a": {**ENTRY, "shape": [4, 5]}}, "SafetensorError"),
        ({"a": {**ENTRY, "data_offsets": [0, 60]}}, "SafetensorError"),
        ({"a": {**ENTRY, "shape": [2**40, 2**40]}}, "SafetensorError"),
        ({"a": {**ENTRY, "dtype": "F77"}}, "SafetensorError.*F77"),
        ({"a": ENTRY, "b": ENTRY}, "SafetensorError"),
        (b'{"a":' * 5000, "SafetensorError"),
        (b"[]", "its header is no JSON object"),
    ],
)
def test_a_damaged_header_is_one_sentence(tmp_path, header, said):
    path = written(tmp_path / "x.safetensors", header)
    for read in (read_header, read_tensors):
        with pytest.raises(RefocusError, match=rf"x\.safetensors cannot be read as a safetensors file \({said}") as e:
            read(path, "ask somebody")
        assert str(e.value).endswith("a whole one is needed: ask somebody.") and len(str(e.value)) <= 400


@pytest.mark.parametrize(
    ("start", "said"),
    [
        (b"", "it is empty"),
        (b"1234567", "it is cut off"),
        (b"PK\x03\x04" + b"x" * 90, "it is a pickle"),
        (b"\x80\x02" + b"x" * 90, "it is a pickle"),
        (b"GGUF" + b"x" * 90, "it is a GGUF file"),
        (b"<!DOCTYPE html>", "it is a page of the web"),
        (b"version https://git-lfs.github.com/spec/v1", "pointer of Git LFS"),
        (struct.pack("<Q", 2**63) + b"{}", "header would have 9,223,372,036,854,775,808 of 10 bytes"),
        (struct.pack("<Q", 3) + b"{}", "header would have 3 of 10 bytes"),
    ],
)
def test_what_else_a_file_may_be(tmp_path, start, said):
    (tmp_path / "x.safetensors").write_bytes(start)
    with pytest.raises(RefocusError, match=said):
        read_header(tmp_path / "x.safetensors")


def test_a_header_of_a_picture_book_is_not_read(tmp_path, monkeypatch):
    text = json.dumps({"a": ENTRY}).encode()
    path = written(tmp_path / "x.safetensors", text + b" " * 1000)
    assert read_header(path)["a"].shape == (4, 4)
    monkeypatch.setattr(tensors, "MOST_HEADER", 1000)
    with pytest.raises(RefocusError, match="its header would have"):
        read_header(path)


@posix
def test_only_ordinary_files_are_opened(tmp_path):
    """A pipe would wait for somebody who writes into it."""
    os.mkfifo(tmp_path / "pipe.safetensors")
    os.mkfifo(tmp_path / "config.json")
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "zero.safetensors").symlink_to("/dev/zero")
    for name, kind in (("pipe", "a pipe"), ("folder", "a folder"), ("zero", "a device")):
        with pytest.raises(RefocusError, match=rf"{name}\.safetensors is {kind}, but an ordinary file is needed"):
            read_header(tmp_path / f"{name}.safetensors")
    with pytest.raises(RefocusError, match=r"config\.json is a pipe"):
        read_config(tmp_path)
    with pytest.raises(RefocusError, match=r"gone\.safetensors cannot be read \(FileNotFoundError"):
        read_header(tmp_path / "gone.safetensors")


def test_links_to_files_are_the_artists(file, tmp_path):
    (tmp_path / "link.safetensors").symlink_to(file[0])
    assert read_header(tmp_path / "link.safetensors") == read_header(file[0])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e5m2])
def test_values_that_are_no_numbers(tmp_path, value, dtype):
    save_file({"a": torch.ones(3), "b": torch.tensor([1.0, value]).to(dtype)}, tmp_path / "x.safetensors")
    assert len(read_tensors(tmp_path / "x.safetensors")) == 2
    with pytest.raises(RefocusError, match=r"x\.safetensors holds values that are not numbers"):
        read_tensors(tmp_path / "x.safetensors", finite=True)


def test_amount_and_types(file):
    header = read_header(file[0])
    with pytest.raises(RefocusError, match="mine holds tensors of the type I64"):
        check_floats(header, "mine")
    check_floats({n: i for n, i in header.items() if n != "c"}, "mine")
    check_amount(header, "mine")
    most = tensors.MOST_NUMBERS
    check_amount({"a": tensors.TensorInfo("F16", (most,))}, "mine")
    with pytest.raises(RefocusError, match="mine holds 2,147,483,649 numbers"):
        check_amount({"a": tensors.TensorInfo("F16", (most,)), "b": tensors.TensorInfo("F16", ())}, "mine")


def test_a_configuration_comes_as_it_is(tmp_path):
    held = {"a": [1, 2.5, -3e-7, None, True], "b": {"c": "\u00e9"}, "d": 2**63}
    (tmp_path / "config.json").write_text(json.dumps(held))
    assert read_config(tmp_path) == held and read_config(tmp_path, "other.json") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "JSONDecodeError"),
        ('{"a": 1', "JSONDecodeError"),
        ("[1]", "no object"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": [1, -Infinity]}', "-Infinity is no number"),
        ('{"a": 1e999}', "1e999 is no number"),
        ('{"a": ' + "9" * 5000 + "}", r"9\.\.\. is no number"),
        ('{"a":' * 100_000, "Recursion|Decode"),
        ('{"a":' * 17 + "1" + "}" * 17, "more than 16 objects in one another"),
        (b"\xff\xfe{}", "UnicodeDecodeError"),
    ],
)
def test_a_damaged_configuration_is_one_sentence(tmp_path, text, said):
    (tmp_path / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RefocusError, match=rf"config\.json of .* cannot be read \(.*({said})") as error:
        read_config(tmp_path)
    assert len(str(error.value)) <= 400 and "\n" not in str(error.value)


def test_depth_and_size_of_a_configuration(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"a":' * 16 + "1" + "}" * 16)
    assert read_config(tmp_path)
    monkeypatch.setattr(config, "MOST_BYTES", 97)
    assert read_config(tmp_path)
    (tmp_path / "config.json").write_text(" " + '{"a":' * 16 + "1" + "}" * 16)
    with pytest.raises(RefocusError, match="has more than 97 bytes"):
        read_config(tmp_path)
