"""Memory and time of focus stacking on a stack that streams: python -m dev.bench stack --frames 100 --megapixels 24.

Frames are made one at a time as they are asked for. Memory of its own is what the process cannot give back; pages of
the temporary file, in which the frames wait, are resident too, but the system drops them at will.
"""

import argparse
import math
import multiprocessing
import threading
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from rackfocus.pipelines.optical.stacking import METHODS, fuse_stack

MB = 2**20


def frames(count: int, height: int, width: int):
    """Upright strips, strip k in focus in frame k: fine noise there, and the same noise blurred elsewhere."""
    tile = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    soft = F.avg_pool2d(F.pad(tile, (4, 4, 4, 4), mode="circular"), 9, 1)
    rows, columns = torch.arange(height) % 512, torch.arange(width)
    for i in range(count):
        sharp = columns * count // width == i
        frame = torch.empty(height, width, 3)
        frame[:, ~sharp] = soft[0][:, rows][:, :, columns[~sharp] % 512].movedim(0, -1)
        frame[:, sharp] = tile[0][:, rows][:, :, columns[sharp] % 512].movedim(0, -1)
        yield frame


class Peak:
    """The most memory the process held while it ran, looked up fifty times a second: resident, and of its own."""

    def __enter__(self):
        self.resident = self.own = 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def _watch(self):
        while not self.done.wait(0.02):
            resident, own = memory()
            self.resident, self.own = max(self.resident, resident), max(self.own, own)


def memory() -> tuple[int, int]:
    """Bytes: resident, and resident that belong to no file (Linux)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(status[key].split()[0]) * 1024 for key in ("VmRSS", "RssAnon"))


def measure(count: int, megapixels: float, method: str, align: bool):
    height = round(math.sqrt(megapixels * 1e6 / 1.5))
    width = round(height * 1.5)
    one = height * width * 3 * 4
    fuse_stack(frames(2, 64, 96), method=method, align=align)  # libraries load before the baseline is taken
    (resident, own), start = memory(), time.perf_counter()
    with Peak() as peak:
        fuse_stack(frames(count, height, width), method=method, align=align)
    took = time.perf_counter() - start
    print(
        f"{count} frames of {width} x {height}, {method}{', aligned' if align else ''}; one frame is "
        f"{one / MB:.0f} MB. Peak above baseline: {(peak.own - own) / MB:.0f} MB of its own, "
        f"{(peak.own - own) / one:.1f} frames; resident with pages of the temporary file "
        f"{(peak.resident - resident) / MB:.0f} MB. {took / count:.2f} s a frame.",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[100])
    parser.add_argument("--megapixels", type=float, default=24)
    parser.add_argument("--method", choices=METHODS, default="pyramid")
    parser.add_argument("--align", action="store_true")
    a = parser.parse_args()
    for count in a.frames:  # each in a process of its own, whose memory nothing before it has touched
        work = multiprocessing.get_context("spawn").Process(
            target=measure, args=(count, a.megapixels, a.method, a.align)
        )
        work.start()
        work.join()
        if work.exitcode:
            raise SystemExit(work.exitcode)
