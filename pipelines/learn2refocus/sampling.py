"""From noise to a stack's latents: the noise levels of Karras et al. (arXiv 2206.00364) and Euler steps down them.

Convention: x is what is sampled, signal + sigma * noise, [B, 9, 4, h, w]; the network sees x / sqrt(sigma^2 + 1) and
answers with v of the same shape.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from ..image.checks import check_whole

MOST_STEPS = 10000
SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 700.0, 7.0

# (x / sqrt(sigma^2 + 1), sigma) -> v
Predict = Callable[[Tensor, float], Tensor]


def sigmas(steps: int) -> Tensor:
    """sigma_i = (max^(1/rho) + i / (steps - 1) (min^(1/rho) - max^(1/rho)))^rho, then 0 (equation 5).

    -> float32 [steps + 1], falling from 700 over 0.002 to 0. Raises RefocusError for fewer than 1 step.
    """
    steps = check_whole("steps", steps, 1, MOST_STEPS)
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    high, low = SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO)
    return torch.cat([(high + ramp * (low - high)) ** RHO, ramp.new_zeros(1)]).float()


def denoised(x: Tensor, v: Tensor, sigma: float) -> Tensor:
    """x0 = x / (sigma^2 + 1) - v sigma / sqrt(sigma^2 + 1): what a prediction v says the signal is."""
    return x / (sigma**2 + 1) - v * sigma / math.sqrt(sigma**2 + 1)


def sample(predict: Predict, noise: Tensor, sigmas: Tensor, progress=None) -> Tensor:
    """dx / dsigma = (x - x0) / sigma, by Euler's rule from sigma to sigma.

    noise: standard normal; sigmas: falling, the last one 0 -> the signal. progress(done, total) after every step.
    """
    levels = sigmas.tolist()
    x = noise * math.sqrt(levels[0] ** 2 + 1)
    for i, (sigma, following) in enumerate(pairwise(levels)):
        v = predict(x / math.sqrt(sigma**2 + 1), sigma)
        slope = (x - denoised(x, v, sigma)) / sigma
        x = x + (following - sigma) * slope
        if progress is not None:
            progress(i + 1, len(levels) - 1)
    return x
