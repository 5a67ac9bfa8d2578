"""Large stacks: tiles without seams, frames that stream, cancel in time."""

import errno
import tempfile

import pytest
import torch
import torch.nn.functional as F

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.image.tiles import tiles
from rackfocus.pipelines.optical.stacking import METHODS, fuse, fuse_stack
from rackfocus.tests.pictures import random


def frames(n=3, h=104, w=152, seed=0):
    coarse = F.interpolate(random(n, 3, h // 8, w // 8, seed=seed), (h, w), mode="bilinear")
    return (coarse * 0.7 + 0.3 * random(n, 3, h, w, seed=seed + 1)).movedim(1, -1)


def alike(a, b):
    for name, tolerance in (("image", 1e-4), ("confidence", 1e-4), ("order", 1e-3)):
        assert (getattr(a, name) - getattr(b, name)).abs().max() < tolerance


@pytest.mark.parametrize("method", METHODS)
def test_no_seam_between_tiles(method, monkeypatch):
    whole = fuse_stack(frames(), method=method)
    monkeypatch.setattr(fuse, "TILE_FLOATS", 3 * 3 * 128 * 128)
    assert len(tiles(104, 152, halo=fuse.HALO, area=128 * 128)) == 6
    alike(fuse_stack(frames(), method=method), whole)


def test_no_seam_between_aligned_tiles(monkeypatch):
    stack = frames(1).expand(3, -1, -1, -1) * torch.tensor([1, 0.98, 0.96]).view(3, 1, 1, 1)
    whole = fuse_stack(stack, align=True)
    monkeypatch.setattr(fuse, "TILE_FLOATS", 3 * 3 * 128 * 128)
    again = fuse_stack(stack, align=True)
    alike(again, whole)
    monkeypatch.undo()
    repeated = fuse_stack(stack, align=True)
    assert torch.equal(repeated.image, whole.image) and torch.equal(repeated.order, whole.order)


def test_frames_may_stream():
    stack = frames()
    held = []

    def one_by_one():
        for f in stack:
            held.append(1)
            yield f

    streamed = fuse_stack(one_by_one(), method="depth")
    assert len(held) == 3
    assert (streamed.image - fuse_stack(stack, method="depth").image).abs().mean() < 1e-3


class FullDisk:
    """A temporary file on which a call fails, as the others then do on closing."""

    def __init__(self, fails: str):
        self.fails, self.closed = fails, False

    def _call(self, name):
        if name == self.fails:
            raise OSError(errno.ENOSPC, "No space left on device")

    def write(self, data):
        self._call("write")

    def flush(self):
        self._call("flush")

    def close(self):
        self.closed = True
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("fails", ["write", "flush"])
def test_a_disk_that_gets_full_is_one_sentence(monkeypatch, fails):
    file = FullDisk(fails)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: file)
    with pytest.raises(
        RefocusError, match=r"cannot be kept in the temporary folder .*No space left.*fewer frames"
    ) as e:
        fuse_stack(iter(frames()))
    assert len(str(e.value)) < 300 and file.closed


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), FileNotFoundError("No usable folder")])
def test_a_temporary_folder_that_cannot_be_written_is_one_sentence(monkeypatch, error):
    def refuse():
        raise error

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(RefocusError, match=rf"the stack cannot be kept .*{error.args[-1]}.*TMPDIR"):
        fuse_stack(iter(frames()))


def test_an_error_of_whoever_reads_the_frames_is_his_own():
    def broken():
        yield torch.zeros(8, 8, 3)
        raise FileNotFoundError("frame_2.png")

    with pytest.raises(FileNotFoundError, match="frame_2"):
        fuse_stack(broken())


def test_streamed_light_beyond_16_bits_stays_finite():
    fused = fuse_stack([torch.full((8, 9, 3), 2e5), torch.rand(8, 9, 3, generator=torch.Generator().manual_seed(0))])
    assert fused.image.isfinite().all()


def test_streamed_frames_are_checked():
    with pytest.raises(RefocusError, match=r"8 x 9 x 3 .* 8 x 8 x 3, but one size"):
        fuse_stack([torch.zeros(8, 8, 3), torch.zeros(8, 9, 3)])
    with pytest.raises(RefocusError, match="empty"):
        fuse_stack([])
    with pytest.raises(RefocusError, match="NaN"):
        fuse_stack([torch.full((8, 8, 3), float("nan"))])


@pytest.mark.parametrize("align", [False, True])
def test_progress_comes_often_and_ends_at_its_total(align, monkeypatch):
    """After each frame of each pass and tile, and many times within a registration."""
    monkeypatch.setattr(fuse, "TILE_FLOATS", 3 * 3 * 128 * 128)
    seen = []
    fuse_stack(frames(), align=align, progress=lambda done, total: seen.append((done, total)))
    steps = 3 * (1 + 6 + align) + 6  # frames x (first pass, tiles, registration), and each tile's fusion
    assert {total for _, total in seen} == {steps}
    done = [d for d, _ in seen]
    assert sorted(set(done)) == list(range(steps + 1)) and done == sorted(done)
    if align:
        assert done.count(1) > 5 and done.count(2) > 5  # while the second and the third frame are registered
