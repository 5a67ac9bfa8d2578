"""The attention rule inside ComfyUI's own attention: one call for each group of queries, no mask.

Boolean masks come out wrong in two of the host's attention functions, and a mask would forbid the fastest ones.
"""
import torch

from ...pipelines.genfocus.attention import query_groups
from ...pipelines.genfocus.rows import Rows

OVERRIDE = "optimized_attention_override"


def with_attention_rule(transformer_options: dict, rows: Rows, mutual: bool) -> dict:
    """A copy of the options in which conditions do not see each other; an override that is there is called inside."""
    groups = query_groups(rows.text + rows.noise, list(rows.conditions), mutual)
    if len(groups) == 1:
        return dict(transformer_options)
    inner = transformer_options.get(OVERRIDE)

    def attend(attention, q, k, v, heads, *args, **kwargs):
        call = attention if inner is None else lambda *a, **kw: inner(attention, *a, **kw)
        return torch.cat([call(q[:, :, asks], _pick(k, seen), _pick(v, seen), heads, *args, **kwargs)
                          for asks, seen in groups], dim=1)

    return {**transformer_options, OVERRIDE: attend}


def _pick(x, ranges):
    return x[:, :, ranges[0]] if len(ranges) == 1 else torch.cat([x[:, :, r] for r in ranges], dim=2)
