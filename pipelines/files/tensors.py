"""Safetensors files: the header by itself, then the tensors. Nothing else is opened, as other formats can run code.

The safetensors library holds shapes, types and places against the file's own bytes when it opens one; here that becomes
a sentence, and what it leaves open is closed: what is no file, how long a header is, how much is read.
"""

import math
import os
from dataclasses import dataclass

import torch
from torch import Tensor

from ..image.checks import RefocusError
from .regular import file_name, read_bytes, short, size_of_file

MOST_HEADER = 1 << 24  # bytes; FLUX.1 with all its layers has 0.1 MB
MOST_NUMBERS = 1 << 31  # in all tensors of a file; SVD's UNet has 1.5e9, the largest depth model 1.3e9
FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
AGAIN = "download it again"
# How files of other formats begin.
FORMATS = {
    b"PK\x03\x04": "a pickle, as .pt, .pth, .ckpt and .bin files are",
    b"\x80": "a pickle, as .pt, .pth, .ckpt and .bin files are",
    b"GGUF": "a GGUF file",
    b"\x89HDF": "an HDF5 file",
    b"<": "a page of the web",
    b"version https://git-lfs": "a pointer of Git LFS and not the file itself",
}


@dataclass(frozen=True)
class TensorInfo:
    """What a header says of a tensor: dtype in the format's own words (F32, BF16 ...), shape."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


def read_header(path: str | os.PathLike, get: str = AGAIN) -> dict[str, TensorInfo]:
    """{name: TensorInfo} of a safetensors file; no tensor is read.

    get: what to do about a file that is not one, for the sentence. Raises RefocusError for anything that is not a whole
    safetensors file, and for a header beyond the limit above.
    """
    with _opened(path, get, "numpy") as file:  # which needs no room for the tensors
        found = {}
        for name in file.keys():
            part = file.get_slice(name)
            found[name] = TensorInfo(str(part.get_dtype()), tuple(part.get_shape()))
        return found


def read_metadata(path: str | os.PathLike, get: str = AGAIN) -> dict[str, str]:
    """{name: text} that the header holds beside the tensors, empty where it holds none; raises as read_header."""
    with _opened(path, get, "numpy") as file:
        return dict(file.metadata() or {})


def read_tensors(path: str | os.PathLike, get: str = AGAIN, *, finite: bool = False) -> dict[str, Tensor]:
    """{name: tensor} of a safetensors file, on the CPU, in the types that it has.

    finite: refuse numbers that are not. Raises RefocusError as read_header does, and for a file of more than
    MOST_NUMBERS.
    """
    check_amount(read_header(path, get), file_name(path))
    with _opened(path, get) as file:
        found = {name: file.get_tensor(name) for name in file.keys()}
    if finite:
        for t in found.values():
            if t.is_floating_point() and not torch.isfinite(t if t.element_size() > 1 else t.float()).all():
                raise RefocusError(
                    f"{file_name(path)} holds values that are not numbers (NaN or infinite), but finite ones are "
                    "needed: download it again."
                )
    return found


def check_amount(header: dict[str, TensorInfo], name: str):
    """RefocusError where the tensors are more than any model here has; name: of the file."""
    numbers = sum(info.numbers for info in header.values())
    if numbers > MOST_NUMBERS:
        raise RefocusError(
            f"{name} holds {numbers:,} numbers, but at most {MOST_NUMBERS:,} are possible: choose another file."
        )


def check_floats(header: dict[str, TensorInfo], name: str):
    """RefocusError where a tensor holds anything but floating-point numbers; name: of the file."""
    other = next((info.dtype for info in header.values() if info.dtype not in FLOATS), None)
    if other:
        raise RefocusError(
            f"{name} holds tensors of the type {other}, but one of {', '.join(FLOATS)} is needed: choose the file as "
            "it was published."
        )


class _opened:
    """safe_open, with each of its errors as a sentence."""

    def __init__(self, path, get: str, framework: str = "pt"):
        self.path, self.get, self.framework = path, get, framework

    def __enter__(self):
        from safetensors import safe_open

        _check_start(self.path, self.get)
        try:
            self.file = safe_open(self.path, framework=self.framework)
            return self.file.__enter__()
        except Exception as error:
            raise _unreadable(self.path, short(error), self.get) from error

    def __exit__(self, kind, error, trace):
        self.file.__exit__(kind, error, trace)
        if isinstance(error, Exception) and not isinstance(error, RefocusError):
            raise _unreadable(self.path, short(error), self.get) from error


def _check_start(path, get: str):
    """The first bytes: a header of a possible length, and no other format."""
    size, start = size_of_file(path), read_bytes(path, 32)
    length = int.from_bytes(start[:8], "little")
    if size >= 8 and length <= min(size - 8, MOST_HEADER) and start[8:9] == b"{":
        return
    kind = next((kind for begin, kind in FORMATS.items() if start.startswith(begin)), None)
    if kind:
        why = f"it is {kind}; other formats can run code"
    elif size < 8:
        why = "it is cut off" if size else "it is empty"
    elif length <= min(size - 8, MOST_HEADER):
        why = "its header is no JSON object"
    else:
        why = f"its header would have {length:,} of {size:,} bytes"
    raise _unreadable(path, why, get)


def _unreadable(path, why: str, get: str) -> RefocusError:
    return RefocusError(
        f"{file_name(path)} cannot be read as a safetensors file ({why}), but a whole one is needed: {get}."
    )
