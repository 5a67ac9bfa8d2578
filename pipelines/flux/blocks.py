"""FLUX.1's two kinds of blocks over separate branches of tokens, on the layers of diffusers' blocks.

branches     text | noise | condition 0 | condition 1 | ...
weights      text has its own; noise and conditions share the image's, each condition with its LoRA on top
modulation   every branch by its own timestep and guidance
attention    text and noise attend to everything, a condition by one of the rules below

Method: OminiControl (arXiv 2411.15098).
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .lora_file import LowRank
from .memory import KeysValues, Memory
from .tokens import ALL, CONDITIONS, OWN

QKV = tuple[Tensor, Tensor, Tensor]  # queries, keys, values
Layers = Any  # a module of diffusers: torch would have each of its parts be a Tensor or a Module
TEXT, NOISE, FIRST_CONDITION = 0, 1, 2  # the order of the branches, everywhere


@dataclass(frozen=True)
class Condition:
    """grid [B, h, w, C]: packed latents of a condition image; offset: added to its positions, in tokens (y, x);
    lora: {layer: LowRank} that its tokens run through; mutual: whether it attends to the other conditions too."""

    grid: Tensor
    lora: dict[str, LowRank]
    offset: tuple[int, int] = (0, 0)
    mutual: bool = False

    def cut(self, rows: slice, columns: slice) -> "Condition":
        """That of one tile, which counts its positions from 0, whatever the offset."""
        return replace(self, grid=self.grid[:, rows, columns], offset=(0, 0))


@dataclass(frozen=True)
class Embedded:
    """A condition that is no picture. x [B, n, hidden]: tokens as an engine makes them, behind the embedding of
    latents; ids [B, n, 3]: their positions, which need not be whole; placed: whether these are places of the picture,
    in tokens, so that a tile counts them from its own first token; lora: as Condition."""

    x: Tensor
    ids: Tensor
    placed: bool
    lora: dict[str, LowRank] = field(default_factory=dict)
    mutual: bool = False

    def cut(self, rows: slice, columns: slice) -> "Embedded":
        """That of one tile."""
        origin = self.ids.new_tensor([0, rows.start, columns.start])
        return replace(self, ids=self.ids - origin) if self.placed else self


@dataclass
class Branch:
    """x [B, n, hidden]: the tokens; temb [B, hidden]: what modulates them; rope: (cos, sin), each [n, head] or
    [B, 1, n, head]; lora: {layer: LowRank} that it runs through, empty for none."""

    x: Tensor
    temb: Tensor
    rope: tuple[Tensor, Tensor]
    lora: dict[str, LowRank] = field(default_factory=dict)

    def linear(self, name: str, layer: Layers, x: Tensor) -> Tensor:
        """The base layer, plus this branch's LoRA for it. name: the layer in diffusers' naming."""
        y = layer(x)
        return y + self.lora[name](x) if name in self.lora else y

    def modulation(self, name: str, norm: Layers, n: int) -> tuple[Tensor, ...]:
        """n tensors [B, 1, hidden] (shift, scale, gate, ...) computed from the branch's own timestep embedding."""
        return self.linear(f"{name}.linear", norm.linear, norm.silu(self.temb))[:, None].chunk(n, dim=-1)

    def qkv(self, name: str, attn: Layers, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B, heads, n, d] by the image's weights."""
        return self.rotated(
            self.linear(f"{name}.attn.to_q", attn.to_q, x),
            self.linear(f"{name}.attn.to_k", attn.to_k, x),
            self.linear(f"{name}.attn.to_v", attn.to_v, x),
            attn.norm_q,
            attn.norm_k,
        )

    def text_qkv(self, attn: Layers, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same by the text's weights."""
        q, k, v = attn.add_q_proj(x), attn.add_k_proj(x), attn.add_v_proj(x)
        return self.rotated(q, k, v, attn.norm_added_q, attn.norm_added_k)

    def rotated(self, q: Tensor, k: Tensor, v: Tensor, norm_q: Layers, norm_k: Layers):
        d = self.rope[0].shape[-1]
        q, k, v = (y.unflatten(-1, (-1, d)).transpose(1, 2) for y in (q, k, v))  # [B, n, heads * d] -> [B, heads, n, d]
        return rotate(norm_q(q), self.rope), rotate(norm_k(k), self.rope), v


def rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """(a, b) -> (a cos - b sin, b cos + a sin) on neighbouring channels; x [B, heads, n, d], cos and sin as a
    branch's."""
    cos, sin = rope
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return (x.float() * cos + torch.stack([-b, a], -1).flatten(-2).float() * sin).to(x.dtype)


def sees(i: int, j: int, rule: str = OWN) -> bool:
    """Whether queries of branch i attend to keys of branch j."""
    if rule == ALL or i == j or i < FIRST_CONDITION:
        return True
    return (j >= FIRST_CONDITION) == (rule == CONDITIONS)


def branch_attention(qkv: list[QKV], rule: str = OWN, kept: KeysValues | None = None) -> list[Tensor]:
    """Attention of branches; q, k and v of branch i are [B, heads, n_i, d], its result is [B, n_i, heads * d].

    kept: (k, v) of conditions that are no branches here; every branch sees them. Branches that see the same ask at
    once.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for i in range(len(qkv)):
        groups.setdefault(tuple(j for j in range(len(qkv)) if sees(i, j, rule)), []).append(i)
    out: dict[int, Tensor] = {}
    for seen, asking in groups.items():
        others: list[KeysValues] = [] if kept is None else [kept]
        k, v = (torch.cat(part, dim=2) for part in zip(*[qkv[j][1:] for j in seen], *others, strict=True))
        q = torch.cat([qkv[i][0] for i in asking], dim=2)
        y = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # [B, n, heads * d]
        out.update(zip(asking, y.split([qkv[i][0].shape[2] for i in asking], dim=1), strict=True))
    return [out[i] for i in range(len(qkv))]


def _attend(name: str, qkv: list[QKV], rule: str, memory: Memory | None) -> list[Tensor]:
    """branch_attention of a block, with what the memory holds of it, or kept there for the steps to come."""
    if memory is not None and memory.whole:
        return branch_attention(qkv, rule, memory.of(name))
    if memory is not None:
        memory.keep(name, *(torch.cat([branch[part] for branch in qkv[FIRST_CONDITION:]], dim=2) for part in (1, 2)))
    return branch_attention(qkv, rule)


def double_block(block: Layers, name: str, branches: list[Branch], rule: str = OWN, memory: Memory | None = None):
    """Attention, then an MLP; text by weights of its own. Changes the branches' x in place."""
    attn, mods, qkv = block.attn, [], []
    for i, b in enumerate(branches):
        norm = "norm1_context" if i == TEXT else "norm1"
        mod = b.modulation(f"{name}.{norm}", getattr(block, norm), 6)
        shift, scale = mod[:2]
        x = getattr(block, norm).norm(b.x) * (1 + scale) + shift
        mods.append(mod)
        qkv.append(b.text_qkv(attn, x) if i == TEXT else b.qkv(name, attn, x))
    for i, (b, mod, y) in enumerate(zip(branches, mods, _attend(name, qkv, rule, memory), strict=True)):
        _, _, gate, mlp_shift, mlp_scale, mlp_gate = mod
        if i == TEXT:
            b.x = b.x + gate * attn.to_add_out(y)
            b.x = b.x + mlp_gate * block.ff_context(block.norm2_context(b.x) * (1 + mlp_scale) + mlp_shift)
        else:
            b.x = b.x + gate * b.linear(f"{name}.attn.to_out.0", attn.to_out[0], y)
            hidden = block.ff.net[0](block.norm2(b.x) * (1 + mlp_scale) + mlp_shift)  # [B, n, mlp]
            b.x = b.x + mlp_gate * b.linear(f"{name}.ff.net.2", block.ff.net[2], hidden)


def single_block(block: Layers, name: str, branches: list[Branch], rule: str = OWN, memory: Memory | None = None):
    """Attention beside an MLP, one set of weights for all branches. Changes the branches' x in place."""
    gates, mlps, qkv = [], [], []
    for b in branches:
        shift, scale, gate = b.modulation(f"{name}.norm", block.norm, 3)
        x = block.norm.norm(b.x) * (1 + scale) + shift
        gates.append(gate)
        mlps.append(block.act_mlp(b.linear(f"{name}.proj_mlp", block.proj_mlp, x)))  # [B, n, mlp]
        qkv.append(b.qkv(name, block.attn, x))
    for b, gate, mlp, y in zip(branches, gates, mlps, _attend(name, qkv, rule, memory), strict=True):
        b.x = b.x + gate * b.linear(f"{name}.proj_out", block.proj_out, torch.cat([y, mlp], dim=-1))
