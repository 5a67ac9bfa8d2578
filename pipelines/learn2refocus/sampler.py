"""From noise to latents: Euler steps of an EDM in v-prediction."""
from collections.abc import Callable
from itertools import pairwise

from torch import Tensor

# (x / sqrt(sigma^2 + 1) [B, 9, 4, h, w], sigma) -> v of the same shape
Predict = Callable[[Tensor, float], Tensor]


def sample(predict: Predict, noise: Tensor, sigmas: Tensor, progress=None) -> Tensor:
    """Latents at sigma 0 from standard normal noise. progress(done, total) after every step.

    x0 = x / (sigma^2 + 1) - v * sigma / sqrt(sigma^2 + 1);  dx / dsigma = (x - x0) / sigma
    """
    levels = sigmas.tolist()
    x = noise * (levels[0] ** 2 + 1) ** 0.5
    for i, (now, then) in enumerate(pairwise(levels)):
        size = now ** 2 + 1
        v = predict(x / size ** 0.5, now)
        x0 = x / size - v * now / size ** 0.5
        x = x + (then - now) * (x - x0) / now
        if progress is not None:
            progress(i + 1, len(levels) - 1)
    return x
