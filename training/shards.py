"""WebDataset shards: tar files of examples, the same bytes for the same examples, read back bit for bit.

    <key>-<variant>.aif.png             the all-in-focus picture; 8 bits, as all pictures
    <key>-<variant>.disparity.png       16 bits
    <key>-<variant>.source.png          the photo that is given
    <key>-<variant>.target0.png ...     those that are asked for
    <key>-<variant>.source_sharp.png, <key>-<variant>.target0_sharp.png ...    1 bit: where they equal the aif
    <key>-<variant>.json                focus, point and blur of each photo; the lens
    __end__                             JSON: how many examples, and what was left out. WebDataset passes it over

A shard has its name only when it is whole: it is written under another one, and renamed. Whoever copies it may still
cut it off: a shard without __end__ is refused.
"""

import errno
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..pipelines.image.checks import RefocusError, cut
from .example import Example, Photo

END = "__end__"
VERSION = 1
LONGEST = 150  # characters of a path in a sentence
_FULL = {errno.ENOSPC, errno.EDQUOT}
_COMPRESSION = 3  # of zlib: 6 takes twice the time for some percent


class ShardWriter:
    """An open shard; `end` is called last."""

    def __init__(self, tar: tarfile.TarFile):
        self._tar, self._count = tar, 0

    def add(self, example: Example) -> None:
        name = f"{example.key}-{example.variant:02d}"
        photos = {"source": example.source, **{f"target{i}": p for i, p in enumerate(example.targets)}}
        self._file(f"{name}.aif.png", _png(_bytes(example.aif)))
        self._file(f"{name}.disparity.png", _png((example.disparity * 65535).round().numpy().astype(np.uint16)))
        for place, photo in photos.items():
            self._file(f"{name}.{place}.png", _png(_bytes(photo.image)))
            self._file(f"{name}.{place}_sharp.png", _png(photo.sharp.numpy()))
        about = {
            "version": VERSION,
            "key": example.key,
            "variant": example.variant,
            "lens": example.lens,
            "photos": {k: {"focus": p.focus, "point": list(p.point), "blur": p.blur} for k, p in photos.items()},
        }
        self._file(f"{name}.json", json.dumps(about).encode())
        self._count += 1

    def end(self, report: dict) -> dict:
        """Write __end__; returns what it tells."""
        report = {"version": VERSION, "examples": self._count, **report}
        self._file(END, json.dumps(report).encode())
        return report

    def _file(self, name: str, content: bytes) -> None:
        info = tarfile.TarInfo(name)  # no time and no owner: the same bytes on any day and machine
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))


