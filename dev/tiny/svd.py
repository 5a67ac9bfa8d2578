"""The golden data's tiny SVD as ComfyUI's own MODEL, CLIP_VISION and VAE. The host's modules must be in reach."""

import json
import re
import tempfile
from pathlib import Path

import comfy.clip_vision
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import torch
from comfy.ldm.models.autoencoder import AutoencodingEngine
from safetensors.torch import load_file

from ..host.paths import ROOT

GOLDEN = Path(ROOT) / "tests" / "data" / "golden" / "learn2refocus"
CLIP = {
    "hidden_act": "gelu",
    "hidden_size": 32,
    "image_size": 224,
    "intermediate_size": 32,
    "model_type": "clip_vision_model",
    "num_attention_heads": 2,
    "num_channels": 3,
    "num_hidden_layers": 2,
    "patch_size": 32,
    "projection_dim": 16,
}


def use_tiny_svd(folder=GOLDEN):
    """Let the host's loader know the folder's tiny UNet as it knows SVD's."""
    c = config_of(folder, "unet")
    heads = c["num_attention_heads"]
    heads = heads if isinstance(heads, list) else [heads] * len(c["block_out_channels"])
    (wide,) = {n // h for n, h in zip(c["block_out_channels"], heads, strict=True)}  # of a head; weights do not tell
    known = comfy.supported_models.SVD_img2vid

    class TinySvd(known):
        unet_config = {
            **known.unet_config,
            "model_channels": c["block_out_channels"][0],
            "context_dim": c["cross_attention_dim"],
            "adm_in_channels": c["projection_class_embeddings_input_dim"],
            "transformer_depth": [
                int(kind.startswith("CrossAttn"))
                for kind in c["down_block_types"]
                for _ in range(c["layers_per_block"])
            ],
        }
        unet_extra_config = {**known.unet_extra_config, "num_head_channels": wide}

        def get_model(self, state_dict, prefix="", device=None):
            model = super().get_model(state_dict, prefix, device)
            model.embedder = type(model.embedder)(c["addition_time_embed_dim"])
            return model

    if not any(m.unet_config == TinySvd.unet_config for m in comfy.supported_models.models):
        comfy.supported_models.models.append(TinySvd)


def config_of(folder, name: str) -> dict:
    return json.loads((Path(folder) / f"{name}_config.json").read_text(encoding="utf-8"))


def tiny_clip_weights(seed=0) -> dict[str, torch.Tensor]:
    """Of transformers' CLIPVisionModelWithProjection with CLIP's sizes."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP)).state_dict()


def tiny_clip_vision(**changes):
    """CLIP_VISION with these weights."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps({**CLIP, **changes}))
        clip = comfy.clip_vision.ClipVisionModel(str(path))
    missing, unexpected = clip.load_sd(tiny_clip_weights())
    assert not missing and all("position_ids" in k for k in unexpected), (missing, unexpected)
    return clip


def tiny_vae(folder=GOLDEN):
    """The folder's VAE (diffusers' temporal one) as the host's."""
    c = config_of(folder, "vae")
    ch, depth = c["block_out_channels"][0], len(c["block_out_channels"])
    sizes = {
        "double_z": True,
        "z_channels": 4,
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": ch,
        "ch_mult": [n // ch for n in c["block_out_channels"]],
        "num_res_blocks": c["layers_per_block"],
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    ordinary = {"embed_dim": 4, "ddconfig": sizes}
    vae = comfy.sd.VAE(
        sd=comfy.sd.AutoencoderKL(**ordinary).state_dict(), config={"params": ordinary}, dtype=torch.float32
    )
    module = "comfy.ldm.modules"
    net = AutoencodingEngine(
        regularizer_config={"target": "comfy.ldm.models.autoencoder.DiagonalGaussianRegularizer"},
        encoder_config={"target": f"{module}.diffusionmodules.model.Encoder", "params": sizes},
        decoder_config={
            "target": f"{module}.temporal_ae.VideoDecoder",
            "params": {**sizes, "video_kernel_size": [3, 1, 1], "alpha": 0.0},
        },
    ).eval()
    net.load_state_dict(with_gaps(host_vae(load_file(Path(folder) / "vae.safetensors")), net))
    vae.first_stage_model = net
    vae.patcher = comfy.model_patcher.ModelPatcher(net, vae.patcher.load_device, vae.patcher.offload_device)
    vae.latent_channels, vae.downscale_ratio, vae.upscale_ratio = 4, 2 ** (depth - 1), 2 ** (depth - 1)
    # The host's estimate is for SVD's own VAE; where it exceeds what is free, frames are decoded one by one.
    vae.memory_used_decode = lambda shape, dtype: 1
    return vae


def host_vae(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """diffusers' AutoencoderKLTemporalDecoder -> the names of Stability's; the 1 x 1 quant_conv goes into conv_out."""
    up = max(int(m[1]) for k in weights if (m := re.match(r"decoder\.up_blocks\.(\d+)", k)))
    rules = [
        (r"down_blocks\.(\d+)\.resnets\.(\d+)", r"down.\1.block.\2"),
        (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
        (r"up_blocks\.(\d+)\.resnets\.(\d+)", lambda m: f"up.{up - int(m[1])}.block.{m[2]}"),
        (r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{up - int(m[1])}.upsample"),
        (r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}"),
        (r"mid_block\.attentions\.0", "mid.attn_1"),
        (r"group_norm", "norm"),
        (r"to_([qkv])\b", r"\1"),
        (r"to_out\.0", "proj_out"),
        (r"conv_norm_out", "norm_out"),
        (r"\btime_conv_out", "conv_out.time_mix_conv"),
        (r"temporal_res_block\.norm1", "time_stack.in_layers.0"),
        (r"spatial_res_block\.", ""),
        (r"temporal_res_block\.conv1", "time_stack.in_layers.2"),
        (r"time_mixer\.", ""),
        (r"temporal_res_block\.norm2", "time_stack.out_layers.0"),
        (r"conv_shortcut", "nin_shortcut"),
        (r"temporal_res_block\.conv2", "time_stack.out_layers.3"),
    ]
    found = {}
    for name, w in weights.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)
        found[name] = w[..., None, None] if ".attn_1." in name and w.ndim == 2 else w
    quant, shift = found.pop("quant_conv.weight")[..., 0, 0], found.pop("quant_conv.bias")
    found["encoder.conv_out.weight"] = torch.einsum("ab,bcij->acij", quant, found["encoder.conv_out.weight"])
    found["encoder.conv_out.bias"] = quant @ found["encoder.conv_out.bias"] + shift
    return found


def with_gaps(weights, net):
    """With layers that pass on what they get for those that diffusers' VAE of one layer a block has not, or (the
    attention before them) does not call."""
    gaps = {
        k: torch.zeros_like(v)
        for k, v in net.state_dict().items()
        if k.startswith(("decoder.mid.attn_1.proj_out", "decoder.mid.block_2"))
    }
    return weights if "decoder.mid.block_2.conv1.weight" in weights else {**weights, **gaps}
