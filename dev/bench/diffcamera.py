"""Seconds a step of DiffCamera on random FLUX-shaped weights, in one run: python -m dev.bench diffcamera [--help].

With the conditions' keys and values kept from the first step, with all computed at every step, and plain FLUX without
conditions.
"""

import argparse
import statistics

import torch

from ..tiny import native_flux as native  # first: it puts the host's modules in reach
from .genfocus import seconds

ROUNDS = 3


def passes(hidden, double, single, side, device, dtype):
    """{name: a function that runs one pass}: side x side tokens, reference and geometry, 64 text tokens, rank 64."""
    from diffusers import FluxTransformer2DModel

    from rackfocus.dev.tiny.diffcamera import tiny_aim, tiny_checkpoint
    from rackfocus.nodes.diffcamera.prepare import attach
    from rackfocus.nodes.flux.memory import Memories

    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        transformer = FluxTransformer2DModel(
            num_layers=double, num_single_layers=single, guidance_embeds=True, num_attention_heads=hidden // 128
        ).eval()
        noise, *grids = torch.randn(3, 1, side, side, 64)
        text, pooled = torch.randn(1, 64, 4096), torch.randn(1, 768)
    torch.set_default_dtype(torch.float32)
    checkpoint, model = tiny_checkpoint(transformer, rank=64), native.stock_model(transformer)
    (patcher,) = native.patchers([checkpoint.lora], transformer)
    patcher.model.to(device, dtype)
    memories = Memories(room=1 << 40)

    def run(memories):
        clone = attach(
            model, checkpoint, patcher, tiny_aim(1), (16 * side, 16 * side), 2, tiling="off", memories=memories
        )
        return lambda: native.velocity(clone, noise, grids, text, pooled, 0.5, 1.0)

    return {
        "plain FLUX, no conditions": lambda: native.velocity(model, noise, [], text, pooled, 0.5, 1.0),
        "conditions kept": run(memories),
        "conditions computed": run(None),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--double", type=int, default=1)
    parser.add_argument("--single", type=int, default=2)
    parser.add_argument("--side", type=int, default=32, help="tokens along a side")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    given = parser.parse_args()
    with torch.inference_mode():
        runs = passes(given.hidden, given.double, given.single, given.side, given.device, getattr(torch, given.dtype))
        took = {name: [] for name in runs}
        for i in range(ROUNDS + 1):  # the first warms up, and fills what is kept
            for name, run in runs.items():
                s = seconds(run, given.device)
                took[name] += [s] if i else []
    base = took["conditions computed"]
    print(
        f"{given.side**2} tokens, reference and geometry, hidden {given.hidden}, {given.double} + {given.single} "
        f"blocks, {given.dtype} on {given.device}"
    )
    for name, found in took.items():
        ratios = [a / b for a, b in zip(found, base, strict=True)]
        median = statistics.median(found)
        print(
            f"  {name:28s} {median:8.3f} s   {median / statistics.median(base):5.2f}   "
            f"by round {min(ratios):.2f} to {max(ratios):.2f}"
        )
    tokens, blocks = 2 * given.side**2 + 1, given.double + given.single
    size = torch.empty(0, dtype=getattr(torch, given.dtype)).element_size()
    print(f"  kept: {2 * blocks * tokens * given.hidden * size / 2**20:.0f} MiB")
    print(f"  of FLUX.1-dev in bf16 at this size: {2 * 57 * tokens * 3072 * 2 / 2**20:.0f} MiB")
