"""One velocity of FLUX.1 with conditions on ComfyUI's own model: every block once, over one row of tokens.

The row is text | noise | condition 0 | condition 1 | ...; the same as pipelines.flux.reference, branch by branch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import comfy.ldm.flux.layers
import comfy.model_management as mm
import torch
from comfy.ldm.flux.layers import timestep_embedding
from torch import Tensor

from ...pipelines.flux.tokens import Rows, position_ids
from ...pipelines.image.checks import RefocusError
from .lora import LoraWeights, loras_on_conditions

OVERRIDE = "optimized_attention_override"


@dataclass(frozen=True)
class NativeCondition:
    """grid [B, h, w, C]: packed latents; offset: added to its positions, in tokens (y, x); lora: index of its LoRA."""

    grid: Tensor
    offset: tuple[int, int]
    lora: int


@dataclass(frozen=True)
class Inputs:
    """What every tile of one call shares: text [B, t, .], pooled [B, .], timestep [B], guidance [B] or None."""

    text: Tensor
    pooled: Tensor | None
    timestep: Tensor
    guidance: Tensor | None
    transformer_options: dict
    mutual: bool = False


def velocity(
    flux,
    loras: Sequence[LoraWeights],
    noise: Tensor,
    conditions: list[NativeCondition],
    inputs: Inputs,
    control: dict | None = None,
) -> Tensor:
    """v [B, h, w, C] at noise [B, h, w, C]. control: ComfyUI's residuals for this grid, {"input": [...], ...}."""
    b, h, w, _ = noise.shape
    rows = Rows(
        inputs.text.shape[1],
        h * w,
        tuple(c.grid.shape[1] * c.grid.shape[2] for c in conditions),
        tuple(c.lora for c in conditions),
    )
    index = modulation_index() if b > 1 else int
    options = with_attention_rule(inputs.transformer_options, rows, inputs.mutual)
    replaced = options.get("patches_replace", {}).get("dit", {})
    with loras_on_conditions(flux, loras, rows):
        img = torch.cat([g.flatten(1, 2) for g in [noise, *(c.grid for c in conditions)]], dim=1)
        img = flux.img_in(img)  # [B, noise + conditions, hidden]
        txt = flux.txt_in(inputs.text)  # [B, text, hidden]
        vec = _embed(flux, inputs, img, len(loras))  # [B, 1 + LoRAs, hidden]
        pe = _positions(flux, rows, noise, conditions)

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
        options.update(total_blocks=len(flux.single_blocks), block_type="single")
        for i, block in enumerate(flux.single_blocks):
            x = _single(block, replaced.get(("single_block", i)), i, x, vec, pe, options, dims)
            _add_residual(x, rows.text, rows.noise, control, "output", i)

    out = flux.final_layer(x[:, rows.text : rows.text + rows.noise], vec[:, 0])  # [B, h * w, C]
    return out.unflatten(1, (h, w))


def with_attention_rule(transformer_options: dict, rows: Rows, mutual: bool) -> dict:
    """A copy of the options in which conditions do not see each other; an override that is there is called inside.

    One call of the host's attention for each group of queries, no mask: boolean masks come out wrong in two of the
    host's attention functions, and a mask would forbid the fastest ones.
    """
    groups = rows.query_groups(mutual)
    if len(groups) == 1:
        return dict(transformer_options)
    inner = transformer_options.get(OVERRIDE)

    def attend(attention, q, k, v, heads, *args, **kwargs):
        call = attention if inner is None else lambda *a, **kw: inner(attention, *a, **kw)
        return torch.cat(
            [call(q[:, :, asks], _pick(k, seen), _pick(v, seen), heads, *args, **kwargs) for asks, seen in groups],
            dim=1,
        )

    return {**transformer_options, OVERRIDE: attend}


def _pick(x: Tensor, ranges: list[slice]) -> Tensor:
    return x[:, :, ranges[0]] if len(ranges) == 1 else torch.cat([x[:, :, r] for r in ranges], dim=2)


def _embed(flux, inputs: Inputs, img: Tensor, n_loras: int) -> Tensor:
    """Row 0: the step's time and guidance; one row for each LoRA after it: time 0, guidance 1."""

    def embed(t, g):  # [B, hidden]
        vec = flux.time_in(timestep_embedding(t, 256).to(img.dtype))
        return vec if g is None else vec + flux.guidance_in(timestep_embedding(g, 256).to(img.dtype))

    t, pooled = inputs.timestep, inputs.pooled
    if pooled is None:
        pooled = torch.zeros(len(img), flux.params.vec_in_dim, device=img.device, dtype=img.dtype)
    guidance = None if inputs.guidance is None else inputs.guidance.to(t).expand(len(t))
    y = flux.vector_in(pooled[:, : flux.params.vec_in_dim])
    still = embed(torch.zeros_like(t), torch.ones_like(t)) + y
    return torch.stack([embed(t, guidance) + y] + [still] * n_loras, dim=1)


def _positions(flux, rows: Rows, noise: Tensor, conditions: list[NativeCondition]) -> Tensor:
    ids = [torch.zeros(rows.text, 3, device=noise.device)]
    for grid, offset in ((noise, (0, 0)), *((c.grid, c.offset) for c in conditions)):
        h, w = grid.shape[1:3]
        ids.append(position_ids(h, w, offset, noise.device))
    return flux.pe_embedder(torch.cat(ids)[None].repeat(len(noise), 1, 1))


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


def modulation_index():
    """How this host's apply_mod is told a row of a batched modulation: hosts before 0.17 broadcast an int wrongly."""
    x, rows = torch.ones(2, 1, 1), torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])  # [B, n, 1], [B, rows, 1]
    for index in (int, lambda i: slice(i, i + 1)):
        try:
            out = comfy.ldm.flux.layers.apply_mod(x.clone(), rows, None, [(0, 1, index(1))])
        except (TypeError, RuntimeError):
            continue
        if out.flatten().tolist() == [2, 4]:
            return index
    raise RefocusError(
        "this version of ComfyUI modulates FLUX in a way that Rackfocus does not know: update Rackfocus."
    )
