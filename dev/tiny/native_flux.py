"""ComfyUI as a library: a diffusers FLUX as a stock MODEL, and Genfocus run on it by the host's own samplers."""

# ruff: noqa: E402
from ..host.library import use_comfy

use_comfy()
import comfy.sample
import comfy.samplers
import torch

from rackfocus.nodes.flux.hook import with_conditions
from rackfocus.nodes.flux.lora import lora_patcher
from rackfocus.nodes.genfocus.prepare import attach
from rackfocus.pipelines.flux.sampling import sigmas
from rackfocus.pipelines.genfocus import architecture_of, pack, unpack

from .stock_flux import HAS_FLUX2, PlainLatent, model_config, stock_model

__all__ = [
    "HAS_FLUX2",
    "PlainLatent",
    "generate",
    "model_config",
    "patchers",
    "sample",
    "stock_model",
    "style_lora",
    "velocity",
]


def patchers(loras, transformer):
    return [lora_patcher(lora, architecture_of(transformer)) for lora in loras]


def style_lora(lora):
    """({module: (down, up)}, the same as a file for the host) of a LoRA that an artist might stack."""
    g = torch.Generator().manual_seed(3)
    style = {
        m: [torch.randn(shape, generator=g) * 0.3 for shape in ((3, low.down.shape[1]), (low.up.shape[0], 3))]
        for m, low in lora.items()
        if ".attn." in m or "proj_out" in m
    }
    return style, {f"transformer.{m}.lora_{ab}.weight": p[i] for m, p in style.items() for i, ab in enumerate("AB")}


def velocity(model, noise, grids, text, pooled, timestep, guidance):
    """One call of a MODEL's diffusion model with the wrappers it carries; grids [] for plain FLUX."""
    t, g = (torch.full((len(noise),), x, device=noise.device) for x in (timestep, guidance))
    given = with_conditions([[None, {}]], [unpack(g) for g in grids])[0][1] if grids else {}
    options = {"wrappers": {kind: dict(found) for kind, found in model.wrappers.items()}}
    out = model.model.diffusion_model(
        unpack(noise),
        t,
        text,
        pooled,
        g,
        given.get("reference_latents"),
        transformer_options=options,
        ref_latents_method=given.get("reference_latents_method"),
    )
    return pack(out)


def conditioning(text, pooled, guidance):
    return [[text, {"pooled_output": pooled, "guidance": guidance}]]


def sample(model, noise, positive, negative=None, cfg=1.0, steps=None, callback=None, sampler="euler"):
    """Tokens [B, h, w, C] from the host's sampler at Genfocus's sigmas."""
    levels = sigmas(steps, noise.shape[1] * noise.shape[2])
    latent = unpack(noise)
    out = comfy.sample.sample_custom(
        model,
        latent,
        cfg,
        comfy.samplers.sampler_object(sampler),
        levels,
        positive,
        negative or positive,
        torch.zeros_like(latent),
        callback=callback,
        disable_pbar=True,
        seed=0,
    )
    return pack(out)


def generate(
    model,
    setup,
    noise,
    grids,
    loras,
    text,
    pooled,
    *,
    steps,
    guidance,
    image_guidance=1.0,
    black=None,
    tiling="auto",
    tile=32,
    callback=None,
):
    """As pipelines.genfocus.generate, natively; loras are patchers."""
    clone, base = attach(model, setup, loras, tiling, tile), conditioning(text, pooled, guidance)
    positive = with_conditions(base, [unpack(g) for g in grids])
    negative = with_conditions(base, [unpack(g) for g in black or grids], black=True)
    return sample(clone, noise, positive, negative, image_guidance, steps, callback)
