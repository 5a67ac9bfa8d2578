"""Tiny depth models with random weights, saved as an artist would have them on disk."""

import argparse
from pathlib import Path

import torch

BACKBONE = {
    "model_type": "dinov2",
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "mlp_ratio": 2,
    "image_size": 70,
    "patch_size": 14,
    "out_indices": [1, 2, 3, 4],
    "reshape_hidden_states": False,
    "apply_layernorm": True,
}
DEPTH_ANYTHING = {
    "model_type": "depth_anything",
    "backbone_config": BACKBONE,
    "reassemble_hidden_size": 32,
    "neck_hidden_sizes": [8, 8, 16, 16],
    "fusion_hidden_size": 8,
    "head_hidden_size": 4,
}
PATCHES = {
    "model_type": "dinov2",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "mlp_ratio": 2,
    "image_size": 16,
    "patch_size": 4,
    "reshape_hidden_states": False,
}
DEPTH_PRO = {
    "model_type": "depth_pro",
    "patch_size": 16,
    "fusion_hidden_size": 16,
    "intermediate_hook_ids": [1, 0],
    "intermediate_feature_dims": [8, 8],
    "scaled_images_ratios": [0.5, 1.0],
    "use_fov_model": True,
    "scaled_images_overlap_ratios": [0.0, 0.25],
    "scaled_images_feature_dims": [8, 8],
    "merge_padding_value": 1,
    "num_fov_head_layers": 2,
    "image_model_config": PATCHES,
    "patch_model_config": PATCHES,
    "fov_model_config": PATCHES,
}
DPT = {
    "model_type": "dpt",
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 64,
    "patch_size": 16,
    "backbone_out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [8, 8, 16, 16],
    "fusion_hidden_size": 8,
    "is_hybrid": False,
}
GLPN = {
    "model_type": "glpn",
    "num_encoder_blocks": 4,
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [8, 8, 16, 16],
    "num_attention_heads": [1, 1, 2, 2],
    "sr_ratios": [8, 4, 2, 1],
    "mlp_ratios": [2, 2, 2, 2],
    "decoder_hidden_size": 16,
    "max_depth": 10,
}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
# name: (config, class of the processor, its settings)
MODELS = {
    "anything": (
        DEPTH_ANYTHING,
        "DPTImageProcessor",
        {"size": {"height": 70, "width": 70}, "keep_aspect_ratio": True, "ensure_multiple_of": 14, **IMAGENET},
    ),
    "anything_metric": (
        {**DEPTH_ANYTHING, "depth_estimation_type": "metric", "max_depth": 20},
        "DPTImageProcessor",
        {"size": {"height": 70, "width": 70}, "keep_aspect_ratio": True, "ensure_multiple_of": 14, **IMAGENET},
    ),
    "pro": (DEPTH_PRO, "DepthProImageProcessor", {"size": {"height": 32, "width": 32}}),
    "dpt": (DPT, "DPTImageProcessor", {"size": {"height": 64, "width": 64}}),
    "glpn": (GLPN, "GLPNImageProcessor", {"size_divisor": 32}),
}


def build(name: str, seed: int = 0):
    """A model of transformers with random weights and an output that is positive everywhere and varied."""
    from transformers import AutoConfig, AutoModelForDepthEstimation

    torch.manual_seed(seed)
    net = AutoModelForDepthEstimation.from_config(AutoConfig.for_model(**MODELS[name][0])).eval()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p))
        last = [m for m in net.head.modules() if isinstance(m, torch.nn.Conv2d)][-1]
        last.weight.abs_()
        last.bias.fill_(0.2 if name != "anything_metric" else -2.0)
    return net


def save(name: str, folder, seed: int = 0) -> Path:
    """The folder of a model: config.json, preprocessor_config.json, model.safetensors."""
    import transformers

    _, processor, settings = MODELS[name]
    build(name, seed).save_pretrained(folder)
    getattr(transformers, processor)(**settings).save_pretrained(folder)
    return Path(folder)


def original_layout(width, layers, neck, fusion, *, grid=37, head=32) -> dict[str, tuple]:
    """Names and shapes of a Depth Anything V2 file as its authors write it, by hand."""
    shapes = {
        "pretrained.cls_token": (1, 1, width),
        "pretrained.mask_token": (1, width),
        "pretrained.pos_embed": (1, 1 + grid * grid, width),
    }

    def layer(name, out, *rest, bias=True):
        shapes[f"{name}.weight"] = (out, *rest)
        if bias:
            shapes[f"{name}.bias"] = (out,)

    layer("pretrained.patch_embed.proj", width, 3, 14, 14)
    layer("pretrained.norm", width)
    for b in range(layers):
        block = f"pretrained.blocks.{b}"
        for n in (1, 2):
            layer(f"{block}.norm{n}", width)
            shapes[f"{block}.ls{n}.gamma"] = (width,)
        layer(f"{block}.attn.qkv", 3 * width, width)
        layer(f"{block}.attn.proj", width, width)
        layer(f"{block}.mlp.fc1", 4 * width, width)
        layer(f"{block}.mlp.fc2", width, 4 * width)
    for i, n in enumerate(neck):
        layer(f"depth_head.projects.{i}", n, width, 1, 1)
        layer(f"depth_head.scratch.layer{i + 1}_rn", fusion, n, 3, 3, bias=False)
        layer(f"depth_head.scratch.refinenet{i + 1}.out_conv", fusion, fusion, 1, 1)
        for unit in (1, 2):
            for c in (1, 2):
                layer(f"depth_head.scratch.refinenet{i + 1}.resConfUnit{unit}.conv{c}", fusion, fusion, 3, 3)
    for i, k in ((0, 4), (1, 2), (3, 3)):
        layer(f"depth_head.resize_layers.{i}", neck[i], neck[i], k, k)
    layer("depth_head.scratch.output_conv1", fusion // 2, fusion, 3, 3)
    layer("depth_head.scratch.output_conv2.0", head, fusion // 2, 3, 3)
    layer("depth_head.scratch.output_conv2.2", 1, head, 1, 1)
    return shapes


ORIGINAL = (64, 12, (8, 8, 16, 16), 8)  # width, layers, neck, head


def original(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random tensors of a tiny Depth Anything V2 under its authors' names."""
    g = torch.Generator().manual_seed(seed)
    shapes = original_layout(*ORIGINAL, grid=5, head=4)
    state = {name: 0.2 * torch.randn(shape, generator=g) for name, shape in shapes.items()}
    state["depth_head.scratch.output_conv2.2.bias"].fill_(3.0)
    return state


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=list(MODELS))
    parser.add_argument("folder", type=Path, help="for example .host/serve/models/refocus/tiny")
    given = parser.parse_args()
    print(save(given.kind, given.folder))
