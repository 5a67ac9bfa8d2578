"""The file of a trained DiffCamera: one safetensors, whose header says what it is and how it came about.

    transformer.<layer>.lora_A.weight, .lora_B.weight   the LoRA, in the layout of Genfocus's 343 layers
    camera.<parameter>                                  those of camera.Camera
    text.prompt [t, .], text.pooled [.]                 the embedded prompt that it was trained with

The paper's own checkpoint is not public: files of this layout are trained with this pack.
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from ..files import check_floats, file_name, read_header, read_metadata, read_tensors, short
from ..flux.architecture import Architecture
from ..flux.lora_file import LowRank, check_shapes, read_lora
from ..image.checks import RefocusError, cut, shown
from .camera import CAMERAS, POINT, Camera
from .geometry import DEFOCUS, GEOMETRIES

NAME = "DiffCamera"  # in sentences
KIND, VERSION = "rackfocus diffcamera", 1
BASE = "FLUX.1-dev"
CONDITIONS, ALL = "conditions", "all"  # which tokens run through the LoRA; all: as an ordinary LoRA
LORAS = (CONDITIONS, ALL)
CHOOSE = "a file that the training of this pack made for FLUX.1-dev (docs/training.md)"
GET = "copy it again, or choose another"


@dataclass(frozen=True)
class About:
    """What a checkpoint's header says. geometry, camera, lora: of the words above; steps: of training; resolution: in
    pixels, 0 where not told; notes: whatever else its training says, as JSON."""

    base: str = BASE
    rank: int = 64
    geometry: str = DEFOCUS
    camera: str = POINT
    lora: str = CONDITIONS
    trained_by: str = ""
    steps: int = 0
    resolution: int = 0
    prompt: str = ""
    notes: dict[str, Any] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """As the header of a safetensors file has it: texts alone."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "notes"}
        texts = {name: str(value) for name, value in said.items()}
        return {"kind": KIND, "version": str(VERSION), **texts, "notes": json.dumps(self.notes, sort_keys=True)}

    def describe(self) -> str:
        """One line for the artist: which weights, trained by whom, for how long."""
        by = f"trained by {self.trained_by}" if self.trained_by else "trained by unknown"
        return f"weights {by}, {self.steps} steps, rank {self.rank}, geometry {self.geometry}, camera {self.camera}"


@dataclass(frozen=True)
class Checkpoint:
    """lora {layer: LowRank}; camera in eval mode; text [1, t, .] and pooled [1, .]: the embedded prompt."""

    lora: dict[str, LowRank]
    camera: Camera
    text: Tensor
    pooled: Tensor
    about: About


def read_about(path: str | os.PathLike) -> About:
    """The header of a checkpoint. RefocusError for a file that is none, of a newer version or of another base."""
    name, said = file_name(path), read_metadata(path, GET)
    if said.get("kind") != KIND:
        raise RefocusError(
            f"{name} is no DiffCamera checkpoint (its header does not say that it is one), but one is needed: choose "
            f"{CHOOSE}."
        )
    version = _whole(name, said, "version")
    if version > VERSION:
        raise RefocusError(
            f"{name} is a DiffCamera checkpoint of version {version}, but this Rackfocus reads up to version "
            f"{VERSION}: update Rackfocus."
        )
    if said.get("base") != BASE:
        raise RefocusError(f"{name} was trained on {shown(said.get('base'))}, but {BASE} is needed: choose {CHOOSE}.")
    for what, known in (("geometry", GEOMETRIES), ("camera", CAMERAS), ("lora", LORAS)):
        if said.get(what) not in known:
            raise RefocusError(
                f"{name} has {shown(said.get(what))} for its {what}, but one of {', '.join(known)} is needed: choose "
                f"{CHOOSE}."
            )
    return About(
        rank=_whole(name, said, "rank"),
        geometry=said["geometry"],
        camera=said["camera"],
        lora=said["lora"],
        trained_by=cut(said.get("trained_by", ""), 80),
        steps=_whole(name, said, "steps"),
        resolution=_whole(name, said, "resolution"),
        prompt=said.get("prompt", ""),
        notes=_notes(said.get("notes", "")),
    )


