"""Measure a trained model on scenes that it has not seen: a table in Markdown and a contact sheet.

    validate --checkpoint run/model.safetensors --out report                 procedural scenes (small alone)
    validate --checkpoint run/model.safetensors --data shards --flux FLUX.1-dev --out report

PSNR and SSIM against the photos that were asked for; LPIPS and DISTS where torchmetrics is installed; how often the
plane that was asked for is the sharper one; by how much planes differ where they must not; all with depth given,
missing and broken. Then blur added to a sharp picture, everything in focus, and a sweep of blur.
"""

import argparse
from pathlib import Path

import torch

from ..pipelines.image.checks import RefocusError, check_whole
from . import flux
from .data import UNSEEN, VALIDATION, Procedural, Shards
from .evaluate import STEPS, evaluate, write_picture
from .models import read_model
from .mosaic import PLANES
from .small import Small
from .state import whole

SUMMARY = "measure a trained model"
TABLE, SHEET = "report.md", "sheet.png"


def arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add = parser.add_argument
    add("--out", required=True, help="folder for report.md and sheet.png")
    add(
        "--data", help="folder of shards, of which those held out are taken; without it procedural scenes (small alone)"
    )
    add("--scenes", type=int, default=64, help="how many (default %(default)s)")
    add("--planes", type=int, default=PLANES, help="photos of each (default %(default)s)")


def add_model(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--checkpoint", required=True, help="model.safetensors of a run")
    add("--flux", type=Path, help="diffusers' folder of FLUX.1-dev, for a model that was trained on it")
    add("--base", choices=flux.BASES, default=flux.BF16, help="its type (default %(default)s)")
    add("--steps", type=int, default=STEPS, help="of the sampler (default %(default)s)")
    add("--seed", type=int, default=0, help="of the noise (default %(default)s)")
    add("--threads", type=int, default=0, help="of the CPU, 0 = as torch likes")


def open_model(given: argparse.Namespace):
    """(model, longer side of its pictures)"""
    check_whole("--steps", given.steps, 1, 1000)
    if given.threads:
        torch.set_num_threads(given.threads)
    device = "cuda" if given.flux and torch.cuda.is_available() else "cpu"
    return read_model(Path(given.checkpoint), given.flux, given.base, device)


def run(given: argparse.Namespace) -> int:
    model, side = open_model(given)
    random = torch.Generator().manual_seed(given.seed)
    check_whole("--scenes", given.scenes, 1)
    if given.data:
        data = Shards(Path(given.data), VALIDATION)
        batch = data.batch(range(min(given.scenes, len(data))), given.planes, random)
    elif isinstance(model, Small):
        batch = Procedural(given.scenes, side, first=UNSEEN).batch(range(given.scenes), given.planes, random)
    else:
        raise RefocusError("a model on FLUX is measured on shards: give the folder that simulate wrote with --data.")

    def progress(done: int, total: int) -> None:
        print(f"\r{done} of {total}", end="", flush=True)

    report = evaluate(model, batch, steps=given.steps, seed=given.seed, progress=progress)
    table = report.markdown()
    out = Path(given.out)
    with whole(out / TABLE) as temporary:
        temporary.write_text(table, encoding="utf-8")
    write_picture(out / SHEET, report.sheet)
    print(f"\r{table}")
    return 0
