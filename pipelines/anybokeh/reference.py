"""The definition of right: a collage painted by diffusers' FLUX.1-Fill transformer and VAE, step by step.

No pipeline, no text encoder: stored prompt embeddings, LoRAs added to the outputs of the layers that they adapt.
"""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ..flux.lora_file import LowRank
from ..flux.sampling import sigmas
from ..flux.tokens import pack, position_ids, unpack
from .fill import GUIDANCE, LATENT, STEPS, by_vae_tiles, draws, known, masked, posterior, scaled, unscaled
from .photo import to_bytes


def linear_layers(transformer: nn.Module) -> dict[str, tuple[int, int]]:
    """{layer: (in, out)} of all layers that a LoRA may adapt."""
    return {n: (m.in_features, m.out_features) for n, m in transformer.named_modules() if isinstance(m, nn.Linear)}


@contextmanager
def adapted(transformer: nn.Module, lora: dict[str, LowRank]):
    """Within it, each layer gives W x + up(down(x))."""
    hooks = [
        transformer.get_submodule(name).register_forward_hook(lambda _, given, out, low=low: out + low(given[0]))
        for name, low in lora.items()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@dataclass
class Painter:
    """A stage on diffusers' FluxTransformer2DModel and AutoencoderKL, as a chain.Paint.

    text [1, n, .], pooled [1, .]: the stage's stored prompt embeddings. vae_tile: in pixels, for stage 1 (2R), None for
    stage 2. as_published: the picture comes in bytes. kept: what the last call made on its way, for the tests.
    """

    transformer: nn.Module
    vae: Any
    lora: dict[str, LowRank]
    text: Tensor
    pooled: Tensor
    steps: int = STEPS
    guidance: float = GUIDANCE
    vae_tile: int | None = None
    as_published: bool = False
    progress: Callable[[int, int], object] | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)

    def __call__(self, collage: Tensor, mask: Tensor, seed: int) -> Tensor:
        noise, spread = draws(seed, *mask.shape)
        moments = self.encode(masked(collage, mask))
        latents = posterior(moments, spread)
        grid = self.denoise(pack(noise), known(latents, mask))
        picture = self.decode(unscaled(unpack(grid)))
        self.kept = {"moments": moments, "masked_latents": pack(scaled(latents)), "latents": grid, "picture": picture}
        out = (picture[0].movedim(0, -1) / 2 + 0.5).clamp(0, 1)
        return to_bytes(out).to(out) / 255 if self.as_published else out

    def encode(self, pixels: Tensor) -> Tensor:
        """[1, 3, H, W] in -1..1 -> moments [1, 32, h, w]."""
        return by_vae_tiles(self.vae.encoder, pixels, self.vae_tile or pixels.shape[-1])

    def decode(self, latents: Tensor) -> Tensor:
        """[1, 16, h, w] -> [1, 3, H, W]."""
        return by_vae_tiles(self.vae.decoder, latents, (self.vae_tile or latents.shape[-1] * LATENT) // LATENT)

    def velocity(self, grid: Tensor, known: Tensor, sigma: float) -> Tensor:
        """v [1, h, w, 64] at scaled latents [1, h, w, 64] beside what is known [1, h, w, 320]."""
        h, w = grid.shape[1:3]
        with adapted(self.transformer, self.lora):
            (out,) = self.transformer(
                hidden_states=torch.cat([grid, known], dim=-1).flatten(1, 2),
                encoder_hidden_states=self.text,
                pooled_projections=self.pooled,
                timestep=torch.full((1,), sigma),
                guidance=torch.full((1,), float(self.guidance)),
                img_ids=position_ids(h, w),
                txt_ids=torch.zeros(self.text.shape[1], 3),
                return_dict=False,
            )
        return out.unflatten(1, (h, w))

    def denoise(self, grid: Tensor, known: Tensor) -> Tensor:
        """Euler steps from noise to scaled latents [1, h, w, 64]."""
        levels = sigmas(self.steps, grid.shape[1] * grid.shape[2]).tolist()
        for i, (now, then) in enumerate(pairwise(levels)):
            grid = grid + (then - now) * self.velocity(grid, known, now)
            if self.progress is not None:
                self.progress(i + 1, self.steps)
        return grid
