"""The two models by name: made for training, written as a checkpoint, read back."""

import json
from pathlib import Path
from typing import Any

import torch

from ..pipelines.diffcamera.checkpoint import KIND as FLUX_KIND
from ..pipelines.diffcamera.checkpoint import About, read_about, read_checkpoint, write_checkpoint
from ..pipelines.files import read_header, read_metadata, read_tensors
from ..pipelines.flux.reference import architecture_of
from ..pipelines.image.checks import RefocusError
from . import flux, small
from .batch import Batch
from .state import whole
from .trainee import Trainee, trained

SMALL_KIND, VERSION = "rackfocus small", 1
MODELS = small.NAME, flux.NAME
GET = "train it again, or choose another"


def new_small(batch: Batch, seed: int, **config: Any) -> small.Small:
    """An untrained one, whose whitening is fitted to these scenes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = small.Small(**config)
    model.fit(batch)
    return model


def write_model(path: Path, model: Trainee, steps: int, size: tuple[int, int], trained_by: str, notes: dict) -> None:
    """The parameters as they are now, in one safetensors, whole or not at all. size: (H, W) that it was trained on."""
    if isinstance(model, flux.Flux):
        path.parent.mkdir(parents=True, exist_ok=True)
        text, pooled = model.text
        checkpoint = model.module.checkpoint(
            text, pooled, steps=steps, resolution=max(size), trained_by=trained_by, notes=notes
        )
        write_checkpoint(path, checkpoint)
        return
    from safetensors.torch import save_file

    tensors = {name: t.detach().cpu().contiguous() for name, t in model.module.state_dict().items()}
    header = {
        "kind": SMALL_KIND,
        "version": str(VERSION),
        "config": json.dumps(model.config()),
        "steps": str(steps),
        "size": json.dumps(size),
        "trained_by": trained_by,
        "notes": json.dumps(notes, sort_keys=True),
    }
    with whole(path) as temporary:
        save_file(tensors, temporary, header)


def read_model(path: Path, folder: Path | None = None, base: str = flux.BF16, device="cpu") -> tuple[Trainee, int]:
    """(model, longer side of the pictures that it was trained on) of a file of either kind. folder: diffusers'
    FLUX.1-dev, for a checkpoint that needs it. RefocusError for any other file."""
    if not path.is_file():
        raise RefocusError(f"{path} is not there: give the checkpoint of a run, model.safetensors in its --out.")
    said = read_metadata(path, GET)
    if said.get("kind") == SMALL_KIND:
        return _read_small(path, said)
    if said.get("kind") != FLUX_KIND:
        raise RefocusError(f"{path.name} is no checkpoint of this command: give model.safetensors of a run's --out.")
    if folder is None:
        raise RefocusError(
            f"{path.name} was trained on FLUX.1-dev, which is not in it: give diffusers' folder of that with --flux."
        )
    about = read_about(path)
    tensors = read_tensors(path, GET)
    text = flux.Text(tensors["text.prompt"][None], tensors["text.pooled"][None])
    model = flux.load_flux(folder, text, about, base=base, checkpointing=False, device=device)
    model.module.load(read_checkpoint(path, architecture_of(model.module.transformer)))
    return model, about.resolution or 512


def _read_small(path: Path, said: dict[str, str]) -> tuple[small.Small, int]:
    if said.get("version") != str(VERSION):
        raise RefocusError(f"{path.name} is a small model of version {said.get('version')}: update Rackfocus.")
    try:
        model = small.Small(**json.loads(said["config"]))
        size = max(json.loads(said["size"]))
    except (KeyError, ValueError, TypeError) as error:
        raise RefocusError(f"{path.name} does not say in its header how it was made: {GET}.") from error
    shapes = {name: tuple(t.shape) for name, t in model.module.state_dict().items()}
    if {name: info.shape for name, info in read_header(path, GET).items()} != shapes:
        raise RefocusError(f"{path.name} does not hold the tensors that its header speaks of: {GET}.")
    model.module.load_state_dict(read_tensors(path, GET, finite=True))
    return model, size


def count(model: Trainee) -> int:
    """Numbers that are trained."""
    return sum(p.numel() for p in trained(model.module).values())


def new_flux(args, text: flux.Text, device) -> flux.Flux:
    """From the command line's options."""
    about = About(rank=args.rank, geometry=args.geometry, camera=args.camera, lora=args.lora, prompt=args.prompt)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        return flux.load_flux(
            Path(args.flux), text, about, base=args.base, checkpointing=args.checkpointing, device=device
        )
