"""The noise levels of FLUX.1-dev: a straight line, shifted by the number of tokens."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from ..image.checks import RefocusError, size_of
from .blocks import Condition
from .tokens import TILE, blend, tiles

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


# From noise to a picture: Euler steps along the velocity, with tiles and image guidance.

# (noise [B, h, w, C], conditions, sigma) -> velocity [B, h, w, C]
Velocity = Callable[[Tensor, list[Condition], float], Tensor]


def tiled(predict: Velocity, tile: int = TILE) -> Velocity:
    """A velocity for any grid out of one for tiles.

    As in the published inference every tile counts its positions from 0, and so do its conditions, whatever their
    offset.
    """

    def whole(noise: Tensor, conditions: list[Condition], sigma: float) -> Tensor:
        for c in conditions:
            if c.grid.shape[1:3] != noise.shape[1:3]:
                raise RefocusError(
                    f"a condition of {size_of(c.grid[0, ..., 0])} tokens cannot be cut into the tiles "
                    f"of a picture of {size_of(noise[0, ..., 0])}: give it the picture's size."
                )

        def part(rows, columns):
            cut = [replace(c, grid=c.grid[:, rows, columns], offset=(0, 0)) for c in conditions]
            return predict(noise[:, rows, columns], cut, sigma)

        return blend(tuple(noise.shape), ((at, part(*at)) for at in tiles(*noise.shape[1:3], tile)), noise)

    return whole


def image_guided(predict: Velocity, untiled: Velocity, black: list[Tensor], scale: float) -> Velocity:
    """v_black + scale * (v - v_black), v_black being predicted from black condition images ([B, h, w, C] each).

    As in the published inference v_black is never tiled, and its conditions attend to one another.
    """

    def guided(noise: Tensor, conditions: list[Condition], sigma: float) -> Tensor:
        v = predict(noise, conditions, sigma)
        black_conditions = [replace(c, grid=g, mutual=True) for c, g in zip(conditions, black, strict=True)]
        v_black = untiled(noise, black_conditions, sigma)
        return v_black + scale * (v - v_black)

    return guided if scale != 1 else predict


def sample(predict: Velocity, noise: Tensor, conditions: list[Condition], sigmas: Tensor, progress=None) -> Tensor:
    """Tokens [B, h, w, C] at sigma 0 from noise at sigma 1. progress(done, total) after every step."""
    x, levels = noise, sigmas.tolist()
    for i, (now, then) in enumerate(pairwise(levels)):
        x = x + (then - now) * predict(x, conditions, now)
        if progress is not None:
            progress(i + 1, len(levels) - 1)
    return x
