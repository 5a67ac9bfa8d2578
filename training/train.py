"""Train a model on scenes: the small one in minutes on a laptop, or DiffCamera's parameters on FLUX.1-dev.

    train --model small --out run                              procedural scenes, made at the start
    train --model flux --data shards --flux FLUX.1-dev --out run

A run can be stopped at any moment: the same command goes on from its last state. For several GPUs start it by
`accelerate launch -m rackfocus.training train ...` or `torchrun -m rackfocus.training train ...`.
The result is model.safetensors, the moving average of the parameters.
"""

import argparse
import os
from dataclasses import fields
from pathlib import Path

import torch

from ..pipelines.diffcamera.camera import CAMERAS
from ..pipelines.diffcamera.checkpoint import CONDITIONS, LORAS, About
from ..pipelines.diffcamera.geometry import DEFOCUS, GEOMETRIES
from ..pipelines.image.checks import RefocusError
from . import flux, small
from .data import UNSEEN, Procedural, Shards
from .evaluate import contact_sheet, write_picture
from .loop import Data, Habits, Plan, train
from .memory import advice, estimate
from .models import MODELS, count, new_flux, new_small, write_model
from .optimizers import ADAMW, MUON, NAMES
from .trainee import Trainee, asked, sample, trained

SUMMARY = "train the small model or DiffCamera on FLUX.1-dev"
MODEL = "model.safetensors"
DEFAULTS = {  # what differs between the models
    small.NAME: {"steps": 3000, "scenes": 16, "rate": 2e-3, "optimizer": MUON, "threads": 1, "save_every": 500},
    flux.NAME: {"steps": 20_000, "scenes": 1, "rate": 1e-4, "optimizer": ADAMW, "threads": 0, "save_every": 250},
}
SHOWN = 4  # scenes of the pictures that are made on the way
FITTED = 512  # scenes by which the small model's whitening is measured


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    plan = {f.name: f.default for f in fields(Plan)}
    add("--model", choices=MODELS, required=True)
    add("--out", required=True, help="folder of the run: state, log, samples and the result")
    add("--data", help="folder of shards that simulate wrote; without it procedural scenes (small alone)")
    add("--geometry", choices=GEOMETRIES, default=DEFOCUS, help="what the geometry picture shows (default %(default)s)")
    add("--trained-by", default="", help="a name for the result's header")
    of_model = parser.add_argument_group("the run (defaults: small / flux)")
    of_model.add_argument("--steps", type=int, help=_both("steps"))
    of_model.add_argument("--scenes", type=int, help=f"of a step on each device, {_both('scenes')}")
    of_model.add_argument("--rate", type=float, help=f"of the optimizer, {_both('rate')}")
    of_model.add_argument("--optimizer", choices=NAMES, help=_both("optimizer"))
    of_model.add_argument("--threads", type=int, help=f"of the CPU, 0 = as torch likes, {_both('threads')}")
    of_model.add_argument("--save-every", type=int, help=f"steps, {_both('save_every')}")
    for name, text in (
        ("planes", "photos of each scene"),
        ("accumulate", "parts of a step, one after another"),
        ("drop", "probability that depth is missing"),
        ("broken", "probability that depth is as models get it wrong"),
        ("stack", "weight of the stacking constraint"),
        ("ramp_start", "share of the steps after which it begins"),
        ("ramp_end", "share of the steps from which it has its whole weight"),
        ("average", "decay of the moving average"),
        ("clip", "largest norm of the gradient"),
        ("seed", "of everything that is drawn"),
    ):
        option = "--" + name.replace("_", "-")
        of_model.add_argument(option, type=type(plan[name]), default=plan[name], help=f"{text} (default %(default)s)")
    of_model.add_argument("--log-every", type=int, default=20, help="steps (default %(default)s)")
    of_model.add_argument("--sample-every", type=int, default=500, help="steps (default %(default)s)")
    of_model.add_argument("--stop-after", type=int, default=0, help="steps of this call; 0: all that are left")
    of_small = parser.add_argument_group("small")
    of_small.add_argument("--procedural", type=int, default=2048, help="scenes that are made (default %(default)s)")
    of_small.add_argument("--size", type=int, default=32, help="pixels a side of them (default %(default)s)")
    of_small.add_argument("--width", type=int, default=64, help="of the network's tokens (default %(default)s)")
    of_flux = parser.add_argument_group("flux")
    of_flux.add_argument("--flux", help="diffusers' folder of FLUX.1-dev")
    of_flux.add_argument("--base", choices=flux.BASES, default=flux.BF16, help="its type (default %(default)s)")
    of_flux.add_argument("--rank", type=int, default=64, help="of the LoRA (default %(default)s)")
    of_flux.add_argument("--lora", choices=LORAS, default=CONDITIONS, help="what it is for (default %(default)s)")
    of_flux.add_argument("--camera", choices=CAMERAS, default=CAMERAS[0], help="its tokens (default %(default)s)")
    of_flux.add_argument("--prompt", default=flux.PROMPT, help="embedded once (default %(default)r)")
    of_flux.add_argument(
        "--checkpointing", type=_switch, default=True, metavar="on|off", help="compute twice, keep less (default on)"
    )


