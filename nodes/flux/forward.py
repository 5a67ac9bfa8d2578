"""One velocity of FLUX.1 with conditions on ComfyUI's own model: every block once, over one row of tokens.

The row is text | noise | condition 0 | condition 1 | ...; the same as pipelines.flux.reference, branch by branch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import comfy.model_management as mm
import torch
from comfy.ldm.flux.layers import timestep_embedding
from torch import Tensor

from ...pipelines.flux.memory import Memory
from ...pipelines.flux.tokens import OWN, Rows, position_ids
from ...pipelines.image.checks import RefocusError
from ..abilities import modulation_index
from .lora import LoraWeights, loras_on_conditions

OVERRIDE = "optimized_attention_override"


@dataclass(frozen=True)
class NativeCondition:
    """grid [B, h, w, C]: packed latents; offset: added to its positions, in tokens (y, x); lora: index of its LoRA."""

    grid: Tensor
    offset: tuple[int, int]
    lora: int

    @property
    def tokens(self) -> int:
        return self.grid.shape[1] * self.grid.shape[2]

    def ids(self) -> Tensor:
        """Its positions [n, 3]."""
        h, w = self.grid.shape[1:3]
        return position_ids(h, w, self.offset, self.grid.device)


@dataclass(frozen=True)
class NativeEmbedded:
    """x [B, n, hidden]: tokens that are embedded already; positions [B, n, 3]; lora: index of its LoRA."""

    x: Tensor
    positions: Tensor
    lora: int

    @property
    def tokens(self) -> int:
        return self.x.shape[1]

    def ids(self) -> Tensor:
        return self.positions


@dataclass(frozen=True)
class Inputs:
    """What every tile of one call shares: text [B, t, .], pooled [B, .], timestep [B], guidance [B] or None.

    rule: of attention; shift [B, hidden]: added to what modulates the noise; everywhere: whether text and noise run
    through the LoRA too.
    """

    text: Tensor
    pooled: Tensor | None
    timestep: Tensor
    guidance: Tensor | None
    transformer_options: dict
    rule: str = OWN
    shift: Tensor | None = None
    everywhere: bool = False


def velocity(
    flux,
    loras: Sequence[LoraWeights],
    noise: Tensor,
    conditions: Sequence[NativeCondition | NativeEmbedded],
    inputs: Inputs,
    control: dict | None = None,
    memory: Memory | None = None,
) -> Tensor:
    """v [B, h, w, C] at noise [B, h, w, C]; conditions that are embedded already come last.

    control: ComfyUI's residuals for this grid, {"input": [...], ...}; memory: of these conditions, with the rule
    CONDITIONS; what it holds whole is not computed.
    """
    b, h, w, _ = noise.shape
    if memory is not None and memory.whole:
        conditions = ()
    sizes, which = tuple(c.tokens for c in conditions), tuple(c.lora for c in conditions)
    rows = Rows(inputs.text.shape[1], h * w, sizes, which, apart=inputs.shift is not None)
    index = modulation_index() if b > 1 else int
    options = dict(inputs.transformer_options)
    grids = [noise, *(c.grid for c in conditions if isinstance(c, NativeCondition))]
    img = torch.cat([g.flatten(1, 2) for g in grids], dim=1)
    with loras_on_conditions(flux, loras, rows, inputs.everywhere):
        img = flux.img_in(img)  # [B, noise + pictures, hidden]
    img = torch.cat([img, *(c.x.to(img) for c in conditions if isinstance(c, NativeEmbedded))], dim=1)
    txt = flux.txt_in(inputs.text)  # [B, text, hidden]
    vec = _embed(flux, inputs, img, len(loras))  # [B, rows, hidden]
    img, txt, ids = _patched_input(img, txt, _ids(rows.text, noise, conditions), options)
    rows = replace(rows, text=txt.shape[1])
    pe = flux.pe_embedder(ids)
    options = with_attention_rule(options, rows, inputs.rule, memory)
    replaced = options.get("patches_replace", {}).get("dit", {})
    with loras_on_conditions(flux, loras, rows, inputs.everywhere):
        dims = {
            "modulation_dims_img": rows.modulation_ranges(index, text=False),
            "modulation_dims_txt": [(0, rows.text, index(0))],
        }
        options.update(total_blocks=len(flux.double_blocks), block_type="double")
        for i, block in enumerate(flux.double_blocks):
            img, txt = _double(block, replaced.get(("double_block", i)), i, img, txt, vec, pe, options, dims)
            _add_residual(img, 0, rows.noise, control, "input", i)

        x = torch.cat((txt, _finite(img)), 1)  # [B, text + noise + conditions, hidden]
        dims = {"modulation_dims": rows.modulation_ranges(index, text=True)}
        # Which tokens are the image's, as patches of the attention want to know; in double blocks the host says it.
        options.update(total_blocks=len(flux.single_blocks), block_type="single", img_slice=[rows.text, x.shape[1]])
        for i, block in enumerate(flux.single_blocks):
            x = _single(block, replaced.get(("single_block", i)), i, x, vec, pe, options, dims)
            _add_residual(x, rows.text, rows.noise, control, "output", i)

    if memory is not None and conditions:
        memory.close(len(flux.double_blocks) + len(flux.single_blocks))
    out = flux.final_layer(x[:, rows.text : rows.main], vec[:, int(rows.apart)])  # [B, h * w, C]
    return out.unflatten(1, (h, w))


def with_attention_rule(transformer_options: dict, rows: Rows, rule: str = OWN, memory: Memory | None = None) -> dict:
    """A copy of the options in which conditions see what the rule says; an override that is there is called inside.

    One call of the host's attention for each group of queries, no mask: boolean masks come out wrong in two of the
    host's attention functions, and a mask would forbid the fastest ones.
    """
    groups = rows.query_groups(rule)
    if len(groups) == 1 and memory is None:
        return dict(transformer_options)
    inner, options = transformer_options.get(OVERRIDE), dict(transformer_options)

    def attend(attention, q, k, v, heads, *args, **kwargs):
        call = attention if inner is None else lambda *a, **kw: inner(attention, *a, **kw)
        if memory is not None:
            k, v = _remembered(memory, f"{options['block_type']} {options['block_index']}", k, v, rows.main)
        whole = slice(0, k.shape[2])
        parts = [(asks, [whole] if memory is not None and memory.whole else seen) for asks, seen in groups]
        return torch.cat(
            [call(q[:, :, asks], _pick(k, seen), _pick(v, seen), heads, *args, **kwargs) for asks, seen in parts], dim=1
        )

    options[OVERRIDE] = attend
    return options


def _remembered(memory: Memory, block: str, k: Tensor, v: Tensor, main: int) -> tuple[Tensor, Tensor]:
    """Keys and values of all, each [B, heads, n, d]: those of the conditions from the memory, or kept there."""
    if memory.whole:
        old_k, old_v = memory.of(block)
        return torch.cat([k, old_k.to(k)], dim=2), torch.cat([v, old_v.to(v)], dim=2)
    memory.keep(block, k[:, :, main:], v[:, :, main:])
    return k, v


def _pick(x: Tensor, ranges: list[slice]) -> Tensor:
    return x[:, :, ranges[0]] if len(ranges) == 1 else torch.cat([x[:, :, r] for r in ranges], dim=2)


def _embed(flux, inputs: Inputs, img: Tensor, n_loras: int) -> Tensor:
    """Row 0: the step's time and guidance; the same with the shift, if there is one; then one row for each LoRA: time
    0, guidance 1."""

    def embed(t, g):  # [B, hidden]
        vec = flux.time_in(timestep_embedding(t, 256).to(img.dtype))
        return vec if g is None else vec + flux.guidance_in(timestep_embedding(g, 256).to(img.dtype))

    t, pooled = inputs.timestep, inputs.pooled
    if pooled is None:
        pooled = torch.zeros(len(img), flux.params.vec_in_dim, device=img.device, dtype=img.dtype)
    guidance = None if inputs.guidance is None else inputs.guidance.to(t).expand(len(t))
    y = flux.vector_in(pooled[:, : flux.params.vec_in_dim])
    still = embed(torch.zeros_like(t), torch.ones_like(t)) + y
    main = embed(t, guidance) + y
    shifted = [] if inputs.shift is None else [main + inputs.shift.to(main)]
    return torch.stack([main, *shifted] + [still] * n_loras, dim=1)


def _ids(n_text: int, noise: Tensor, conditions: Sequence) -> tuple[Tensor, Tensor]:
    """Positions of the text [B, text, 3] and of noise and conditions [B, n, 3]."""
    h, w = noise.shape[1:3]
    parts = [position_ids(h, w, device=noise.device), *(c.ids().to(noise.device) for c in conditions)]
    image = torch.cat([ids.expand(len(noise), -1, -1) for ids in parts], dim=1)
    return torch.zeros(len(noise), n_text, 3, device=noise.device), image


def _patched_input(img: Tensor, txt: Tensor, ids: tuple[Tensor, Tensor], options: dict):
    """(img, txt, ids of both [B, text + n, 3]) after the MODEL's post_input patches, which may add text tokens.

    The host's reference_image_num_tokens is not told: FLUX's cache of reference keys holds for latents that see nothing
    but themselves, and a condition's keys change at every step.
    """
    n, (txt_ids, img_ids) = img.shape[1], ids
    for patch in options.get("patches", {}).get("post_input", []):
        given = {"img": img, "txt": txt, "img_ids": img_ids, "txt_ids": txt_ids, "transformer_options": options}
        out = patch(given)
        img, txt, img_ids, txt_ids = out["img"], out["txt"], out["img_ids"], out["txt_ids"]
    if img.shape[1] != n:
        raise RefocusError(
            f"a patch on the MODEL makes {img.shape[1]} image tokens of {n}, but the conditions need them all: connect "
            "the MODEL without that patch."
        )
    return img, txt, torch.cat((txt_ids, img_ids), dim=1)


def _double(block, replacement, i, img, txt, vec, pe, options, dims):
    mm.throw_exception_if_processing_interrupted()
    options["block_index"] = i
    args = {"img": img, "txt": txt, "vec": vec, "pe": pe, "attn_mask": None, "transformer_options": options}
    if replacement is None:
        return block(**args, **dims)

    def original(given):
        img, txt = block(**{key: given.get(key) for key in args}, **dims)
        return {"img": img, "txt": txt}

    out = replacement(args, {"original_block": original})
    return out["img"], out["txt"]


def _single(block, replacement, i, x, vec, pe, options, dims):
    mm.throw_exception_if_processing_interrupted()
    options["block_index"] = i
    args = {"vec": vec, "pe": pe, "attn_mask": None, "transformer_options": options}
    if replacement is None:
        return block(x, **args, **dims)

    def original(given):
        return {"img": block(given["img"], **{key: given.get(key) for key in args}, **dims)}

    return replacement({"img": x, **args}, {"original_block": original})["img"]


def _add_residual(x: Tensor, start: int, n: int, control: dict | None, key: str, i: int):
    """A ControlNet's residual [B, up to n, hidden] on the noise's tokens, in place."""
    residuals = (control or {}).get(key) or []
    if i < len(residuals) and residuals[i] is not None:
        residual = residuals[i][:, :n]
        x[:, start : start + residual.shape[1]] += residual


def _finite(x: Tensor) -> Tensor:
    return torch.nan_to_num(x, nan=0.0, posinf=65504, neginf=-65504) if x.dtype == torch.float16 else x
