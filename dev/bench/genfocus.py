"""Seconds a step of Genfocus on random FLUX-shaped weights, in one run: python -m dev.bench genfocus [--help].

Native, the reference branch by branch, and one plain FLUX pass over as many tokens as native's branches have.
"""

import argparse
import statistics
import time

import torch

from ..tiny import native_flux as native  # first: it puts the host's modules in reach

ROUNDS = 3


def passes(hidden, double, single, side, device, dtype):
    """{name: a function that runs one pass}: side x side tokens, two conditions, 512 text tokens, LoRA of rank 64."""
    from diffusers import FluxTransformer2DModel

    from rackfocus.nodes.genfocus.prepare import attach
    from rackfocus.pipelines.genfocus import BOKEH, LowRank, architecture_of, conditions, velocity

    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        transformer = FluxTransformer2DModel(
            num_layers=double, num_single_layers=single, guidance_embeds=True, num_attention_heads=hidden // 128
        ).eval()
        lora = {
            m: LowRank(torch.randn(64, a) * 0.01, torch.randn(b, 64) * 0.01)
            for m, (a, b) in architecture_of(transformer).lora_layers().items()
        }
        noise, *grids = torch.randn(3, 1, side, side, 64)
        wide, text, pooled = torch.randn(1, side, 3 * side, 64), torch.randn(1, 512, 4096), torch.randn(1, 768)
    torch.set_default_dtype(torch.float32)
    model = native.stock_model(transformer)
    clone = attach(model, BOKEH, native.patchers([lora], transformer), "off")
    branches = conditions(BOKEH, grids, [lora])
    return {
        "plain FLUX, as many tokens": lambda: native.velocity(model, wide, [], text, pooled, 0.5, 1.0),
        "native": lambda: native.velocity(clone, noise, grids, text, pooled, 0.5, 1.0),
        "reference": lambda: velocity(transformer, noise, branches, text, pooled, 0.5, 1.0),
    }


def seconds(run, device):
    """Of the processor on the CPU, where others may be at work too; of the clock on a GPU."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


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
        for i in range(ROUNDS + 1):  # the first warms up; taking turns, noise of the machine falls on all alike
            for name, run in runs.items():
                s = seconds(run, given.device)
                took[name] += [s] if i else []
    base = statistics.median(took["plain FLUX, as many tokens"])
    print(
        f"{given.side**2} tokens, two conditions, hidden {given.hidden}, {given.double} + {given.single} blocks, "
        f"{given.dtype} on {given.device}"
    )
    for name, found in took.items():
        median = statistics.median(found)
        ratios = [a / b for a, b in zip(found, took["plain FLUX, as many tokens"], strict=True)]
        print(f"  {name:28s} {median:8.3f} s   {median / base:5.2f}   by round {min(ratios):.2f} to {max(ratios):.2f}")
    if given.device == "cuda":
        print(f"  peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB (three models' weights together)")
