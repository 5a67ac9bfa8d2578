"""The definition of right: one velocity of FLUX.1 with conditions over diffusers' FluxTransformer2DModel.

Method: OminiControl (arXiv 2411.15098). The native path in nodes/flux computes the same in one fused row of tokens.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..image.checks import RefocusError
from .architecture import Architecture
from .blocks import NOISE, Branch, Condition, Embedded, double_block, single_block
from .lora_file import LowRank
from .memory import Memory
from .sampling import require_guidance
from .tokens import ALL, OWN, position_ids


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
    conditions: Sequence[Condition | Embedded],
    text: Tensor,
    pooled: Tensor,
    timestep: Tensor | float,
    guidance: float,
    *,
    rule: str = OWN,
    shift: Tensor | None = None,
    lora: dict[str, LowRank] | None = None,
    memory: Memory | None = None,
    checkpointing: bool = False,
) -> Tensor:
    """v [B, h, w, C] at noise [B, h, w, C]; text [B, t, .], pooled [B, .], timestep 0..1 (a float or [B]).

    Conditions are modulated with timestep 0 and guidance 1 and run through their LoRA. A condition that is `mutual`
    makes the rule of attention ALL.

    shift [B, hidden]: added to what modulates the noise, in every block and behind them; lora: of text and noise, where
    a LoRA is not for conditions alone; memory: of these conditions, with the rule CONDITIONS, see memory.py;
    checkpointing: for training, blocks run once more for their gradients instead of keeping what they computed.
    """
    require_guidance(transformer.config.guidance_embeds)
    b, h, w, _ = noise.shape
    kept = memory is not None and memory.whole

    def embed(timestep, guidance):  # [B, hidden]
        exact = torch.promote_types(noise.dtype, torch.float32)  # bfloat16 would round 1000 t to steps of 4
        t, g = (torch.as_tensor(s, dtype=exact, device=noise.device).expand(b) for s in (timestep, guidance))
        return transformer.time_text_embed(t * 1000, g * 1000, pooled)

    def rope(ids):  # (cos, sin), each [n, head], or [B, 1, n, head] of ids [B, n, 3]
        cos_sin = transformer.pos_embed(ids.reshape(-1, 3).to(noise.device))
        return cos_sin if ids.ndim == 2 else tuple(y.unflatten(0, ids.shape[:2])[:, None] for y in cos_sin)

    def branch(tokens, temb, ids, lora):
        branch = Branch(tokens, temb, rope(ids), lora)
        branch.x = branch.linear("x_embedder", transformer.x_embedder, tokens)
        return branch

    main, everywhere = embed(timestep, guidance), lora or {}
    own = main if shift is None else main + shift.to(main)
    branches = [
        Branch(transformer.context_embedder(text), main, rope(torch.zeros(text.shape[1], 3)), everywhere),
        branch(noise.flatten(1, 2), own, position_ids(h, w), everywhere),
    ]
    still = main if kept or not conditions else embed(0, 1)
    for c in () if kept else conditions:
        if isinstance(c, Embedded):
            branches.append(Branch(c.x.to(noise), still, rope(c.ids), c.lora))
        else:
            rows, columns = c.grid.shape[1:3]
            branches.append(branch(c.grid.flatten(1, 2), still, position_ids(rows, columns, c.offset), c.lora))

    rule = ALL if any(c.mutual for c in conditions) else rule
    kinds = (("transformer_blocks", double_block), ("single_transformer_blocks", single_block))
    for kind, run in kinds:
        for i, block in enumerate(getattr(transformer, kind)):
            step = partial(run, block, f"{kind}.{i}", rule=rule, memory=memory)
            _again_for_gradients(step, branches) if checkpointing else step(branches)
    if memory is not None and not kept:
        memory.close(len(transformer.transformer_blocks) + len(transformer.single_transformer_blocks))
    out = transformer.proj_out(transformer.norm_out(branches[NOISE].x, own))  # [B, h * w, C]
    return out.unflatten(1, (h, w))


def _again_for_gradients(step, branches: list[Branch]):
    """step(branches), of which only what goes in is kept for the gradients."""

    def run(*xs):
        copies = [replace(b, x=x) for b, x in zip(branches, xs, strict=True)]
        step(copies)
        return tuple(b.x for b in copies)

    for b, x in zip(branches, checkpoint(run, *(b.x for b in branches), use_reentrant=False), strict=True):
        b.x = x
