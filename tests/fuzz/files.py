"""Hostile model files: seeded cases for every loader that opens one.

A case ends in a model that works, or in one sentence; run as a module, it also shows the memory and the time they took:
`python -m rackfocus.tests.fuzz.files COUNT SEED`.
"""

import atexit
import copy
import json
import os
import random
import resource
import shutil
import socket
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from rackfocus.dev.tiny import depth as tiny_depth
from rackfocus.pipelines.depth import estimate_depth, find_models, load_depth_model
from rackfocus.pipelines.files import check_amount, check_floats, read_header
from rackfocus.pipelines.flux.architecture import Architecture
from rackfocus.pipelines.flux.lora_file import read_lora
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.learn2refocus.unet_file import Layout, check_unet, comfy_names, fine_norms

from .headers import DAMAGES, HEADERS, header_of, with_header

SENTENCE = 400
SECONDS = 30
LORA = Architecture(channels=16, hidden=32, mlp=128, double=2, single=2)
UNET = Layout((8, 16), (True, False), 1, 4, 6)
GOLDEN = Path(__file__).resolve().parents[1] / "data" / "golden"
FOLDERS = ("anything", "anything_metric", "pro", "dpt", "glpn")
ORIGINAL = "depth_anything_v2_vits.safetensors"
# Values where a configuration has another one.
VALUES = (None, True, False, 0, -1, 1, 7, 0.5, -0.5, 1e-300, 1e300, 65536, 10**6, 10**9, 2**63, 2**64, 10**400)
VALUES += ("", "text", "12", "NaN", "x" * 100_000, "\u0000", "\u00e9\ud800", "../../etc/passwd", "kernels/of-another")
VALUES += ([], [0], [1, 2], [1] * 100_000, ["a", "b", "c"], [[]], [None] * 3, {}, {"a": 1}, {"height": "70"})
VALUES += ({"height": 10**9, "width": 10**9}, {"shortest_edge": -5}, {"model_type": "dinov2"}, {"height": 30})
# Texts that json reads, or should not: written in a value's place.
TEXTS = ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "[" * 500 + "]" * 500, "[" * 100_000, '"\\ud800"', "nul")
ADDED = ("num_hidden_layers", "hidden_size", "depths", "backbone", "auto_map", "_attn_implementation", "quantization")
ADDED += ("quantization_config", "dtype", "torch_dtype", "pruned_heads", "use_timm_backbone", "num_labels", "id2label")
ADDED += (
    "max_depth",
    "use_pretrained_backbone",
    "attn_implementation",
    "size",
    "do_pad",
    "do_rescale",
    "_name_or_path",
)


