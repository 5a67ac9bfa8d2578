"""What this ComfyUI can do, asked of the host itself and never of its version: the only module that asks.

The rest of the pack uses the answers and runs on every ComfyUI from 0.3.64 on.
"""

import dataclasses
import sys

import comfy.ldm.flux.layers
import comfy.model_management as mm
import comfy.model_patcher
import torch
from comfy_api.latest import io

from ..pipelines.image.checks import RefocusError

_SCHEMA_FIELDS = {field.name for field in dataclasses.fields(io.Schema)}


def schema_fields(fields: dict) -> dict:
    """Those fields of an io.Schema that this host knows (search_aliases came after 0.3.75)."""
    return {name: value for name, value in fields.items() if name in _SCHEMA_FIELDS}


def running_server():
    """The host's PromptServer; None where ComfyUI is a library without a server."""
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)


def picture_type() -> torch.dtype:
    """The type of the pictures that nodes hand on: float32, or what --fp16-intermediates of newer hosts makes it."""
    return getattr(mm, "intermediate_dtype", lambda: torch.float32)()


def patcher_of(net: torch.nn.Module):
    """A net that ComfyUI does not know, as a model that it loads and unloads, in the class it uses for its own."""
    kind = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    return kind(net, load_device=mm.get_torch_device(), offload_device=mm.unet_offload_device())


def is_flux1(params) -> bool:
    """Whether a comfy.ldm.flux.model.FluxParams is of FLUX.1. Hosts before 0.3.75 know no other."""
    return (
        not getattr(params, "global_modulation", False) and params.vec_in_dim is not None and len(params.axes_dim) == 3
    )


def modulation_index():
    """How this host's apply_mod is told a row of a batched modulation: hosts before 0.17 broadcast an int wrongly."""
    x, rows = torch.ones(2, 1, 1), torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])  # [B, n, 1], [B, rows, 1]
    for index in (int, lambda i: slice(i, i + 1)):
        try:
            out = comfy.ldm.flux.layers.apply_mod(x.clone(), rows, None, [(0, 1, index(1))])
        except (TypeError, RuntimeError):
            continue
        if out.flatten().tolist() == [2, 4]:
            return index
    raise RefocusError(
        "this version of ComfyUI modulates FLUX in a way that Rackfocus does not know: update Rackfocus."
    )
