"""Who sees whom. Text and noise attend to everything; a condition attends to text, noise and itself only.

mutual: without the rule, everything attends to everything. The published inference predicts from black images that way.
"""
import torch
from torch import Tensor

TEXT, NOISE, FIRST_CONDITION = 0, 1, 2  # the order of the branches, everywhere


def sees(i: int, j: int, mutual: bool = False) -> bool:
    """Whether queries of branch i attend to keys of branch j."""
    return mutual or i == j or i < FIRST_CONDITION or j < FIRST_CONDITION


def query_groups(n_main: int, conditions: list[int], mutual: bool = False) -> list[tuple[slice, list[slice]]]:
    """The rule for one fused token row: [(rows that ask, ranges of rows that they see)], in the order of the rows.

    n_main: tokens of text and noise, which come first; conditions: tokens of each condition, behind them.
    """
    total = n_main + sum(conditions)
    if mutual or len(conditions) < 2:
        return [(slice(0, total), [slice(0, total)])]
    groups, start = [(slice(0, n_main), [slice(0, total)])], n_main
    for n in conditions:
        own = slice(start, start + n)
        groups.append((own, [slice(0, own.stop)] if start == n_main else [slice(0, n_main), own]))
        start += n
    return groups


def branch_attention(q: list[Tensor], k: list[Tensor], v: list[Tensor], mutual: bool = False) -> list[Tensor]:
    """Attention branch by branch; each [B, heads, n_i, d] -> [B, n_i, heads * d]."""
    out = []
    for i, queries in enumerate(q):
        seen = [j for j in range(len(k)) if sees(i, j, mutual)]
        keys, values = (torch.cat([x[j] for j in seen], dim=2) for x in (k, v))
        out.append(torch.nn.functional.scaled_dot_product_attention(queries, keys, values).transpose(1, 2).flatten(2))
    return out
