"""What was published as .pt files becomes one safetensors file, once: nodes open no other format, it can run code."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..pipelines.image.checks import RefocusError, cut, size_of
from .check import FOUND, check_file
from .manifest import WeightFile

LARGEST = 1 << 28  # bytes of a .pt file; prompt embeddings have a few MB


def unmade(files: list[WeightFile], models: Path) -> list[Path]:
    """The safetensors files that these become and that are not there."""
    made = {models / file.folder / file.becomes for file in files if file.becomes}
    return sorted(path for path in made if not path.is_file())


def convert(files: list[WeightFile], models: Path, say: Callable[[str], None]) -> list[Path]:
    """Make what is not made yet and whose .pt files are all here; returns the paths. Each tensor is called by its
    file's path without .pt. Nothing is left behind if that fails. Raises RefocusError."""
    out = []
    for target in unmade(files, models):
        parts = {f.path.removesuffix(".pt"): f for f in files if f.becomes and models / f.folder / f.becomes == target}
        places = {name: check_file(f, models) for name, f in parts.items()}
        if all(place.state == FOUND for place in places.values()):
            _save({name: read_pt(place.path) for name, place in places.items()}, target)
            say(f"{target}: made of {', '.join(f.path for f in parts.values())}")
            out.append(target)
    return out


def read_pt(path: Path):
    """The one tensor of a .pt file, finite floats of at most three axes; nothing in it can run."""
    import torch

    name, again = cut(path.name), "download it again"
    if path.stat().st_size > LARGEST:
        raise RefocusError(f"{name} has {path.stat().st_size:,} bytes, but at most {LARGEST:,} are possible: {again}.")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of any type, as the file decides
        why = cut(f"{type(error).__name__}: {error}", 100)
        raise RefocusError(f"{name} cannot be read as a tensor alone ({why}), but one is needed: {again}.") from error
    if not isinstance(found, torch.Tensor) or found.layout is not torch.strided or not found.is_floating_point():
        raise RefocusError(f"{name} holds a {type(found).__name__}, but a tensor of numbers is needed: {again}.")
    if found.ndim > 3 or not found.numel() or not torch.isfinite(found).all():
        raise RefocusError(f"{name} holds {size_of(found)} values, not all of them usable: {again}.")
    return found.detach().contiguous().clone()


def _save(tensors: dict, target: Path):
    """In one step, under a name that no list of files shows until it is whole."""
    from safetensors.torch import save

    content = save(tensors, {"format": "pt"})
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, near = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        os.chmod(near, 0o644)
        os.replace(near, target)
    except OSError as error:
        raise RefocusError(
            f"{cut(str(target), 150)} could not be written ({cut(str(error), 80)}): make room or give another folder "
            "with --models."
        ) from error
    finally:
        Path(near).unlink(missing_ok=True)
