"""Random models small enough for a test, as ComfyUI's own MODEL, CLIP and VAE. The host's modules must be in reach."""

import zlib

import comfy.latent_formats
import comfy.sd
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL

from rackfocus.pipelines.genfocus import architecture_of

from .stock_flux import stock_model

TEXT, POOLED = 32, 24
VAE_SIZES = {
    "double_z": True,
    "z_channels": 16,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 32,
    "ch_mult": [1, 1, 1, 1],
    "num_res_blocks": 1,
    "attn_resolutions": [],
    "dropout": 0.0,
}


def tiny_transformer(**changes):
    """A random FluxTransformer2DModel with FLUX.1's 16 latent channels, two heads and 1 + 2 blocks."""
    from diffusers import FluxTransformer2DModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {
            "in_channels": 64,
            "num_layers": 1,
            "num_single_layers": 2,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": TEXT,
            "pooled_projection_dim": POOLED,
            "guidance_embeds": True,
            "axes_dims_rope": (4, 6, 6),
        }
        model = FluxTransformer2DModel(**{**sizes, **changes}).eval()
        for p in model.parameters():
            p.data.normal_(0, 0.2)
    return model


def tiny_flux(transformer=None):
    """MODEL with FLUX's own latent format."""
    model = stock_model(transformer or tiny_transformer())
    model.model.latent_format = comfy.latent_formats.Flux()
    return model


def tiny_lora(transformer=None, seed=1) -> dict[str, torch.Tensor]:
    """The tensors of a LoRA file in the public layout, rank 4."""
    g, found = torch.Generator().manual_seed(seed), {}
    for module, (n_in, n_out) in architecture_of(transformer or tiny_transformer()).lora_layers().items():
        for ab, shape in (("A", (4, n_in)), ("B", (n_out, 4))):
            found[f"transformer.{module}.lora_{ab}.weight"] = torch.randn(shape, generator=g) * 0.2
    return found


class TinyClip:
    """Stands for FLUX's text encoders: a text's tokens are random numbers that the text decides."""

    def __init__(self, options=None):
        self.options = dict(options or {})

    def clone(self):
        return TinyClip(self.options)

    def set_tokenizer_option(self, name, value):
        self.options[name] = value

    def tokenize(self, text):
        return text, self.options.get("t5xxl_min_length", 256)

    def encode_from_tokens_scheduled(self, tokens):
        text, length = tokens
        g = torch.Generator().manual_seed(zlib.crc32(text.encode()))
        return [[torch.randn(1, length, TEXT, generator=g), {"pooled_output": torch.randn(1, POOLED, generator=g)}]]


def tiny_vae():
    """A random AutoencoderKL of 16 channels at an eighth of the picture, as the host's VAE."""
    params = {"embed_dim": 16, "ddconfig": VAE_SIZES}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = {
            k: torch.randn_like(v) * 0.05 + float("norm" in k and k.endswith("weight"))
            for k, v in AutoencoderKL(**params).state_dict().items()
        }
    vae = comfy.sd.VAE(sd=weights, config={"params": params}, dtype=torch.float32)
    vae.latent_channels = 16
    return vae