def _both(name: str) -> str:
    return " / ".join(str(DEFAULTS[model][name]) for model in (small.NAME, flux.NAME))


def _switch(word: str) -> bool:
    if word not in ("on", "off"):
        raise argparse.ArgumentTypeError("on or off")
    return word == "on"


def run(given: argparse.Namespace) -> int:
    for name, value in DEFAULTS[given.model].items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    if given.threads:
        torch.set_num_threads(given.threads)
    plan = Plan(**{f.name: getattr(given, f.name) for f in fields(Plan) if hasattr(given, f.name)})
    out = Path(given.out)
    accelerator = _accelerator(given.model)
    first = not accelerator or accelerator.is_main_process

    def said(line: str) -> None:
        if first:
            print(line, flush=True)

    data = _data(given, said)
    size = data.batch([0], 1, torch.Generator().manual_seed(0)).size
    try:
        model = _model(given, data, size, out, accelerator, said)
        habits = Habits(given.log_every, given.save_every, given.sample_every, given.stop_after)
        shown = _samples(model, data, given, out)
        done, average = train(model, data, plan, out, habits, accelerator=accelerator, samples=shown, said=said)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise RefocusError(advice(given, size)) from error
    if done < plan.steps:
        said(f"{done} of {plan.steps} steps are done; the same command goes on.")
        return 0
    if first:
        average.put(average.values, trained(model.module))
        notes = {"plan": {f.name: getattr(plan, f.name) for f in fields(Plan)}, "scenes": len(data)}
        write_model(out / MODEL, model, done, size, given.trained_by, notes)
        said(f"wrote {out / MODEL}")
    return 0


def _accelerator(model: str):
    """accelerate's, which knows of GPUs and of other processes; none for a small model that runs by itself."""
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    if model == small.NAME and alone:
        return None
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise RefocusError("training needs accelerate here: pip install 'rackfocus[training]'.") from error
    return Accelerator(cpu=model == small.NAME or not torch.cuda.is_available())


def _data(given: argparse.Namespace, said) -> Data:
    if given.data:
        return Shards(Path(given.data))
    if given.model == flux.NAME:
        raise RefocusError("training on FLUX needs --data: the folder of shards that simulate wrote.")
    said(f"making {given.procedural} procedural scenes of {given.size} px")
    return Procedural(given.procedural, given.size)


def _model(given, data: Data, size: tuple[int, int], out: Path, accelerator, said) -> Trainee:
    if given.model == small.NAME:
        numbers = range(min(FITTED, len(data)))
        fitted = data.batch(list(numbers), given.planes, torch.Generator().manual_seed(0))
        model: Trainee = new_small(fitted, given.seed, geometry=given.geometry, width=given.width)
    else:
        if not given.flux:
            raise RefocusError("training on FLUX needs --flux: diffusers' folder of FLUX.1-dev.")
        about = About(rank=given.rank, geometry=given.geometry, camera=given.camera, lora=given.lora)
        options = {"base": given.base, "optimizer": given.optimizer, "checkpointing": given.checkpointing}
        said(estimate(size, given.scenes * given.planes, about, **options).describe())
        device = accelerator.device
        text = flux.embedded_text(Path(given.flux), given.prompt, out / "text.safetensors", device)
        model = new_flux(given, text, device)
    said(f"{count(model):,} numbers are trained")
    return model


def _samples(model: Trainee, data: Data, given: argparse.Namespace, out: Path):
    """Pictures of fixed scenes on the way: photo, then truth and result for each plane."""
    random = torch.Generator().manual_seed(0)
    if isinstance(data, Procedural):
        scenes = Procedural(SHOWN, given.size, first=UNSEEN).batch(range(SHOWN), 2, random)
    else:
        scenes = data.batch(list(range(min(SHOWN, len(data)))), given.planes, random)

    def show(step: int) -> None:
        s, k = scenes.blur.shape
        made = sample(model, asked(scenes), most=k).unflatten(0, (s, k))
        rows = [
            [scenes.source[i], *(p for j in range(k) for p in (scenes.targets[i, j], made[i, j]))] for i in range(s)
        ]
        write_picture(out / "samples" / f"{step:06d}.png", contact_sheet(rows))

    return show
