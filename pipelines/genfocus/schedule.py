"""The noise levels of FLUX.1-dev: a straight line, shifted by the number of tokens."""
import math

import torch
from torch import Tensor

TOKENS = 256, 4096
SHIFT = 0.5, 1.15


def time_shift(tokens: int) -> float:
    """mu: linear in the whole picture's token count, 0.5 at 256 and 1.15 at 4096; also beyond them."""
    return SHIFT[0] + (tokens - TOKENS[0]) * (SHIFT[1] - SHIFT[0]) / (TOKENS[1] - TOKENS[0])


def sigmas(steps: int, tokens: int) -> Tensor:
    """[steps + 1] float32 from 1 to 0: e^mu / (e^mu + 1/s - 1) for s in linspace(1, 1/steps, steps), then 0."""
    line = torch.linspace(1, 1 / steps, steps, dtype=torch.float64)
    shift = math.exp(time_shift(tokens))
    return torch.cat([shift / (shift + 1 / line - 1), torch.zeros(1, dtype=torch.float64)]).float()