@contextmanager
def writing(path: Path) -> Iterator[ShardWriter]:
    """A shard that gets its name when all went well, and else leaves nothing behind. RefocusError for a full disk."""
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with open(handle, "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                yield ShardWriter(tar)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise no_room(path, error) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def no_room(path: Path, error: OSError) -> RefocusError:
    """What to say when a file cannot be written."""
    if error.errno in _FULL:
        return RefocusError(
            f"the disk is full: {cut(str(path), LONGEST)} could not be written, and nothing half-written is left; make "
            "room and give the same command again, it goes on from there."
        )
    said = error.strerror or str(error)
    return RefocusError(
        f"{cut(str(path), LONGEST)} cannot be written ({cut(said, 100)}), but a folder that can be is needed: look at "
        "its rights."
    )


def sweep(folder: Path, names: list[str]) -> None:
    """Take away what killed processes left of these shards."""
    for name in names:
        for part in folder.glob(f".{name}.*.part"):
            part.unlink(missing_ok=True)


def shards_in(folder: Path, split: str) -> list[Path]:
    """The shards of a folder for "train" or "val", in order. RefocusError where there is none."""
    found = sorted(folder.glob(f"{split}-*.tar"))
    if not found:
        raise RefocusError(
            f"{cut(str(folder), LONGEST)} holds no shard {split}-000000.tar, but at least one is needed: give the "
            "--out of simulate."
        )
    return found


def report_of(path: Path) -> dict:
    """What __end__ tells: {"examples": count, ...}. RefocusError for a shard that is cut off, or is none."""
    with _opened(path) as tar:
        return _report(path, tar)


Members = dict[str, tuple[int, int]]  # {kind: (first byte, bytes)} of one example in its shard


def index_shard(path: Path) -> list[tuple[Path, Members]]:
    """Where its examples lie, in order. RefocusError for a shard that is cut off or of a newer version."""
    with _opened(path) as tar:
        report = _report(path, tar)
        if report["version"] > VERSION:
            raise RefocusError(
                f"{cut(str(path), LONGEST)} has version {report['version']}, but this Rackfocus reads up to {VERSION}: "
                "update it."
            )
        samples: dict[str, Members] = {}
        for member in tar.getmembers()[:-1]:
            name, _, kind = member.name.partition(".")
            samples.setdefault(name, {})[kind] = member.offset_data, member.size
        return [(path, members) for members in samples.values()]


def read_shard(path: Path) -> Iterator[Example]:
    """Its examples in order. RefocusError, before the first, for a shard that is cut off or of a newer version."""
    for place in index_shard(path):
        yield read_example(*place)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with open(path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            yield tar
    except (tarfile.TarError, EOFError, KeyError, SyntaxError) as error:
        raise _cut_off(path) from error
    except OSError as error:
        if error.errno is None:  # Pillow's word for a picture that is cut off
            raise _cut_off(path) from error
        said = error.strerror or str(error)
        raise RefocusError(
            f"{cut(str(path), LONGEST)} cannot be read ({cut(said, 100)}), but a shard made by simulate is needed: "
            "look at the path and its rights."
        ) from error


def _report(path: Path, tar: tarfile.TarFile) -> dict:
    members = tar.getmembers()  # reads the headers, and passes over what lies between
    file = tar.extractfile(members[-1]) if members and members[-1].name == END else None
    try:
        report = json.loads(file.read()) if file else None
    except ValueError:
        report = None
    if not isinstance(report, dict) or not isinstance(report.get("version"), int):
        raise _cut_off(path)
    return report


def _cut_off(path: Path) -> RefocusError:
    return RefocusError(
        f"{cut(str(path), LONGEST)} is cut off, or no shard made by simulate, but a whole one is needed: copy it "
        "again, or delete it and give the command that made it once more."
    )


def read_example(path: Path, members: Members) -> Example:
    """One that index_shard found. RefocusError where the shard is no longer what it was."""
    try:
        with open(path, "rb") as file:
            return _example(file, members)
    except (EOFError, KeyError, SyntaxError, ValueError) as error:
        raise _cut_off(path) from error
    except OSError as error:
        if error.errno is None:  # Pillow's word for a picture that is cut off
            raise _cut_off(path) from error
        said = error.strerror or str(error)
        raise RefocusError(
            f"{cut(str(path), LONGEST)} cannot be read ({cut(said, 100)}), but a shard made by simulate is needed: "
            "look at the path and its rights."
        ) from error


def _example(file: BinaryIO, members: Members) -> Example:
    def read(kind: str) -> bytes:
        start, size = members[kind]
        file.seek(start)
        return file.read(size)

    def picture(kind: str) -> np.ndarray:
        return np.array(Image.open(io.BytesIO(read(f"{kind}.png"))))

    about = json.loads(read("json"))
    photos = [
        Photo(
            torch.from_numpy(picture(place)).float() / 255,
            told["focus"],
            tuple(told["point"]),
            told["blur"],
            torch.from_numpy(picture(f"{place}_sharp").astype(bool)),
        )
        for place, told in about["photos"].items()
    ]
    aif = torch.from_numpy(picture("aif")).float() / 255
    disparity = torch.from_numpy(picture("disparity").astype(np.float32)) / 65535
    return Example(about["key"], about["variant"], aif, disparity, photos[0], photos[1:], about["lens"])


def _bytes(image: Tensor) -> np.ndarray:
    return (image * 255).round().byte().numpy()


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=_COMPRESSION)
    return file.getvalue()
