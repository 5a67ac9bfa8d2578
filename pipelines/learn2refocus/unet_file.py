"""learn2refocus's UNet file: what it must hold, what a wrong file is instead, and its weights under ComfyUI's names.

The file holds an SVD UNet in diffusers' format. ComfyUI knows the same weights under the names of Stability's own code,
so that loading it is a renaming, with the eps of some norms put right.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

from ..image.checks import RefocusError

Shapes = dict[str, tuple[int, ...]]  # {a tensor's name in diffusers' format: its shape}

WANTED = (
    "learn2refocus's UNet (diffusion_pytorch_model.safetensors of tedlasai/learn2refocus, "
    "checkpoint-200000/unet) is needed"
)
MOST_LAYERS = 8  # blocks on the way down, and layers in one; SVD has 4 and 2
XT_FRAMES = 25  # num_frames of SVD-xt
FINE_EPS = 1e-6  # of some norms in diffusers, with which the UNet was trained; 1e-5 in ComfyUI
# (pattern of a tensor's name, what a file with such a tensor is); the first that fits.
KINDS = (
    (r"lora_(A|B|up|down)\b", "a LoRA"),
    (r"motion_modules", "a UNet or module of AnimateDiff"),
    (r"controlnet_|zero_convs|input_hint_block", "a ControlNet"),
    (
        r"(input_blocks|output_blocks)\.\d+\.\d+\.time_(stack|mixer)",
        "Stable Video Diffusion itself (img2vid or xt, as ComfyUI's checkpoints hold it; not told apart)",
    ),
    (r"(input_blocks|output_blocks)\.\d+\.\d+\.", "a Stable Diffusion model for single pictures"),
    (r"^decoder\..*(time_mixer|time_stack)", "SVD's VAE"),
    (r"^(encoder|decoder)\.(down_blocks|up_blocks|mid|conv_in)", "a VAE"),
    (r"^(vision_model|visual_projection)", "a CLIP vision tower"),
    (r"(double_blocks|single_transformer_blocks)\.\d+\.", "a FLUX model"),
    (r"^(model\.diffusion_model\.)?(joint_blocks|transformer_blocks|blocks)\.\d+\.", "a diffusion transformer"),
)
# diffusers' modules outside the blocks, and the layers of a resnet -> ComfyUI's.
OUTSIDE = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
MIDDLE = {"resnets.0": 0, "attentions.0": 1, "resnets.1": 2}
BLOCK = re.compile(
    r"(down_blocks\.(\d+)|up_blocks\.(\d+)|mid_block)"
    r"\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)"
)


@dataclass(frozen=True)
class Layout:
    """The sizes that decide every tensor of an SVD UNet.

    channels: of the blocks on the way down; attention: which of these attend; layers: resnets in each of them;
    context: of the image embedding; ids: of the embedded added ids; inputs: channels of noise and conditioning.
    """

    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    layers: int
    context: int
    ids: int
    inputs: int = 8

    def tensors(self) -> Shapes:
        """{name: shape} of all weights: down, middle, up; a skip from each layer down to one up."""
        c, time = self.channels, 4 * self.channels[0]
        top = len(c) - 1
        found = {
            **_layer("conv_in", c[0], self.inputs, 3, 3),
            **_embedding("time_embedding", c[0], time),
            **_embedding("add_embedding", self.ids, time),
            **_norm("conv_norm_out", c[0]),
            **_layer("conv_out", self.inputs // 2, c[0], 3, 3),
        }
        skips = [c[0]]
        for b, wide in enumerate(c):
            name = f"down_blocks.{b}"
            for i in range(self.layers):
                found |= _resnet(f"{name}.resnets.{i}", wide if i else c[max(b - 1, 0)], wide, time)
                found |= _attention(f"{name}.attentions.{i}", wide, self.context) if self.attention[b] else {}
            skips += [wide] * self.layers
            if b < top:
                found |= _layer(f"{name}.downsamplers.0.conv", wide, wide, 3, 3)
                skips.append(wide)
        found |= _attention("mid_block.attentions.0", c[-1], self.context)
        for i in range(2):
            found |= _resnet(f"mid_block.resnets.{i}", c[-1], c[-1], time)
        for b, wide in enumerate(reversed(c)):
            name, before = f"up_blocks.{b}", c[min(top - b + 1, top)]
            for i in range(self.layers + 1):
                found |= _resnet(f"{name}.resnets.{i}", (wide if i else before) + skips.pop(), wide, time)
                found |= _attention(f"{name}.attentions.{i}", wide, self.context) if self.attention[top - b] else {}
            found |= _layer(f"{name}.upsamplers.0.conv", wide, wide, 3, 3) if b < top else {}
        return found


SVD = Layout((320, 640, 1280, 1280), (True, True, True, False), 2, 1024, 768)


def check_unet(shapes: Shapes, name: str, frames: int | None = None) -> Layout:
    """The layout of an SVD UNet in diffusers' format; RefocusError that says what the file is otherwise.

    shapes: {tensor's name: shape} of the file; name: as shown; frames: num_frames of the config.json beside it.
    What cannot be told from names and shapes: SVD img2vid's own UNet in diffusers' format has exactly these too, and so
    has SVD-xt's where no config.json says 25 frames.
    """
    layout = layout_of(shapes)
    if layout is None:
        raise RefocusError(f"{name} is {kind_of(shapes)}, but {WANTED}: choose it in refocus_unet.")
    if frames == XT_FRAMES:
        raise RefocusError(f"{name} is the UNet of SVD-xt (its config.json says {XT_FRAMES} frames), but {WANTED}.")
    if layout.inputs != SVD.inputs:
        raise RefocusError(
            f"{name} is an SVD UNet of {layout.inputs} input channels, but {WANTED}, which has {SVD.inputs}."
        )
    wanted = layout.tensors()
    ill_shaped = {k for k, v in wanted.items() if tuple(shapes.get(k, v)) != v}
    for what, found in (
        ("lacks", sorted(wanted.keys() - shapes.keys())),
        ("has in excess", sorted(shapes.keys() - wanted.keys())),
        ("has in the wrong shape", sorted(ill_shaped)),
    ):
        if found:
            more = f" and {len(found) - 2} more" if len(found) > 2 else ""
            raise RefocusError(
                f"{name} is an SVD UNet, but {what} {len(found)} of the {len(wanted)} tensors "
                f"({', '.join(found[:2])}{more}): download it again."
            )
    return layout


def kind_of(shapes: Shapes) -> str:
    """What a file of these tensors is, for a sentence."""
    for pattern, kind in KINDS:
        if any(re.search(pattern, name) for name in shapes):
            return kind
    if any(re.search(r"^down_blocks\.\d+\.resnets\.0\.conv1", name) for name in shapes):
        return _image_unet(shapes)
    return "not a model that is known here"


def _image_unet(shapes: Shapes) -> str:
    context = next((s[-1] for n, s in shapes.items() if n.endswith("attn2.to_k.weight") and s), None)
    known = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "SDXL"}.get(context or 0)
    return f"a UNet for single pictures{f' ({known})' if known else ''}, without layers in time"


def layout_of(shapes: Shapes) -> Layout | None:
    """The layout a file's tensors speak of, None where they are not those of an SVD UNet in diffusers' format."""

    def resnet(block: int, layer: int) -> str:
        return f"down_blocks.{block}.resnets.{layer}.spatial_res_block.conv1.weight"

    def size(name: str, axis: int) -> int:
        shape = shapes.get(name, ())
        return shape[axis] if len(shape) > axis else 0

    depth = next(b for b in count() if resnet(b, 0) not in shapes)
    layers = next(i for i in count() if resnet(0, i) not in shapes)
    if depth > MOST_LAYERS or layers > MOST_LAYERS:
        return None
    found = Layout(
        channels=tuple(size(resnet(b, 0), 0) for b in range(depth)),
        attention=tuple(f"down_blocks.{b}.attentions.0.proj_in.weight" in shapes for b in range(depth)),
        layers=layers,
        context=size("mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", 1),
        ids=size("add_embedding.linear_1.weight", 1),
        inputs=size("conv_in.weight", 1),
    )
    return found if depth and found.context and found.ids and found.inputs else None


def comfy_names(names: Iterable[str]) -> dict[str, str]:
    """{diffusers' name: ComfyUI's name} for all weights of an SVD UNet of any size.

    Raises RefocusError for a name that is not one of them.
    """
    names = list(names)
    layers = len({n.split(".")[3] for n in names if n.startswith("down_blocks.0.resnets.")})
    attending = {n.split(".")[1] for n in names if re.match(r"up_blocks\.\d+\.attentions\.", n)}
    found = {}
    for name in names:
        module, _, tensor = name.rpartition(".")
        new = OUTSIDE.get(module) or _comfy_module(module, layers, attending)
        if new is None:
            raise RefocusError(
                f"{name} is not a weight of a Stable Video Diffusion UNet in diffusers' format: choose "
                "learn2refocus's diffusion_pytorch_model.safetensors."
            )
        found[name] = f"{new}.{tensor}"
    return found


def fine_norms(names: Iterable[str]) -> list[str]:
    """diffusers' names -> ComfyUI's modules that need FINE_EPS.

    They are the resnets' norms of all blocks on the way up, and of those on the way down that attend.
    """
    names = list(names)
    attending = {n.split(".")[1] for n in names if n.startswith("down_blocks.") and ".attentions." in n}
    norm = re.compile(r"(down|up)_blocks\.(\d+)\.resnets\..*\.norm[12]\.weight")
    return [
        new.removesuffix(".weight")
        for old, new in comfy_names(names).items()
        if (m := norm.fullmatch(old)) and (m[1] == "up" or m[2] in attending)
    ]


def _comfy_module(module: str, layers: int, attending: set[str]) -> str | None:
    """layers: resnets in a block down; attending: numbers of the blocks up that attend. None: no module of a block.

    ComfyUI counts layers through all blocks: conv_in, then each block's layers and its downsampler; on the way up a
    block has one layer more, and its upsampler belongs to the last of them.
    """
    found = BLOCK.fullmatch(module)
    if not found:
        return None
    block, down, up, kind, i, rest = found.groups()
    if kind == "downsamplers":
        return f"input_blocks.{(layers + 1) * (int(down) + 1)}.0.op"
    if kind == "upsamplers":
        return f"output_blocks.{(layers + 1) * int(up) + layers}.{1 + (up in attending)}.conv"
    if block == "mid_block":
        base = f"middle_block.{MIDDLE[f'{kind}.{i}']}"
    elif down:
        base = f"input_blocks.{1 + (layers + 1) * int(down) + int(i)}.{int(kind == 'attentions')}"
    else:
        base = f"output_blocks.{(layers + 1) * int(up) + int(i)}.{int(kind == 'attentions')}"
    return f"{base}.{_resnet_name(rest) if kind == 'resnets' else _attention_name(rest)}"


def _resnet_name(rest: str) -> str:
    block, _, layer = rest.partition(".")
    if not layer:
        return rest  # time_mixer
    return ("time_stack." if block == "temporal_res_block" else "") + RESNET[layer]


def _attention_name(rest: str) -> str:
    rest = rest.replace("temporal_transformer_blocks", "time_stack")
    return re.sub(r"time_pos_embed\.linear_([12])", lambda m: f"time_pos_embed.{2 * int(m[1]) - 2}", rest)


def _layer(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _norm(name: str, wide: int) -> Shapes:
    return _layer(name, wide)


def _embedding(name: str, inputs: int, hidden: int, outputs: int | None = None) -> Shapes:
    return {**_layer(f"{name}.linear_1", hidden, inputs), **_layer(f"{name}.linear_2", outputs or hidden, hidden)}


def _resnet(name: str, inputs: int, outputs: int, time: int) -> Shapes:
    found: Shapes = {f"{name}.time_mixer.mix_factor": (1,)}
    for part, n, kernel in (("spatial", inputs, (3, 3)), ("temporal", outputs, (3, 1, 1))):
        block = f"{name}.{part}_res_block"
        found |= {
            **_norm(f"{block}.norm1", n),
            **_layer(f"{block}.conv1", outputs, n, *kernel),
            **_layer(f"{block}.time_emb_proj", outputs, time),
            **_norm(f"{block}.norm2", outputs),
            **_layer(f"{block}.conv2", outputs, outputs, *kernel),
        }
    if inputs != outputs:
        found |= _layer(f"{name}.spatial_res_block.conv_shortcut", outputs, inputs, 1, 1)
    return found


def _attention(name: str, wide: int, context: int) -> Shapes:
    spatial, temporal = f"{name}.transformer_blocks.0", f"{name}.temporal_transformer_blocks.0"
    return {
        **_norm(f"{name}.norm", wide),
        **_layer(f"{name}.proj_in", wide, wide),
        **_layer(f"{name}.proj_out", wide, wide),
        f"{name}.time_mixer.mix_factor": (1,),
        **_embedding(f"{name}.time_pos_embed", wide, 4 * wide, wide),
        **_block(spatial, wide, context),
        **_block(temporal, wide, context),
        **_norm(f"{temporal}.norm_in", wide),
        **_feed_forward(f"{temporal}.ff_in", wide),
    }


def _block(name: str, wide: int, context: int) -> Shapes:
    found = _feed_forward(f"{name}.ff", wide)
    for i in (1, 2, 3):
        found |= _norm(f"{name}.norm{i}", wide)
    for i, inputs in ((1, wide), (2, context)):
        found |= {
            f"{name}.attn{i}.to_q.weight": (wide, wide),
            f"{name}.attn{i}.to_k.weight": (wide, inputs),
            f"{name}.attn{i}.to_v.weight": (wide, inputs),
            **_layer(f"{name}.attn{i}.to_out.0", wide, wide),
        }
    return found


def _feed_forward(name: str, wide: int) -> Shapes:
    return {**_layer(f"{name}.net.0.proj", 8 * wide, wide), **_layer(f"{name}.net.2", wide, 4 * wide)}
