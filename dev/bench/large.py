"""Memory and time of a large picture: python -m dev.bench large --width 8192 --height 5464 --radius 150."""

import argparse
import time

import torch
import torch.nn.functional as F

from rackfocus.pipelines.optical import SAMPLES, render_bokeh
from rackfocus.pipelines.optics import DefocusMap

from .stack import Peak, memory

GIB = 2**30


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--width", type=int, default=8192)
    options.add_argument("--height", type=int, default=5464)
    options.add_argument("--radius", type=float, default=150.0)
    options.add_argument("--quality", choices=list(SAMPLES), default="fast")
    o = options.parse_args()
    g = torch.Generator().manual_seed(0)
    image = torch.rand(1, o.height // 8, o.width // 8, 3, generator=g).repeat_interleave(8, 1).repeat_interleave(8, 2)
    depth = torch.rand(1, 1, 8, 12, generator=g) * 2 - 1
    defocus = DefocusMap(F.interpolate(depth, image.shape[1:3], mode="nearest")[:, 0] * o.radius)
    shown = [0]

    def progress(done, total):
        if 10 * done // total > shown[0]:
            shown[0] = 10 * done // total
            print(f"  {10 * shown[0]} %", flush=True)

    held, start = memory()[0], time.perf_counter()
    with Peak() as peak:
        out = render_bokeh(image, defocus, quality=o.quality, progress=progress)
    megapixels = image.shape[1] * image.shape[2] / 1e6
    above = peak.resident - held - out.nbytes
    print(
        f"{image.shape[2]} x {image.shape[1]}, radius {o.radius:g}, {o.quality}: {above / GIB:.2f} GiB above input "
        f"and output, {(time.perf_counter() - start) / megapixels:.2f} s per megapixel"
    )
