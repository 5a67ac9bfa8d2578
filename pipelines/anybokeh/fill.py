"""What FLUX.1-Fill is given for one collage, as diffusers' pipeline for it gives it.

Convention: latents [1, 16, h, w] at an eighth of the picture, as the VAE makes them unless "scaled" is said.
Source: AnyBokeh (arXiv 2606.31959), published inference on diffusers' FluxFillPipeline.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor

from ..flux.tokens import pack

GUIDANCE, STEPS = 30.0, 20
SCALE, SHIFT = 0.3611, 0.1159  # of FLUX.1's latents
LATENT, CHANNELS = 8, 16


def masked(collage: Tensor, mask: Tensor) -> Tensor:
    """[H, W, 3] in 0..1 and [H, W] -> [1, 3, H, W] in -1..1: what the VAE sees, mid-grey where it is painted."""
    return ((2 * collage - 1) * (1 - mask.to(collage))[..., None]).movedim(-1, 0)[None]


def draws(seed: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """(noise, spread), [1, 16, h, w] each: the second and third draw of the published generator."""
    generator = torch.Generator().manual_seed(seed % (1 << 64))
    shape = (1, CHANNELS, height // LATENT, width // LATENT)
    _, noise, spread = (torch.randn(shape, generator=generator) for _ in range(3))
    return noise, spread


def posterior(moments: Tensor, spread: Tensor) -> Tensor:
    """mean + exp(logvar / 2) * spread: a sample, as published, from moments [1, 32, h, w]."""
    mean, logvar = moments.float().chunk(2, dim=1)
    return mean + (logvar.clamp(-30, 20) / 2).exp() * spread.to(mean)


def mask_tokens(mask: Tensor) -> Tensor:
    """[H, W] of 0 and 1 -> [1, h, w, 256]: the pixels of each token, latent by latent."""
    return rearrange(mask, "(h dy y) (w dx x) -> 1 h w (y x dy dx)", dy=2, dx=2, y=LATENT, x=LATENT)


def scaled(latents: Tensor) -> Tensor:
    return (latents - SHIFT) * SCALE


def unscaled(latents: Tensor) -> Tensor:
    return latents / SCALE + SHIFT


def known(latents: Tensor, mask: Tensor) -> Tensor:
    """[1, h, w, 320]: the masked picture's scaled latents and the mask, which stand beside the noise's 64 channels."""
    return torch.cat([pack(scaled(latents)), mask_tokens(mask).to(latents)], dim=-1)


def by_vae_tiles(work: Callable[[Tensor], Tensor], x: Tensor, tile: int) -> Tensor:
    """work(x) [..., w] by tiles along the width, as diffusers' VAE cuts it; whole where one tile is enough.

    Tiles begin every 3/4 tile. The first quarter of each is mixed with the last of the one before, and 3/4 are kept.
    work encodes or decodes; tile is counted in x's columns. Tiles of a collage [R, 3R] are 2R wide, hence it is never
    cut in height.
    """
    width = x.shape[-1]
    if width <= tile:
        return work(x)
    parts = [work(x[..., start : start + tile]) for start in range(0, width, 3 * tile // 4)]
    mixed = parts[0].shape[-1] // 4
    kept = parts[0].shape[-1] - mixed
    for before, part in pairwise(parts):
        n = min(mixed, before.shape[-1], part.shape[-1])
        share = torch.arange(n, dtype=part.dtype, device=part.device) / n
        part[..., :n] = before[..., -n:] * (1 - share) + part[..., :n] * share
    return torch.cat([part[..., :kept] for part in parts], dim=-1)