@cache
def originals() -> Path:
    """A folder of whole tiny files: a folder for each depth model, a single file, a LoRA, a UNet; gone at the end."""
    root = Path(tempfile.mkdtemp(prefix="rackfocus-files-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    for name in FOLDERS:
        tiny_depth.save(name, root / name)
    save_file(tiny_depth.original(), root / ORIGINAL)
    shutil.copy(GOLDEN / "genfocus" / "lora.safetensors", root / "lora.safetensors")
    generator = torch.Generator().manual_seed(0)
    unet = {name: torch.randn(shape, generator=generator).half() for name, shape in UNET.tensors().items()}
    save_file(unet, root / "unet.safetensors")
    return root


def picture() -> torch.Tensor:
    return torch.rand(1, 20, 28, 3, generator=torch.Generator().manual_seed(0))


def open_depth(path: Path):
    listed = [str(p.relative_to(path.parent)) for p in path.parent.rglob("*")]
    find_models(listed, lambda name: str(path.parent / name))
    made = estimate_depth(load_depth_model(str(path)), picture())
    assert made.depth.shape == (1, 20, 28) and made.depth.isfinite().all(), "depth of another size, or not finite"


def open_lora(path: Path):
    for low in read_lora(path, LORA).values():
        assert low.down.isfinite().all() and low.up.isfinite().all(), "numbers of the LoRA are not finite"


def open_unet(path: Path):
    """All that is done before the host is given the weights."""
    header = read_header(path)
    check_unet({name: info.shape for name, info in header.items()}, path.name)
    check_floats(header, path.name)
    check_amount(header, path.name)
    fine_norms(comfy_names(header))


OPEN = {"lora.safetensors": open_lora, "unet.safetensors": open_unet}


def cases(count: int, seed: int) -> Iterator[tuple[str, Callable[[], str | None]]]:
    """(name, callable) for each; the callable gives the sentence or None, and raises AssertionError otherwise."""
    for number in range(count):
        own = f"{seed} {number}"
        rng = random.Random(own)
        target = rng.choice((*FOLDERS, ORIGINAL, "lora.safetensors", "unet.safetensors"))
        if target in FOLDERS:
            way = rng.choice(("config", "config", "processor", "text", "special config", "file", "folder"))
        else:
            way = "file"
        attack = rng.choice((*HEADERS, *DAMAGES, *SPECIAL)) if way == "file" else way

        def case(own=own, target=target, way=way, attack=attack):
            with tempfile.TemporaryDirectory() as folder:
                return run(Path(folder), target, way, attack, random.Random(own + " inside"))

        yield f"file {number} of seed {seed}: {target}, {attack}", case


def run(folder: Path, target: str, way: str, attack: str, rng: random.Random) -> str | None:
    path = folder / target
    (shutil.copytree if target in FOLDERS else shutil.copy)(originals() / target, path)
    weights = path / "model.safetensors" if target in FOLDERS else path
    if way == "file":
        if attack in SPECIAL:
            SPECIAL[attack](weights, rng)
        else:
            weights.write_bytes(damaged_bytes(weights.read_bytes(), attack, rng))
    else:
        _spoil_folder(path, way, rng)
    begun = time.monotonic()
    try:
        OPEN.get(target, open_depth)(path)
        said = None
    except RefocusError as error:
        said = str(error)
        assert len(said) <= SENTENCE and "\n" not in said, f"not one short sentence: {said}"
    except AssertionError:
        raise
    except BaseException as error:
        raise AssertionError(f"{type(error).__name__} instead of a sentence: {str(error)[:200]}") from error
    assert time.monotonic() - begun < SECONDS, f"more than {SECONDS} s"
    return said


def damaged_bytes(data: bytes, attack: str, rng: random.Random) -> bytes:
    """A safetensors file with its header or its bytes spoiled."""
    if attack in DAMAGES:
        return DAMAGES[attack](data, rng)
    header = header_of(data)
    return with_header(HEADERS[attack](header, rng), data)


def _spoil_folder(folder: Path, way: str, rng: random.Random):
    file = folder / ("preprocessor_config.json" if way == "processor" else "config.json")
    if way in ("text", "special config") and rng.random() < 0.5:
        file = folder / "preprocessor_config.json"
    if way == "special config":
        SPECIAL[rng.choice(list(SPECIAL))](file, rng)
    elif way == "folder":
        _spoil_names(folder, rng)
    else:
        config = json.loads(file.read_text())
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            holders = [config, *(v for v in config.values() if isinstance(v, dict))]
            holder = rng.choice(holders)
            key = rng.choice((*holder, *holder, *ADDED)) if holder else rng.choice(ADDED)
            if rng.random() < 0.1:
                holder.pop(key, None)
            else:
                holder[key] = "@text@" if way == "text" else copy.deepcopy(rng.choice(VALUES))
        text = json.dumps(config).replace('"@text@"', rng.choice(TEXTS))
        if way == "text" and rng.random() < 0.3:
            text = text[: rng.randrange(len(text))]
        data = text.encode("utf-8", "surrogatepass")
        file.write_bytes(data if rng.random() < 0.95 else b"\xff\xfe" + data)


def _spoil_names(folder: Path, rng: random.Random):
    """Other names, an index of parts, a file too many or too few."""
    model, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    way = rng.randrange(6)
    if way == 0:
        model.rename(folder / "other.safetensors")
        return
    state = load_file(model)
    names = sorted(state)
    half = len(names) // 2
    parts = {"a.safetensors": names[:half], "b.safetensors": names[half:]}
    for part, held in parts.items():
        save_file({n: state[n] for n in held}, folder / part)
    model.unlink()
    found: object = {n: part for part, held in parts.items() for n in held}
    if way == 2:
        found = {n: f"../{p}" for n, p in found.items()}
    elif way == 3:
        found = rng.choice(VALUES)
    elif way == 4:
        found = dict.fromkeys(names, "a.safetensors")
    if way != 5:
        index.write_text(json.dumps({"weight_map": found}))


def _put(data: bytes):
    return lambda path, rng: path.write_bytes(data)


def _instead(make):
    def spoil(path: Path, rng: random.Random):
        path.unlink()
        make(path)

    return spoil


def _socket(path: Path):
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _pickle(path: Path, rng: random.Random):
    torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=rng.random() < 0.5)


def _sparse(path: Path, rng: random.Random):
    """A header that agrees with the file's size, and no data in it: 2 TB."""
    header = header_of(path.read_bytes())
    name = rng.choice(list(header))
    header = {name: {"dtype": "F32", "shape": [1 << 39], "data_offsets": [0, 1 << 41]}}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, 8 + len(text) + (1 << 41))


