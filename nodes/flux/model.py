"""What the live diffusion model is: FLUX.1-dev in ComfyUI's own class, or one sentence that says what it is not."""

import comfy.ldm.flux.layers
import comfy.ldm.flux.model
import torch

from ...pipelines.flux.architecture import Architecture, require_guidance
from ...pipelines.image.checks import RefocusError


def require_flux(module, engine: str = "this engine") -> Architecture:
    """The sizes of a FLUX.1-dev. engine: who needs it, for the messages.

    Raises RefocusError for FLUX.2, schnell, Fill and control models, and classes that are not ComfyUI's.
    """
    if not isinstance(module, comfy.ldm.flux.model.Flux):
        raise RefocusError(
            f"the MODEL is a {type(module).__name__}, but {engine} needs FLUX.1-dev in ComfyUI's own "
            "form: load it with Load Diffusion Model, Load Checkpoint or a GGUF loader."
        )
    p = module.params
    if getattr(p, "global_modulation", False) or p.vec_in_dim is None or len(p.axes_dim) != 3:
        raise RefocusError(
            f"the MODEL is FLUX.2 or a relative of it, but {engine} is made for FLUX.1-dev: load FLUX.1-dev."
        )
    if p.in_channels != p.out_channels:
        raise RefocusError(
            f"the MODEL takes {p.in_channels} latent channels and gives {p.out_channels} (a Fill, Canny "
            f"or Depth variant), but {engine} needs plain FLUX.1-dev: load that."
        )
    require_guidance(p.guidance_embed)
    return Architecture(
        module.in_channels, p.hidden_size, int(p.hidden_size * p.mlp_ratio), p.depth, p.depth_single_blocks
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
