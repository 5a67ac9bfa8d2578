"""Optimizers by name; each is a library's."""

from typing import Any

import torch
from torch import Tensor

from ..pipelines.image.checks import RefocusError

ADAMW, ADAMW_8BIT, MUON = "adamw", "adamw8bit", "muon"
NAMES = (ADAMW, ADAMW_8BIT, MUON)
BETAS = 0.9, 0.99
MATRIX_RATE = 10.0  # Muon's rate, of AdamW's: its steps are measured in another unit


def make_optimizers(name: str, parameters: dict[str, Tensor], rate: float) -> list[torch.optim.Optimizer]:
    """One or two that share the parameters; each group's "full" is its rate before any schedule.

    adamw8bit: bitsandbytes', a quarter of the memory. muon: torch's, for the matrices inside blocks (Jordan et al.
    2024), AdamW for everything else.
    """
    if name == MUON:
        inner = {n: p for n, p in parameters.items() if p.ndim == 2 and n.startswith(("blocks.", "tokens.2."))}
        outer = [p for n, p in parameters.items() if n not in inner]
        found: list[Any] = [torch.optim.AdamW(outer, lr=rate, betas=BETAS, weight_decay=0.0)]
        if inner:
            found.append(torch.optim.Muon(list(inner.values()), lr=MATRIX_RATE * rate, weight_decay=0.0))
    elif name == ADAMW_8BIT:
        found = [_eight_bit()(list(parameters.values()), lr=rate, betas=BETAS, weight_decay=0.0)]
    else:
        found = [torch.optim.AdamW(list(parameters.values()), lr=rate, betas=BETAS, weight_decay=0.0)]
    for optimizer in found:
        for group in optimizer.param_groups:
            group["full"] = group["lr"]
    return found


def _eight_bit():
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise RefocusError(
            "the optimizer adamw8bit needs bitsandbytes, which is not installed: pip install bitsandbytes, or choose "
            "adamw."
        ) from error
    return AdamW8bit
