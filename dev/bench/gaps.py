"""Seconds of the processor between two looks at Cancel, on one thread: python -m dev.bench gaps StackFuse -m 4 16.

Each case's pictures are made first; then the time from the start to the first look, between looks, and from the last
look to the end.
"""

import argparse
import math
import tempfile
import time
from pathlib import Path

import torch


def main():
    from . import looks

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nodes", nargs="*", help="all if none is named")
    parser.add_argument("-m", "--megapixels", type=float, nargs="+", default=[4.0, 16.0])
    parser.add_argument("-c", "--case", default="", help="only cases whose names hold this text")
    parser.add_argument("-s", "--seconds", type=float, default=math.inf, help="end each case after so many")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'seconds':>8s} {'of':>7s} {'looks':>6s}")
    with tempfile.TemporaryDirectory() as folder, looks.models(Path(folder)) as models:
        for megapixels in given.megapixels:
            height = round(math.sqrt(megapixels * 1e6 / 1.5))
            for node_id in given.nodes or looks.CASES:
                for case, make in looks.CASES[node_id].items():
                    if given.case not in case:
                        continue
                    inputs = make(height, round(height * 1.5))
                    inputs["model"] = models.get(inputs.get("model"), inputs.get("model"))
                    start = time.process_time()
                    with looks.counted(limit=given.seconds) as seen:
                        looks.run(node_id, {k: v for k, v in inputs.items() if v is not None})
                    took = time.process_time() - start
                    between = "   ->   ".join(seen.between)
                    found = f"{seen.worst:8.2f} {took:7.1f} {seen.count:6d}  {megapixels:g} MP {node_id}, {case}"
                    print(f"{found}:  {between}", flush=True)
            for made in (looks.scene, looks.noise, looks.frames):
                made.cache_clear()
