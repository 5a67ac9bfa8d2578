"""What the nodes share of ComfyUI: schema, types, folders, device, progress, interruption."""

import dataclasses
import os

import comfy.model_management as mm
import comfy.utils
import folder_paths
from comfy_api.latest import io
from torch import Tensor

CATEGORY = "Rackfocus"

# Private types and what travels on them.
# DEFOCUS_MAP    pipelines.optics.DefocusMap: signed blur radius [B, H, W] in pixels of its own size
# REFOCUS_MODEL  pipelines.engines.RefocusModel: the engine's name and its models:
#                nodes.genfocus.GenfocusParts, nodes.learn2refocus.SvdParts, None for the optical engine
DefocusMapType = io.Custom("DEFOCUS_MAP")
RefocusModelType = io.Custom("REFOCUS_MODEL")

# models/refocus; extra_model_paths.yaml may name further folders under this key. Any kind of file is listed.
REFOCUS_FOLDER = "refocus"
folder_paths.add_model_folder_path(REFOCUS_FOLDER, os.path.join(folder_paths.models_dir, REFOCUS_FOLDER))

_KNOWN = {f.name for f in dataclasses.fields(io.Schema)}


def Schema(**fields) -> io.Schema:
    """io.Schema without the fields that this host does not know yet (search_aliases came after 0.3.75)."""
    return io.Schema(**{k: v for k, v in fields.items() if k in _KNOWN})


def to_device(t: Tensor | None) -> Tensor | None:
    return None if t is None else t.to(mm.get_torch_device())


def from_device(t: Tensor) -> Tensor:
    return t.to(mm.intermediate_device())


def progress_bar():
    """A progress(done, total) for the pipelines: shows the bar, stops the work when the artist cancels."""
    bar = None

    def progress(done: int, total: int):
        nonlocal bar
        mm.throw_exception_if_processing_interrupted()
        if bar is None:
            bar = comfy.utils.ProgressBar(total)
        bar.update_absolute(done, total)

    return progress
