"""The definition of right: one velocity of FLUX.1 with conditions over diffusers' FluxTransformer2DModel.

Method: OminiControl (arXiv 2411.15098). The native path in nodes/flux computes the same in one fused row of tokens.
"""

import torch
from torch import Tensor

from ..image.checks import RefocusError
from .architecture import Architecture
from .blocks import NOISE, Branch, Condition, double_block, single_block
from .sampling import require_guidance
from .tokens import position_ids


def load_transformer(folder: str, **options):
    """FluxTransformer2DModel.from_pretrained(folder, **options), in eval mode; needs diffusers."""
    try:
        from diffusers import FluxTransformer2DModel
    except ImportError as error:
        raise RefocusError(
            "the reference runs on diffusers' FluxTransformer2DModel, and diffusers is not installed: "
            "pip install diffusers, or use the nodes, which need only ComfyUI."
        ) from error
    return FluxTransformer2DModel.from_pretrained(folder, **options).eval()


def architecture_of(transformer) -> Architecture:
    """The sizes of a FluxTransformer2DModel, from its config."""
    c = transformer.config
    hidden = c.num_attention_heads * c.attention_head_dim
    return Architecture(c.in_channels, hidden, 4 * hidden, c.num_layers, c.num_single_layers)


def velocity(
    transformer,
    noise: Tensor,
    conditions: list[Condition],
    text: Tensor,
    pooled: Tensor,
    timestep: Tensor | float,
    guidance: float,
) -> Tensor:
    """v [B, h, w, C] at noise [B, h, w, C]; text [B, t, .], pooled [B, .], timestep 0..1 (a float or [B]).

    Conditions are modulated with timestep 0 and guidance 1 and alone run through their LoRA.
    """
    require_guidance(transformer.config.guidance_embeds)
    b, h, w, _ = noise.shape

    def embed(timestep, guidance):  # [B, hidden]
        t, g = (torch.as_tensor(s, dtype=noise.dtype, device=noise.device).expand(b) for s in (timestep, guidance))
        return transformer.time_text_embed(t * 1000, g * 1000, pooled)

    def rope(ids):  # (cos, sin), each [n, head]
        return transformer.pos_embed(ids.to(noise.device))

    main, still = embed(timestep, guidance), embed(0, 1)
    branches = [
        Branch(transformer.context_embedder(text), main, rope(torch.zeros(text.shape[1], 3))),
        Branch(transformer.x_embedder(noise.flatten(1, 2)), main, rope(position_ids(h, w))),
    ]
    for c in conditions:
        tokens = c.grid.flatten(1, 2)  # [B, n, C]
        rows, columns = c.grid.shape[1:3]
        branch = Branch(tokens, still, rope(position_ids(rows, columns, c.offset)), c.lora)
        branch.x = branch.linear("x_embedder", transformer.x_embedder, tokens)
        branches.append(branch)

    mutual = any(c.mutual for c in conditions)
    for i, block in enumerate(transformer.transformer_blocks):
        double_block(block, f"transformer_blocks.{i}", branches, mutual)
    for i, block in enumerate(transformer.single_transformer_blocks):
        single_block(block, f"single_transformer_blocks.{i}", branches, mutual)
    out = transformer.proj_out(transformer.norm_out(branches[NOISE].x, main))  # [B, h * w, C]
    return out.unflatten(1, (h, w))
