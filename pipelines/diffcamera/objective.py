"""What a DiffCamera model is trained to do: the flow to each photo of a scene, and that its photos stack.

A scene is an all-in-focus picture J and photos I_k of it at several focal planes; z_J and z_k are their clean latents.
One noise e and one time t serve all planes of a scene, which start from

    z_t^k   = (1 - t) z_k + t e,                 velocity v_k = e - z_k
    L_flow  = mean over k of || v^_k - v_k ||^2
    L_stack = mean over U of || sum_k W_k v^_k - (e - z_J) ||^2
    L       = L_flow + lambda(s) L_stack

W_k weights the planes that are sharp at a token, U are the tokens where one is. There z_k = z_J, so L_stack is the
stacking constraint  sum_k W_k z^_k = z_J  on the clean latents z^_k = z_t^k - t v^_k, divided by t^2.

Source: the constraint is DiffCamera's (arXiv 2509.26599), which prints neither masks nor weight nor schedule: those are
ours. Norms are means over tokens and channels, so that losses of different sizes can be compared.

Convention: tokens [..., h, w, C]; S scenes, K planes; t 0 (clean) to 1 (noise).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from ..flux.sampling import time_shift

AROUND = 0.5  # of a token's side: how far beyond a token its picture must be sharp, since a VAE looks there too
# lambda(s) by the share of the steps: nothing, then a ramp, then the weight.
RAMP = 0.3, 0.6
WEIGHT = 0.25


class Losses(NamedTuple):
    """flow and stack as above, total = flow + weight * stack; stacked: the share of the tokens that are in U."""

    total: Tensor
    flow: Tensor
    stack: Tensor
    stacked: Tensor


def noised(latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """z_t = (1 - t) z + t e. latents [S, K, h, w, C], noise [S, h, w, C], t [S]: all planes of a scene share both."""
    t = t.view(-1, 1, 1, 1, 1)
    return (1 - t) * latents + t * noise[:, None]


def clean(noisy: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
    """z^ = z_t - t v; shapes as in noised."""
    return noisy - t.view(-1, *[1] * (noisy.ndim - 1)) * velocity


def token_mask(sharp: Tensor, token: int) -> Tensor:
    """bool [..., H, W] of pixels -> bool [..., H / token, W / token]: sharp all over a token and AROUND it.

    token: pixels a side, 16 of FLUX. What would lie beyond the picture is not asked.
    """
    around = math.ceil(AROUND * token)
    blurred = (~sharp).float().reshape(-1, 1, *sharp.shape[-2:])
    blurred = max_pool2d(blurred, token + 2 * around, token, around)
    return (blurred == 0).reshape(*sharp.shape[:-2], *blurred.shape[-2:])


def stack_weights(sharp: Tensor) -> tuple[Tensor, Tensor]:
    """m [S, K, h, w] bool -> (W [S, K, h, w] = m / sum over planes of m, 0 where none is sharp; U [S, h, w] bool)."""
    count = sharp.sum(1, keepdim=True)
    return sharp / count.clamp(min=1), count[:, 0] > 0


def flow_loss(velocity: Tensor, latents: Tensor, noise: Tensor) -> Tensor:
    """velocity and latents [S, K, h, w, C], noise [S, h, w, C] -> mean of || v^_k - (e - z_k) ||^2."""
    return (velocity - (noise[:, None] - latents)).float().square().mean()


def stack_loss(velocity: Tensor, sharp: Tensor, all_in_focus: Tensor, noise: Tensor) -> Tensor:
    """sharp [S, K, h, w], all_in_focus: z_J [S, h, w, C] -> mean over U of || sum_k W_k v^_k - (e - z_J) ||^2.

    U is that of all scenes together; 0 where it is empty.
    """
    weights, known = stack_weights(sharp)
    stacked = (weights[..., None] * velocity).sum(1)
    error = (stacked - (noise - all_in_focus)).float().square().mean(-1)
    return (error * known).sum() / known.sum().clamp(min=1)


def losses(
    velocity: Tensor, latents: Tensor, noise: Tensor, sharp: Tensor, all_in_focus: Tensor, weight: float
) -> Losses:
    """The whole objective; shapes as above, weight: stack_weight(step)."""
    flow = flow_loss(velocity, latents, noise)
    stack = stack_loss(velocity, sharp, all_in_focus, noise)
    return Losses(flow + weight * stack, flow, stack, stack_weights(sharp)[1].float().mean())


def stack_weight(step: int, steps: int, weight: float = WEIGHT, ramp: tuple[float, float] = RAMP) -> float:
    """lambda of step 0 .. steps - 1: 0 until ramp[0] of the steps, then a line, `weight` from ramp[1] on."""
    start, full = ramp
    done = step / max(steps, 1)
    if done >= full:
        return weight
    return weight * max(0.0, (done - start) / (full - start))


def draw_times(count: int, tokens: int, random: torch.Generator, mean: float = 0.0, spread: float = 1.0) -> Tensor:
    """[count] in (0, 1): logit-normal (Stable Diffusion 3, arXiv 2403.03206), then FLUX's shift for so many tokens.

        t = e^mu / (e^mu + 1 / s - 1),   s = sigmoid(mean + spread * normal)

    which is the shift that its sampler applies to its levels: sigmoid(mean + spread * normal + mu).
    """
    normal = torch.randn(count, generator=random)
    return torch.sigmoid(mean + spread * normal + time_shift(tokens))
