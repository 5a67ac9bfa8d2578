"""Only ordinary files are opened: a pipe would wait for ever, a device might never end."""

import os
import stat

from ..image.checks import RefocusError, cut

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# What a library raises when it is given something that nobody thought of; running out of memory is none of them.
SURPRISES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)


def file_name(path: str | os.PathLike) -> str:
    """The last part of a path, as a sentence may hold it."""
    return cut(os.path.basename(os.path.normpath(os.fspath(path))), 80)


def short(error: BaseException) -> str:
    """An error's type and the beginning of what it says."""
    return cut(f"{type(error).__name__}: {error}", 120)


def size_of_file(path: str | os.PathLike) -> int:
    """Bytes of an ordinary file, reached over links too. RefocusError for anything else, and where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        raise RefocusError(
            f"{file_name(path)} cannot be read ({short(error)}), but the file is needed: put it there again."
        ) from error
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "no ordinary file")
        raise RefocusError(f"{file_name(path)} is {kind}, but an ordinary file is needed: put it in its place.")
    return found.st_size


def read_bytes(path: str | os.PathLike, most: int) -> bytes:
    """The first `most` bytes of an ordinary file."""
    size_of_file(path)
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError as error:
        raise RefocusError(
            f"{file_name(path)} cannot be read ({short(error)}), but it is needed: look at its rights, or fetch it "
            "again."
        ) from error
