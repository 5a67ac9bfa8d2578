"""diffusers' names of an SVD UNet's weights -> those of Stability's own code, which ComfyUI uses."""
import re
from collections.abc import Iterable

from ..optics import RefocusError

OUTSIDE = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
           "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
           "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}
RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
          "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
FINE_EPS = 1e-6
MIDDLE = {"resnets.0": 0, "attentions.0": 1, "resnets.1": 2}
BLOCK = re.compile(r"(down_blocks\.(\d+)|up_blocks\.(\d+)|mid_block)\.(resnets|attentions|downsamplers|upsamplers)"
                   r"\.(\d+)\.(.+)")


def renamed(names: Iterable[str]) -> dict[str, str]:
    """{diffusers' name: ComfyUI's name} for all weights of an SVD UNet of any size.

    Raises RefocusError for a name that is not one of them.
    """
    names = list(names)
    layers = len({n.split(".")[3] for n in names if n.startswith("down_blocks.0.resnets.")})
    attending = {n.split(".")[1] for n in names if re.match(r"up_blocks\.\d+\.attentions\.", n)}
    found = {}
    for name in names:
        module, _, tensor = name.rpartition(".")
        new = OUTSIDE.get(module) or _inside(module, layers, attending)
        if new is None:
            raise RefocusError(f"{name} is not a weight of a Stable Video Diffusion UNet in diffusers' format: choose "
                               "learn2refocus's diffusion_pytorch_model.safetensors.")
        found[name] = f"{new}.{tensor}"
    return found


def fine_norms(names: Iterable[str]) -> list[str]:
    """ComfyUI's modules whose eps is FINE_EPS in diffusers, with which the UNet was trained, and 1e-5 in ComfyUI: the
    resnets' norms of all blocks on the way up, and of those on the way down that attend."""
    names = list(names)
    attending = {n.split(".")[1] for n in names if n.startswith("down_blocks.") and ".attentions." in n}
    found = []
    for old, new in renamed(names).items():
        part, block, kind = (*old.split("."), "", "")[:3]
        if kind == "resnets" and re.search(r"\.norm[12]\.weight$", old) and (part == "up_blocks" or (
                part == "down_blocks" and block in attending)):
            found.append(new.removesuffix(".weight"))
    return found


def _inside(module: str, layers: int, attending: set[str]) -> str | None:
    parts = BLOCK.fullmatch(module)
    if not parts:
        return None
    place, down, up, kind, i, rest = parts.groups()
    if kind == "downsamplers":
        return f"input_blocks.{(layers + 1) * (int(down) + 1)}.0.op"
    if kind == "upsamplers":
        return f"output_blocks.{(layers + 1) * int(up) + layers}.{1 + (up in attending)}.conv"
    if place == "mid_block":
        base = f"middle_block.{MIDDLE[f'{kind}.{i}']}"
    else:
        at = 1 + (layers + 1) * int(down) + int(i) if down else (layers + 1) * int(up) + int(i)
        base = f"{'input' if down else 'output'}_blocks.{at}.{int(kind == 'attentions')}"
    return f"{base}.{_resnet(rest) if kind == 'resnets' else _attention(rest)}"


def _resnet(rest: str) -> str:
    block, _, layer = rest.partition(".")
    if not layer:
        return rest   # time_mixer
    return ("time_stack." if block == "temporal_res_block" else "") + RESNET[layer]


def _attention(rest: str) -> str:
    rest = rest.replace("temporal_transformer_blocks", "time_stack")
    return rest.replace("time_pos_embed.linear_1", "time_pos_embed.0").replace("time_pos_embed.linear_2",
                                                                               "time_pos_embed.2")
