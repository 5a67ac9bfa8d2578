"""FLUX.1's two kinds of blocks over separate branches, on the layers of diffusers' blocks."""
import torch
from torch import Tensor, nn

from .attention import TEXT, branch_attention
from .branches import Branch


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