def read_checkpoint(
    path: str | os.PathLike, architecture: Architecture, text: int | None = None, pooled: int | None = None
) -> Checkpoint:
    """A checkpoint for a FLUX.1 of these sizes; text, pooled: widths of its text and pooled text, where known.

    Raises RefocusError as read_about, and for tensors that are missing, too many or of another shape; a file is
    refused by its header, before any tensor is read.
    """
    name, about, header = file_name(path), read_about(path), read_header(path, GET)
    check_floats(header, name)
    with torch.device("meta"):
        camera = Camera(about.camera, architecture.hidden)
    shapes = {key: info.shape for key, info in header.items()}
    own = {k: s for k, s in shapes.items() if k.startswith(("camera.", "text."))}
    check_shapes(name, {k: s for k, s in shapes.items() if k not in own}, architecture, CHOOSE)
    for layer in architecture.lora_layers():
        rank = shapes[f"transformer.{layer}.lora_A.weight"][0]
        if rank != about.rank:
            raise RefocusError(
                f"{name} says that its rank is {about.rank}, but {layer} has a rank of {rank}: {GET}, as this one was "
                "changed after its training."
            )
    expected = {f"camera.{key}": tuple(p.shape) for key, p in camera.state_dict().items()}
    words = [shapes.get("text.prompt", ()), shapes.get("text.pooled", ())]
    expected["text.prompt"] = (words[0][0] if words[0] else 1, text or (words[0][-1] if words[0] else 0))
    expected["text.pooled"] = (pooled or (words[1][-1] if words[1] else 0),)
    wrong = sorted(k for k in expected.keys() | own.keys() if expected.get(k) != own.get(k))
    if wrong:
        had = " x ".join(map(str, own[wrong[0]])) if wrong[0] in own else "missing"
        want = " x ".join(map(str, expected[wrong[0]])) if wrong[0] in expected else "none"
        raise RefocusError(
            f"{name} has {cut(wrong[0])} {had}, but {want} is needed for a camera of the kind {about.camera} on this "
            f"FLUX.1: choose {CHOOSE}."
        )
    tensors = read_tensors(path, GET, finite=True)
    lora = {k: t for k, t in tensors.items() if k.startswith("transformer.")}
    values = {k.removeprefix("camera."): t.float() for k, t in tensors.items() if k.startswith("camera.")}
    camera.load_state_dict(values, assign=True)
    return Checkpoint(
        read_lora(lora, architecture, CHOOSE),
        camera.eval().requires_grad_(False),
        tensors["text.prompt"][None],
        tensors["text.pooled"][None],
        about,
    )


def write_checkpoint(path: str | os.PathLike, checkpoint: Checkpoint, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the file whole or not at all. RefocusError where it cannot be written, as on a full disk."""
    from safetensors.torch import save_file

    tensors = {f"camera.{k}": t for k, t in checkpoint.camera.state_dict().items()}
    tensors |= {"text.prompt": checkpoint.text[0], "text.pooled": checkpoint.pooled[0]}
    for layer, low in checkpoint.lora.items():
        tensors |= {f"transformer.{layer}.lora_A.weight": low.down, f"transformer.{layer}.lora_B.weight": low.up}
    kept = {k: t.detach().to("cpu", dtype).contiguous() for k, t in tensors.items()}
    part = f"{os.fspath(path)}.part"
    try:
        save_file(kept, part, checkpoint.about.metadata())
        os.replace(part, path)
    except Exception as error:  # the library raises errors of its own, too
        raise RefocusError(
            f"{file_name(path)} cannot be written ({short(error)}), but the checkpoint needs its place: free some "
            "space, or choose another folder."
        ) from error
    finally:
        with suppress(OSError):
            os.remove(part)


def _whole(name: str, said: dict[str, str], what: str) -> int:
    """A whole number of the header."""
    text = said.get(what, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise RefocusError(f"{name} has {shown(text)} for its {what}, but a whole number is needed: choose {CHOOSE}.")
    return int(text)


def _notes(text: str) -> dict[str, Any]:
    """The notes; empty where there are none that can be read, as nothing depends on them."""
    try:
        notes = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}
