"""What has come of a file so far: one fetch at a time writes to it, never through a link, never beyond its size."""

import io
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

WAIT = 0.2  # seconds between two looks at another fetch's lock
NO_LINK = getattr(os, "O_NOFOLLOW", 0)  # Windows has none


class TooLong(Exception):
    """More came than the file has."""


@contextmanager
def one_at_a_time(path: Path, waits: Callable[[], None]) -> Iterator[None]:
    """Holds the lock `path` against every other process and thread; gone with the process that held it, by any end.

    waits() is called once where another one holds it. The lock is a file that is there only as long as it is needed.
    """
    from filelock import FileLock, Timeout  # huggingface_hub and torch bring it

    lock, told = FileLock(path), False
    while not lock.is_locked:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()
        try:
            lock.acquire(timeout=0)
            if not path.exists():  # taken away by the one who held it, between opening and locking
                lock.release()
        except Timeout:
            if not told:
                waits()
            told = True
            time.sleep(WAIT)
        except FileNotFoundError:
            pass  # the folder went with the fetch before this one
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps it until it is let go, and filelock takes it away there
            path.unlink()
        lock.release()


def come(path: Path, size: int) -> int:
    """Bytes of a file of `size` bytes that are at `path`; what cannot be its beginning is thrown away.

    That is whatever is longer, empty, or not a file of its own (a link, a name of another file, a pipe, a folder).
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return 0
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and 0 < found.st_size <= size:
        return found.st_size
    throw_away(path)
    return 0


def throw_away(path: Path):
    """Remove a file, a link (not what it points to), a pipe, or a folder and all below it; nothing there is right."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Part(io.FileIO):
    """A file to go on with where it ends, of at most `size` bytes: TooLong, and nothing written, beyond that."""

    def __init__(self, path: Path, size: int):
        new = 0 if come(path, size) else os.O_CREAT | os.O_EXCL
        super().__init__(path, "r+b", opener=lambda name, flags: os.open(name, flags | NO_LINK | new, 0o666))
        self.size = size
        self.seek(0, os.SEEK_END)

    def write(self, data) -> int:
        left = memoryview(data).cast("B")
        if self.tell() + len(left) > self.size:
            raise TooLong
        written = len(left)
        while left:  # a disk that fills up may take less than it is given
            left = left[super().write(left) :]
        return written
