"""Large stacks: tiles without seams, frames that stream, cancel in time."""

import time
from itertools import pairwise

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optical.stacking import METHODS, fuse, fuse_stack


def frames(n=3, h=200, w=264, seed=0):
    g = torch.Generator().manual_seed(seed)
    coarse = torch.nn.functional.interpolate(torch.rand(n, 3, h // 8, w // 8, generator=g), (h, w), mode="bilinear")
    return (coarse * 0.7 + 0.3 * torch.rand(n, 3, h, w, generator=g)).movedim(1, -1)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_no_seam_between_tiles(method, align, monkeypatch):
    stack = frames(1).expand(3, -1, -1, -1) * torch.tensor([1, 0.98, 0.96]).view(3, 1, 1, 1) if align else frames()
    whole = fuse_stack(stack, method=method, align=align)
    monkeypatch.setattr(fuse, "TILE_FLOATS", 3 * 3 * 128 * 128)
    seen = []
    cut = fuse_stack(stack, method=method, align=align, progress=lambda done, total: seen.append(total))
    assert len(seen) > 30
    for name in ("image", "confidence"):
        assert (getattr(whole, name) - getattr(cut, name)).abs().max() < 1e-4
    assert (whole.order - cut.order).abs().max() < 1e-3


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


def test_streamed_frames_are_checked():
    with pytest.raises(RefocusError, match="one size"):
        fuse_stack([torch.rand(8, 8, 3), torch.rand(8, 9, 3)])
    with pytest.raises(RefocusError, match="empty"):
        fuse_stack([])
    with pytest.raises(RefocusError, match="NaN"):
        fuse_stack([torch.full((8, 8, 3), float("nan"))])


def test_result_repeats_itself():
    stack = frames()
    a, b = fuse_stack(stack, align=True), fuse_stack(stack, align=True)
    assert torch.equal(a.image, b.image) and torch.equal(a.order, b.order)


def test_progress_comes_often():
    stack = frames(4, 720, 1280)
    times = [time.perf_counter()]
    fuse_stack(stack, align=True, progress=lambda done, total: times.append(time.perf_counter()))
    longest = max(b - a for a, b in pairwise(times))
    assert longest < max(1.0, 0.4 * (times[-1] - times[0]))
