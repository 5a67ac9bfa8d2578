"""The noise levels of SVD: Karras et al. (arXiv 2206.00364), equation 5, rho 7."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from ..image.checks import RefocusError

SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 700.0, 7.0


def sigmas(steps: int) -> Tensor:
    """[steps + 1] falling from 700 over 0.002 to 0."""
    if steps < 1:
        raise RefocusError(f"{steps} steps were asked for, but at least 1 is needed.")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    high, low = SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO)
    return torch.cat([(high + ramp * (low - high)) ** RHO, ramp.new_zeros(1)]).float()


# From noise to latents: Euler steps of an EDM in v-prediction.

# (x / sqrt(sigma^2 + 1) [B, 9, 4, h, w], sigma) -> v of the same shape
Predict = Callable[[Tensor, float], Tensor]


def sample(predict: Predict, noise: Tensor, sigmas: Tensor, progress=None) -> Tensor:
    """Latents at sigma 0 from standard normal noise. progress(done, total) after every step.

    x0 = x / (sigma^2 + 1) - v * sigma / sqrt(sigma^2 + 1);  dx / dsigma = (x - x0) / sigma
    """
    levels = sigmas.tolist()
    x = noise * (levels[0] ** 2 + 1) ** 0.5
    for i, (now, then) in enumerate(pairwise(levels)):
        size = now**2 + 1
        v = predict(x / size**0.5, now)
        x0 = x / size - v * now / size**0.5
        x = x + (then - now) * (x - x0) / now
        if progress is not None:
            progress(i + 1, len(levels) - 1)
    return x
