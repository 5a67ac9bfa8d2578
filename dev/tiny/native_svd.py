"""ComfyUI as a library, with the golden data's tiny SVD as stock models."""

# ruff: noqa: E402
from ..host.library import use_comfy

use_comfy()
from types import SimpleNamespace

import comfy.model_management as mm
import torch

from rackfocus.nodes.learn2refocus.models import load_unet
from rackfocus.nodes.learn2refocus.run import sample_stack

from .svd import use_tiny_svd

__all__ = ["generate", "load"]


def load(folder):
    """MODEL of the folder's unet.safetensors."""
    use_tiny_svd(folder)
    return load_unet(str(folder / "unet.safetensors"))


def generate(model, noise, latent, embed, position, *, steps, guidance, callback=None):
    """As pipelines.learn2refocus.generate, natively: scaled latents [B, 9, 4, h, w]."""
    made = [
        sample_stack(
            model,
            noise[i],
            latent[i : i + 1],
            embed[i : i + 1],
            position,
            steps=steps,
            guidance=guidance,
            seed=0,
            report=SimpleNamespace(step=callback),
        )
        for i in range(len(noise))
    ]
    scale = model.model.latent_format.scale_factor
    return torch.stack(made).to(mm.intermediate_device()) * scale
