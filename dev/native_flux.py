"""ComfyUI as a library: a diffusers FLUX as a stock MODEL, and Genfocus run on it by the host's own samplers."""
# ruff: noqa: E402
from .comfy_library import use_comfy

use_comfy()
import comfy.latent_formats
import comfy.model_base
import comfy.model_detection
import comfy.model_patcher
import comfy.sample
import comfy.samplers
import comfy.supported_models
import torch

from rackfocus.nodes.genfocus.adapters import lora_patcher
from rackfocus.nodes.genfocus.hook import attach, with_conditions
from rackfocus.pipelines.genfocus import architecture_of, pack, unpack
from rackfocus.pipelines.genfocus.schedule import sigmas


class PlainLatent(comfy.latent_formats.LatentFormat):
    """Latents as they are, of as many channels as the tiny models have."""

    def __init__(self, channels=4):
        self.latent_channels = channels


def model_config(transformer, dtype=torch.float32, **changes):
    c = transformer.config
    a = architecture_of(transformer)
    unet = {"image_model": "flux", "in_channels": a.channels // 4, "out_channels": a.channels // 4, "patch_size": 2,
            "vec_in_dim": c.pooled_projection_dim, "context_in_dim": c.joint_attention_dim, "hidden_size": a.hidden,
            "mlp_ratio": 4.0, "num_heads": c.num_attention_heads, "depth": a.double, "depth_single_blocks": a.single,
            "axes_dim": list(c.axes_dims_rope), "theta": 10000, "qkv_bias": True, "guidance_embed": True, **changes}
    config = comfy.supported_models.Flux(unet)
    config.latent_format = PlainLatent(a.channels // 4)
    config.set_inference_dtype(dtype, None)
    return config


def stock_model(transformer, config=None, weights=True, **changes):
    """The MODEL that ComfyUI's loader would make of the transformer's weights; without weights: of its sizes."""
    device, dtype = transformer.device, transformer.dtype
    model = comfy.model_base.Flux(config or model_config(transformer, dtype=dtype, **changes), device=device)
    if weights:
        state = {k: v.clone() for k, v in transformer.state_dict().items()}  # the conversion writes into its input
        model.diffusion_model.load_state_dict(comfy.model_detection.convert_diffusers_mmdit(state))
    return comfy.model_patcher.ModelPatcher(model, device, device)


def patchers(loras, transformer):
    return [lora_patcher(lora, architecture_of(transformer)) for lora in loras]


def velocity(model, noise, grids, text, pooled, timestep, guidance):
    """One call of a MODEL's diffusion model with the wrappers it carries; grids [] for plain FLUX."""
    t, g = (torch.full((len(noise),), x, device=noise.device) for x in (timestep, guidance))
    given = with_conditions([[None, {}]], [unpack(g) for g in grids])[0][1] if grids else {}
    options = {"wrappers": {kind: dict(found) for kind, found in model.wrappers.items()}}
    out = model.model.diffusion_model(unpack(noise), t, text, pooled, g, given.get("reference_latents"),
                                      transformer_options=options,
                                      ref_latents_method=given.get("reference_latents_method"))
    return pack(out)


def conditioning(text, pooled, guidance):
    return [[text, {"pooled_output": pooled, "guidance": guidance}]]


def sample(model, noise, positive, negative=None, cfg=1.0, steps=None, callback=None, sampler="euler"):
    """Tokens [B, h, w, C] from the host's sampler at Genfocus's sigmas."""
    levels = sigmas(steps, noise.shape[1] * noise.shape[2])
    latent = unpack(noise)
    out = comfy.sample.sample_custom(model, latent, cfg, comfy.samplers.sampler_object(sampler), levels, positive,
                                     negative or positive, torch.zeros_like(latent), callback=callback,
                                     disable_pbar=True, seed=0)
    return pack(out)


def generate(model, setup, noise, grids, loras, text, pooled, *, steps, guidance, image_guidance=1.0, black=None,
             tiling="auto", tile=32, callback=None):
    """As pipelines.genfocus.generate, natively; loras are patchers."""
    clone, base = attach(model, setup, loras, tiling, tile), conditioning(text, pooled, guidance)
    positive = with_conditions(base, [unpack(g) for g in grids])
    negative = with_conditions(base, [unpack(g) for g in black or grids], black=True)
    return sample(clone, noise, positive, negative, image_guidance, steps, callback)
