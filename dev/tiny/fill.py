"""A tiny FLUX.1-Fill as ComfyUI's own MODEL and VAE, and AnyBokeh's files. The host's modules must be in reach."""

import comfy.latent_formats
import comfy.model_base
import comfy.model_detection
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import torch
from safetensors.torch import save_file

from rackfocus.pipelines.anybokeh.reference import linear_layers

from .genfocus import POOLED, TEXT, tiny_transformer
from .stock_flux import model_config

FILL = {"in_channels": 384, "out_channels": 64}


def tiny_fill(transformer=None):
    """A random MODEL, or that of the given diffusers transformer."""
    return stock_fill(transformer or tiny_transformer(**FILL))


def stock_fill(transformer, weights=True):
    """The MODEL that the host's loader makes of a diffusers FLUX.1-Fill transformer; without weights: of its sizes."""
    sizes = model_config(transformer).unet_config
    config = comfy.supported_models.FluxInpaint({**sizes, "in_channels": 96, "out_channels": 16})
    config.set_inference_dtype(torch.float32, None)
    model = comfy.model_base.Flux(config, device=transformer.device)
    if weights:
        state = {k: v.clone() for k, v in transformer.state_dict().items()}  # the conversion writes into its input
        model.diffusion_model.load_state_dict(comfy.model_detection.convert_diffusers_mmdit(state))
    return comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


def vae_of(vae):
    """The host's VAE of a diffusers AutoencoderKL with four levels of one width."""
    c = vae.config
    sizes = {
        "double_z": True,
        "z_channels": c.latent_channels,
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": c.block_out_channels[0],
        "ch_mult": [1] * len(c.block_out_channels),
        "num_res_blocks": c.layers_per_block,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    state = {k: v.clone() for k, v in vae.state_dict().items()}
    # The host's class for given sizes has these two layers, which FLUX's VAE has not: they do nothing.
    for name, n in (("quant_conv", 2 * c.latent_channels), ("post_quant_conv", c.latent_channels)):
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.eye(n)[:, :, None, None], torch.zeros(n)
    params = {"embed_dim": c.latent_channels, "ddconfig": sizes}
    out = comfy.sd.VAE(sd=state, config={"params": params}, dtype=torch.float32)
    out.latent_channels = c.latent_channels
    return out


def save_files(loras, embeddings, transformer=None):
    """A random LoRA for each stage, and the stored prompts, into two folders, under the names that they have by now."""
    transformer = transformer or tiny_transformer(**FILL)
    for i, stage in enumerate(("stage1", "stage2")):
        g = torch.Generator().manual_seed(20 + i)
        tensors = {}
        for name, (n_in, n_out) in linear_layers(transformer).items():
            if i == 0 or ".attn." in name:
                tensors[f"transformer.{name}.lora_A.weight"] = torch.randn(4, n_in, generator=g) * 0.2
                tensors[f"transformer.{name}.lora_B.weight"] = torch.randn(n_out, 4, generator=g) * 0.2
        (loras / "AnyBokeh" / stage).mkdir(parents=True, exist_ok=True)
        save_file(tensors, loras / "AnyBokeh" / stage / "pytorch_lora_weights.safetensors")
    g, prompts = torch.Generator().manual_seed(30), {}
    for i, stage in enumerate(("stage1", "stage2")):
        prompts[f"{stage}/prompt_embeds"] = torch.randn(1, 8 + 4 * i, TEXT, generator=g)
        prompts[f"{stage}/pooled_prompt_embeds"] = torch.randn(1, POOLED, generator=g)
    (embeddings / "AnyBokeh").mkdir(parents=True, exist_ok=True)
    save_file(prompts, embeddings / "AnyBokeh" / "prompts.safetensors")
