"""The frames of a stack, read window by window, aligned as they are read."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ...image.checks import RefocusError, check_image, cut, size_of
from ...image.light import decode_srgb, encode_srgb
from ...image.progress import look
from .warp import REACH, Pose, coordinates, inside, place, sample_sharply

HALF = 65504.0  # the largest 16-bit float


@dataclass(frozen=True)
class Stack:
    """frames [N, H, W, 3] sRGB of any float type, in memory or mapped from a file; poses: one a frame, or none."""

    frames: Tensor
    poses: list[Pose] = field(default_factory=list)

    def __len__(self) -> int:
        return self.frames.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.frames.shape[1:3]
        return height, width

    def read(self, i: int, window: tuple[slice, slice]) -> tuple[Tensor, Tensor | None]:
        """([3, h, w] float32, [h, w] 1 where frame i covers the window or None where it covers all of it)."""
        if not self.poses:
            rows, columns = window
            return self.frames[i, rows, columns].movedim(-1, 0).float(), None
        pose, (height, width) = self.poses[i], self.size
        q = place(coordinates(*window, height, width, self.frames.device), pose, height, width)
        cut = []
        for axis, size in ((1, height), (0, width)):
            a = int((q[axis].min() + (size - 1) / 2).floor()) - REACH
            b = int((q[axis].max() + (size - 1) / 2).ceil()) + REACH + 1
            cut.append(slice(min(max(a, 0), size - 1), min(max(b, 1), size)))
        source = self.frames[i, cut[0], cut[1]].movedim(-1, 0).float()
        x = sample_sharply(source, q, height, width, (cut[0].start, cut[1].start)).clamp(0, 1)
        if pose.gain != 1:
            x = encode_srgb(decode_srgb(x) * pose.gain)
        return x, inside(q, height, width)


def gather_frames(frames: Tensor | Iterable[Tensor]) -> Tensor:
    """A batch [N, H, W, 3] as it is; an iterable of frames [H, W, 3] or batches [n, H, W, 3] one by one into a
    temporary file (16-bit floats, 6 bytes a pixel) that is mapped, so that the stack need not fit into memory.

    Raises RefocusError on anything else, on frames of different sizes, and on values that are not finite.
    """
    if isinstance(frames, Tensor) or isinstance(frames, str) or not isinstance(frames, Iterable):
        return check_image(frames, "frames")
    with _room():
        spool = tempfile.TemporaryFile()
    try:
        size, count = None, 0
        for frame in frames:
            look()
            one = frame[None] if isinstance(frame, Tensor) and frame.ndim == 3 else frame
            one = check_image(one, f"frame {count}")
            if size not in (None, one.shape[1:]):
                raise RefocusError(
                    f"frame {count} is {size_of(one[0])} and those before it are "
                    f"{' x '.join(map(str, size))}, but one size is needed: resize the frames."
                )
            with _room(f"frame {count} of "):
                spool.write(one.clamp(-HALF, HALF).half().cpu().contiguous().numpy().data)
            size, count = one.shape[1:], count + one.shape[0]
        if size is None:
            raise RefocusError("frames is empty, but at least one picture is needed: check the node that makes it.")
        with _room():
            spool.flush()
            mapped = np.memmap(spool, dtype=np.float16, mode="c", shape=(count, *size))
    finally:
        with suppress(OSError):  # what a full disk did not take is not written now either
            spool.close()
    return torch.from_numpy(mapped)


@contextmanager
def _room(what: str = "") -> Iterator[None]:
    """An error of the temporary file is one sentence."""
    try:
        yield
    except OSError as error:
        where = f" {cut(tempfile.tempdir)}" if isinstance(tempfile.tempdir, str) else ""
        raise RefocusError(
            f"{what}the stack cannot be kept in the temporary folder{where} ({cut(error.strerror or str(error))}): "
            "free some space there, name another folder in the variable TMPDIR, or fuse fewer frames."
        ) from error
