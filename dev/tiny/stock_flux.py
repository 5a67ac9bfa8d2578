"""A diffusers FLUX as the stock MODEL that ComfyUI's loader would make of it. The host's modules must be in reach."""

from dataclasses import fields

import comfy.latent_formats
import comfy.model_base
import comfy.model_detection
import comfy.model_patcher
import comfy.supported_models
import torch
from comfy.ldm.flux.model import FluxParams

from rackfocus.pipelines.genfocus import architecture_of

PARAMETERS = {field.name for field in fields(FluxParams)}
HAS_FLUX2 = "global_modulation" in PARAMETERS
# What FLUX.1 has for parameters that only newer hosts ask for.
NEWER = {"txt_ids_dims": []}


class PlainLatent(comfy.latent_formats.LatentFormat):
    """Latents as they are, of as many channels as the tiny models have."""

    def __init__(self, channels=4):
        self.latent_channels = channels


def model_config(transformer, dtype=torch.float32, **changes):
    c = transformer.config
    a = architecture_of(transformer)
    unet = {
        "image_model": "flux",
        "in_channels": a.channels // 4,
        "out_channels": a.channels // 4,
        "patch_size": 2,
        "vec_in_dim": c.pooled_projection_dim,
        "context_in_dim": c.joint_attention_dim,
        "hidden_size": a.hidden,
        "mlp_ratio": 4.0,
        "num_heads": c.num_attention_heads,
        "depth": a.double,
        "depth_single_blocks": a.single,
        "axes_dim": list(c.axes_dims_rope),
        "theta": 10000,
        "qkv_bias": True,
        "guidance_embed": True,
        **{name: value for name, value in NEWER.items() if name in PARAMETERS},
        **changes,
    }
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
