"""Who sees whom. Text and noise attend to everything; a condition attends to text, noise and itself only.

mutual: without the rule, everything attends to everything. The published inference predicts from black images that way.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .lora_file import LowRank

TEXT, NOISE, FIRST_CONDITION = 0, 1, 2  # the order of the branches, everywhere


def sees(i: int, j: int, mutual: bool = False) -> bool:
    """Whether queries of branch i attend to keys of branch j."""
    return mutual or i == j or i < FIRST_CONDITION or j < FIRST_CONDITION


def branch_attention(q: list[Tensor], k: list[Tensor], v: list[Tensor], mutual: bool = False) -> list[Tensor]:
    """Attention branch by branch; each [B, heads, n_i, d] -> [B, n_i, heads * d]."""
    out = []
    for i, queries in enumerate(q):
        seen = [j for j in range(len(k)) if sees(i, j, mutual)]
        keys, values = (torch.cat([x[j] for j in seen], dim=2) for x in (k, v))
        out.append(torch.nn.functional.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2))
    return out


# A token branch: a row of tokens with its own modulation, positions and, for a condition, its own LoRA.


@dataclass
class Branch:
    """x [B, n, hidden]: the tokens; temb [B, hidden]: what modulates them; rope: (cos, sin), each [n, head];
    lora: {module: LowRank} of a condition, empty for text and noise."""

    x: Tensor
    temb: Tensor
    rope: tuple[Tensor, Tensor]
    lora: dict[str, LowRank] = field(default_factory=dict)

    def linear(self, name: str, module: nn.Module, x: Tensor) -> Tensor:
        """The base layer, plus this branch's LoRA for it. name: the layer in diffusers' naming."""
        y = module(x)
        return y + self.lora[name](x) if name in self.lora else y

    def modulation(self, name: str, norm: nn.Module, n: int) -> tuple[Tensor, ...]:
        """n tensors [B, 1, hidden] (shift, scale, gate, ...) computed from the branch's own timestep embedding."""
        return self.linear(f"{name}.linear", norm.linear, norm.silu(self.temb))[:, None].chunk(n, dim=-1)


@dataclass(frozen=True)
class Condition:
    """grid [B, h, w, C]: packed latents of a condition image; offset: added to its positions, in tokens (y, x);
    lora: {module: LowRank} that its tokens run through; mutual: whether it attends to the other conditions too."""

    grid: Tensor
    lora: dict[str, LowRank]
    offset: tuple[int, int] = (0, 0)
    mutual: bool = False


# FLUX.1's two kinds of blocks over separate branches, on the layers of diffusers' blocks.


def rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions on pairs of channels; x [B, heads, n, d], cos and sin [n, d]."""
    cos, sin = rope
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return (x.float() * cos + torch.stack([-odd, even], -1).flatten(-2).float() * sin).to(x.dtype)


def heads(x: Tensor, d: int) -> Tensor:
    return x.unflatten(-1, (-1, d)).transpose(1, 2)  # [B, n, heads * d] -> [B, heads, n, d]


def double_block(block: nn.Module, name: str, branches: list[Branch], mutual: bool = False):
    """Text has weights of its own; noise and conditions share the image's, conditions with their LoRA."""
    attn, mods, q, k, v = block.attn, [], [], [], []
    for i, b in enumerate(branches):
        text = i == TEXT
        norm = block.norm1_context if text else block.norm1
        mod = b.modulation(f"{name}.{'norm1_context' if text else 'norm1'}", norm, 6)
        x = norm.norm(b.x) * (1 + mod[1]) + mod[0]
        if text:
            parts = [attn.add_q_proj(x), attn.add_k_proj(x), attn.add_v_proj(x)]
            norms = attn.norm_added_q, attn.norm_added_k
        else:
            parts = [b.linear(f"{name}.attn.{n}", getattr(attn, n), x) for n in ("to_q", "to_k", "to_v")]
            norms = attn.norm_q, attn.norm_k
        parts = [heads(p, attn.head_dim) for p in parts]
        q.append(rotate(norms[0](parts[0]), b.rope))
        k.append(rotate(norms[1](parts[1]), b.rope))
        v.append(parts[2])
        mods.append(mod)
    for i, (b, mod, y) in enumerate(zip(branches, mods, branch_attention(q, k, v, mutual), strict=True)):
        _, _, gate, shift2, scale2, gate2 = mod
        if i == TEXT:
            b.x = b.x + gate * attn.to_add_out(y)
            b.x = b.x + gate2 * block.ff_context(block.norm2_context(b.x) * (1 + scale2) + shift2)
        else:
            b.x = b.x + gate * b.linear(f"{name}.attn.to_out.0", attn.to_out[0], y)
            hidden = block.ff.net[0](block.norm2(b.x) * (1 + scale2) + shift2)
            b.x = b.x + gate2 * b.linear(f"{name}.ff.net.2", block.ff.net[2], hidden)


def single_block(block: nn.Module, name: str, branches: list[Branch], mutual: bool = False):
    """One set of weights for all branches; every branch computes its own gate from its own timestep embedding."""
    attn, gates, mlps, q, k, v = block.attn, [], [], [], [], []
    for b in branches:
        shift, scale, gate = b.modulation(f"{name}.norm", block.norm, 3)
        x = block.norm.norm(b.x) * (1 + scale) + shift
        mlps.append(block.act_mlp(b.linear(f"{name}.proj_mlp", block.proj_mlp, x)))
        parts = [b.linear(f"{name}.attn.{n}", getattr(attn, n), x) for n in ("to_q", "to_k", "to_v")]
        parts = [heads(p, attn.head_dim) for p in parts]
        q.append(rotate(attn.norm_q(parts[0]), b.rope))
        k.append(rotate(attn.norm_k(parts[1]), b.rope))
        v.append(parts[2])
        gates.append(gate)
    for b, gate, mlp, y in zip(branches, gates, mlps, branch_attention(q, k, v, mutual), strict=True):
        b.x = b.x + gate * b.linear(f"{name}.proj_out", block.proj_out, torch.cat([y, mlp], dim=-1))
