"""From noise to a picture on FLUX.1-dev: the shifted schedule, Euler steps, tiles and image guidance."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from ..image.checks import RefocusError, check_whole, size_of
from .blocks import Condition
from .tokens import TILE, by_tiles

# (noise [B, h, w, C], conditions, sigma) -> velocity [B, h, w, C]
Velocity = Callable[[Tensor, list[Condition], float], Tensor]

# FLUX.1-dev's scheduler: base and largest count of tokens, and the shift mu at each.
TOKENS = 256, 4096
SHIFT = 0.5, 1.15
MOST_STEPS, MOST_TOKENS = 10000, 1 << 20


def time_shift(tokens: int) -> float:
    """mu: linear in the whole picture's token count, 0.5 at 256 and 1.15 at 4096; also beyond them."""
    return SHIFT[0] + (tokens - TOKENS[0]) * (SHIFT[1] - SHIFT[0]) / (TOKENS[1] - TOKENS[0])


def sigmas(steps: int, tokens: int) -> Tensor:
    """[steps + 1] float32 from 1 to 0: e^mu / (e^mu + 1/s - 1) for s in linspace(1, 1/steps, steps), then 0."""
    steps, tokens = (
        check_whole("steps", steps, 1, MOST_STEPS),
        check_whole("the number of tokens", tokens, 1, MOST_TOKENS),
    )
    line = torch.linspace(1, 1 / steps, steps, dtype=torch.float64)
    shift = math.exp(time_shift(tokens))
    return torch.cat([shift / (shift + 1 / line - 1), torch.zeros(1, dtype=torch.float64)]).float()


def require_guidance(has_guidance: bool):
    """FLUX.1-schnell has no guidance embedding: the conditions' guidance of 1 has no place in it, so it is refused."""
    if not has_guidance:
        raise RefocusError(
            "the model has no guidance embedding (FLUX.1-schnell), but its conditions are modulated "
            "with a guidance of 1: load FLUX.1-dev."
        )


def sample(predict: Velocity, noise: Tensor, conditions: list[Condition], sigmas: Tensor, progress=None) -> Tensor:
    """x += (next sigma - sigma) * v: tokens [B, h, w, C] at sigma 0 from noise at sigma 1.

    progress(done, total) after every step; what it raises passes through.
    """
    x, levels = noise, sigmas.tolist()
    for i, (now, then) in enumerate(pairwise(levels)):
        x = x + (then - now) * predict(x, conditions, now)
        if progress is not None:
            progress(i + 1, len(levels) - 1)
    return x


def tiled(predict: Velocity, tile: int = TILE) -> Velocity:
    """A velocity for any grid out of one for tiles.

    Every tile counts its positions from 0, and so do its conditions, whatever their offset.
    """

    def whole(noise: Tensor, conditions: list[Condition], sigma: float) -> Tensor:
        for c in conditions:
            if c.grid.shape[1:3] != noise.shape[1:3]:
                raise RefocusError(
                    f"a condition of {size_of(c.grid[0, ..., 0])} tokens cannot be cut into the tiles "
                    f"of a picture of {size_of(noise[0, ..., 0])}: give it the picture's size."
                )

        def part(rows: slice, columns: slice) -> Tensor:
            return predict(noise[:, rows, columns], [c.cut(rows, columns) for c in conditions], sigma)

        return by_tiles(part, noise, tile)

    return whole


def image_guided(predict: Velocity, untiled: Velocity, black: list[Tensor] | None, scale: float) -> Velocity:
    """v_black + scale * (v - v_black), v_black being predicted from black condition images ([B, h, w, C] each).

    v_black is never tiled, and its conditions attend to one another. A scale of 1 needs no black images.
    """
    if scale == 1:
        return predict
    if black is None:
        raise RefocusError(
            f"an image guidance of {scale:g} compares with a prediction from black condition images, but none were "
            "given: give the packed latents of one for each condition, or an image guidance of 1."
        )

    def guided(noise: Tensor, conditions: list[Condition], sigma: float) -> Tensor:
        if len(black) != len(conditions):
            raise RefocusError(
                f"{len(black)} black condition images were given for {len(conditions)} conditions: give one for each."
            )
        v = predict(noise, conditions, sigma)
        black_conditions = [replace(c, grid=g, mutual=True) for c, g in zip(conditions, black, strict=True)]
        v_black = untiled(noise, black_conditions, sigma)
        return v_black + scale * (v - v_black)

    return guided
