"""Depth Anything V2 (arXiv 2406.09414) as one safetensors file with its authors' tensor names, as most artists have it.

The names become those of transformers, and sizes are read from the tensors. Metric files are told by their names, as
nothing inside differs.
"""

import re

from torch import Tensor

from ..files import read_header
from ..image.checks import RefocusError, shown

MARKS = {"pretrained.cls_token", "depth_head.scratch.output_conv1.weight"}  # no other model has both
# Zero-based encoder layers whose output goes to the head, by the number of layers.
TAPPED = {12: (2, 5, 8, 11), 24: (4, 11, 17, 23), 40: (9, 19, 29, 39)}
HEAD_WIDTH = 64
# Largest distance in metres of the two sets of rooms and streets that metric files were trained on.
TRAINED_ON = {"hypersim": 20, "vkitti": 80}

# (pattern of the authors' name, name in transformers), but for the attention and the neck's fusion.
NAMES = (
    (r"pretrained\.(cls_token|mask_token)", r"backbone.embeddings.\1"),
    (r"pretrained\.pos_embed", r"backbone.embeddings.position_embeddings"),
    (r"pretrained\.patch_embed\.proj\.(\w+)", r"backbone.embeddings.patch_embeddings.projection.\1"),
    (r"pretrained\.norm\.(\w+)", r"backbone.layernorm.\1"),
    (r"pretrained\.blocks\.(\d+)\.ls([12])\.gamma", r"backbone.encoder.layer.\1.layer_scale\2.lambda1"),
    (r"pretrained\.blocks\.(\d+)\.(norm[12]|mlp\.fc[12])\.(\w+)", r"backbone.encoder.layer.\1.\2.\3"),
    (r"depth_head\.projects\.(\d)\.(\w+)", r"neck.reassemble_stage.layers.\1.projection.\2"),
    (r"depth_head\.resize_layers\.(\d)\.(\w+)", r"neck.reassemble_stage.layers.\1.resize.\2"),
    (r"depth_head\.scratch\.output_conv1\.(\w+)", r"head.conv1.\1"),
    (r"depth_head\.scratch\.output_conv2\.0\.(\w+)", r"head.conv2.\1"),
    (r"depth_head\.scratch\.output_conv2\.2\.(\w+)", r"head.conv3.\1"),
)
# The authors' layer of an attention -> its layers in transformers, as version 5 names them and as version 4 does.
ATTENTION = {
    "qkv": (("q_proj", "k_proj", "v_proj"), ("attention.query", "attention.key", "attention.value")),
    "proj": (("o_proj",), ("output.dense",)),
}


def is_original(path: str) -> bool:
    """Whether a safetensors file holds Depth Anything under its authors' names; reads the header alone.

    False for a file that is missing or damaged.
    """
    try:
        return read_header(path).keys() >= MARKS
    except RefocusError:
        return False


def original_config(state: dict[str, Tensor], name: str) -> dict:
    """Tensors and file name -> config.json of the same model in transformers, as a dict.

    Raises RefocusError for a number of layers that is not known and for a metric file that does not say how far it
    reaches, KeyError or the like where tensors are missing.
    """
    tokens, width = state["pretrained.pos_embed"].shape[1:]
    layers = 1 + max(int(k.split(".")[2]) for k in state if k.startswith("pretrained.blocks."))
    if layers not in TAPPED:
        raise RefocusError(
            f"{name} is a Depth Anything with {shown(layers)} encoder layers, but 12, 24 or 40 are known: "
            "use a Depth Anything V2 file (vits, vitb, vitl or vitg)."
        )
    patch = state["pretrained.patch_embed.proj.weight"].shape[-1]
    metric = next((m for word, m in TRAINED_ON.items() if word in name.lower()), None)
    if metric is None and "metric" in name.lower():
        raise RefocusError(
            f"the name {name} says metric, but not how far it reaches: name it with hypersim (rooms, "
            "20 m) or vkitti (streets, 80 m), as its source does."
        )
    return {
        "model_type": "depth_anything",
        "architectures": ["DepthAnythingForDepthEstimation"],
        "patch_size": patch,
        "reassemble_hidden_size": width,
        "neck_hidden_sizes": [state[f"depth_head.projects.{i}.weight"].shape[0] for i in range(4)],
        "fusion_hidden_size": state["depth_head.scratch.layer1_rn.weight"].shape[0],
        "head_hidden_size": state["depth_head.scratch.output_conv2.0.weight"].shape[0],
        "depth_estimation_type": "metric" if metric else "relative",
        "max_depth": metric or 1,
        "backbone_config": {
            "model_type": "dinov2",
            "hidden_size": width,
            "num_hidden_layers": layers,
            "patch_size": patch,
            "num_attention_heads": width // HEAD_WIDTH,
            "image_size": patch * round((tokens - 1) ** 0.5),
            "use_swiglu_ffn": "pretrained.blocks.0.mlp.w12.weight" in state,
            "out_indices": [i + 1 for i in TAPPED[layers]],
            "apply_layernorm": True,
            "reshape_hidden_states": False,
        },
    }


def as_transformers(state: dict[str, Tensor], wanted: set[str]) -> dict[str, Tensor]:
    """Tensors under their authors' names -> under transformers'; `wanted` holds those of the model that takes them."""
    return {new: tensor for name, t in state.items() for new, tensor in _named(name, t, wanted)}


def _named(name: str, tensor: Tensor, wanted: set[str]) -> list[tuple[str, Tensor]]:
    """One tensor under its new name, or the three that a joint query, key and value becomes."""
    block = re.fullmatch(r"pretrained\.blocks\.(\d+)\.attn\.(qkv|proj)\.(\w+)", name)
    if block:
        number, what, kind = block.groups()
        for forms in ATTENTION[what]:
            names = [f"backbone.encoder.layer.{number}.attention.{form}.{kind}" for form in forms]
            # What cannot be divided keeps its name, and the model is found to lack a tensor.
            if names[0] in wanted and tensor.ndim and tensor.shape[0] % len(names) == 0:
                return list(zip(names, tensor.chunk(len(names)), strict=True))
    # The neck counts its stages from the deepest, the authors' files from the finest.
    fused = re.fullmatch(r"depth_head\.scratch\.(?:refinenet([1-4])\.(.+)|layer([1-4])_rn\.(\w+))", name)
    if fused and fused[1]:
        rest = re.sub(r"resConfUnit([12])\.conv([12])", r"residual_layer\1.convolution\2", fused[2])
        return [(f"neck.fusion_stage.layers.{4 - int(fused[1])}.{rest.replace('out_conv', 'projection')}", tensor)]
    if fused:
        return [(f"neck.convs.{int(fused[3]) - 1}.{fused[4]}", tensor)]
    for pattern, new in NAMES:
        if re.fullmatch(pattern, name):
            return [(re.sub(pattern, new, name), tensor)]
    return [(name, tensor)]
