"""What an SVD UNet in diffusers' format holds: every tensor's name and shape, from a few sizes."""
from dataclasses import dataclass

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layout:
    """channels: of the blocks on the way down; attention: which of these attend; layers: resnets in each of them;
    context: of the image embedding; ids: of the embedded added ids; inputs: channels of noise and conditioning."""
    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    layers: int
    context: int
    ids: int
    inputs: int = 8

    def tensors(self) -> Shapes:
        """{name: shape} of all weights."""
        c, time = self.channels, 4 * self.channels[0]
        top = len(c) - 1
        found = {**_layer("conv_in", c[0], self.inputs, 3, 3), **_embedding("time_embedding", c[0], time),
                 **_embedding("add_embedding", self.ids, time), **_norm("conv_norm_out", c[0]),
                 **_layer("conv_out", self.inputs // 2, c[0], 3, 3)}
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


def layout_of(shapes: Shapes) -> Layout | None:
    """The layout a file's tensors speak of, None where they are not those of an SVD UNet in diffusers' format."""
    def size(name, axis):
        return shapes.get(name, (0, 0))[axis]

    depth = 0
    while f"down_blocks.{depth}.resnets.0.spatial_res_block.conv1.weight" in shapes:
        depth += 1
    layers = 0
    while f"down_blocks.0.resnets.{layers}.spatial_res_block.conv1.weight" in shapes:
        layers += 1
    channels = tuple(size(f"down_blocks.{b}.resnets.0.spatial_res_block.conv1.weight", 0) for b in range(depth))
    attention = tuple(f"down_blocks.{b}.attentions.0.proj_in.weight" in shapes for b in range(depth))
    context = size("mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight", 1)
    found = Layout(channels, attention, layers, context, size("add_embedding.linear_1.weight", 1),
                   size("conv_in.weight", 1))
    return found if depth and all((found.context, found.ids, found.inputs)) else None


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
        found |= {**_norm(f"{block}.norm1", n), **_layer(f"{block}.conv1", outputs, n, *kernel),
                  **_layer(f"{block}.time_emb_proj", outputs, time), **_norm(f"{block}.norm2", outputs),
                  **_layer(f"{block}.conv2", outputs, outputs, *kernel)}
    if inputs != outputs:
        found |= _layer(f"{name}.spatial_res_block.conv_shortcut", outputs, inputs, 1, 1)
    return found


def _attention(name: str, wide: int, context: int) -> Shapes:
    spatial, temporal = f"{name}.transformer_blocks.0", f"{name}.temporal_transformer_blocks.0"
    return {**_norm(f"{name}.norm", wide), **_layer(f"{name}.proj_in", wide, wide),
            **_layer(f"{name}.proj_out", wide, wide), f"{name}.time_mixer.mix_factor": (1,),
            **_embedding(f"{name}.time_pos_embed", wide, 4 * wide, wide), **_block(spatial, wide, context),
            **_block(temporal, wide, context), **_norm(f"{temporal}.norm_in", wide),
            **_feed_forward(f"{temporal}.ff_in", wide)}


def _block(name: str, wide: int, context: int) -> Shapes:
    found = _feed_forward(f"{name}.ff", wide)
    for i in (1, 2, 3):
        found |= _norm(f"{name}.norm{i}", wide)
    for i, inputs in ((1, wide), (2, context)):
        found |= {f"{name}.attn{i}.to_q.weight": (wide, wide), f"{name}.attn{i}.to_k.weight": (wide, inputs),
                  f"{name}.attn{i}.to_v.weight": (wide, inputs), **_layer(f"{name}.attn{i}.to_out.0", wide, wide)}
    return found


def _feed_forward(name: str, wide: int) -> Shapes:
    return {**_layer(f"{name}.net.0.proj", 8 * wide, wide), **_layer(f"{name}.net.2", wide, 4 * wide)}