def _swollen(path: Path, rng: random.Random):
    """All tensors of the model, and each dimension a thousand times as large; the file is sparse."""
    header, at = header_of(path.read_bytes()), 0
    for info in header.values():
        info["shape"] = [n * 1000 for n in info["shape"]]
        size = 4
        for n in info["shape"]:
            size *= n
        info.update(dtype="F32", data_offsets=[at, at + size])
        at += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    try:
        os.truncate(path, 8 + len(text) + at)
    except (OSError, OverflowError):  # more than a file can have
        os.truncate(path, 1 << 43)


# In the place of a file, whatever it was.
SPECIAL: dict[str, Callable[[Path, random.Random], object]] = {
    "nothing": _put(b""),
    "random bytes": lambda path, rng: path.write_bytes(rng.randbytes(rng.choice((1, 7, 8, 9, 500)))),
    "a page": _put(b"<html>404</html>"),
    "GGUF": _put(b"GGUF\3\0\0\0" + b"\0" * 90),
    "a pointer of LFS": _put(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
    "a pickle": _pickle,
    "a pipe": _instead(os.mkfifo),
    "a folder": _instead(Path.mkdir),
    "a socket": _instead(_socket),
    "/dev/zero": _instead(lambda path: path.symlink_to("/dev/zero")),
    "/dev/tty": _instead(lambda path: path.symlink_to("/dev/tty")),
    "a link to itself": _instead(lambda path: path.symlink_to(path)),
    "a dangling link": _instead(lambda path: path.symlink_to(path.parent / "nowhere")),
    "gone": _instead(lambda path: None),
    "5 MB of spaces": _put(b"{" + b" " * 5_000_000 + b"}"),
    "an array": _put(b"[1, 2]"),
    "deep": _put(b'{"a":' * 50_000),
    "sparse": lambda path, rng: _sparse(path, rng) if path.suffix == ".safetensors" else _put(b"{}")(path, rng),
    "swollen": lambda path, rng: _swollen(path, rng) if path.suffix == ".safetensors" else _put(b"1")(path, rng),
}


def main(count: int, seed: int) -> int:
    """Run them all; exit code 1 if any is not as it should be."""
    originals()
    open_depth(originals() / "anything")
    outcome: Counter[str] = Counter()
    longest, before = ("", 0.0), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, case in cases(count, seed):
        begun = time.monotonic()
        try:
            outcome["right" if case() is None else "refused"] += 1
        except AssertionError as error:
            outcome["wrong"] += 1
            print(f"{name}: {error}")
        longest = max(longest, (name, time.monotonic() - begun), key=lambda x: x[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{dict(outcome)}; longest {longest[1]:.1f} s ({longest[0]}); memory {before >> 10} -> {peak >> 10} MB")
    return int(bool(outcome["wrong"]))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
