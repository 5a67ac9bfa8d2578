"""A collage painted by the artist's own FLUX.1-Fill and VAE: pipelines.anybokeh.reference, natively."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.model_management as mm
import torch
from comfy.ldm.models.autoencoder import AutoencodingEngineLegacy
from torch import Tensor

from ...pipelines.anybokeh.fill import GUIDANCE, LATENT, by_vae_tiles, draws, masked, posterior
from ...pipelines.anybokeh.photo import to_bytes
from ...pipelines.flux.sampling import sigmas
from ..flux.run import check_channels, tokens_of
from ..host import heard
from ..sampling import Report, sample
from .models import Stage


@dataclass(frozen=True)
class NativePainter:
    """A chain.Paint. vae_tile: in pixels, for stage 1 (2R), None for stage 2. as_published: in bytes."""

    stage: Stage
    vae: Any
    steps: int
    report: Report
    vae_tile: int | None = None
    as_published: bool = False

    def __call__(self, collage: Tensor, mask: Tensor, seed: int) -> Tensor:
        """collage [H, W, 3] in 0..1, mask [H, W] -> painted [H, W, 3] in 0..1."""
        return self.decode(self.latents(collage, mask, seed))

    def latents(self, collage: Tensor, mask: Tensor, seed: int) -> Tensor:
        """[1, 16, h, w] as the VAE makes them."""
        noise, spread = draws(seed, *mask.shape)
        known = posterior(self.encode(masked(collage, mask)), spread)
        prompt = self.stage.prompt
        given = {
            "pooled_output": prompt.pooled.float(),
            "guidance": GUIDANCE,
            "concat_latent_image": known,
            "concat_mask": mask[None, None],  # [1, 1, H, W]: the host averages the second axis
        }
        positive = [[prompt.text.float(), given]]
        levels = sigmas(self.steps, tokens_of(noise))
        with heard(self.stage.model.model.diffusion_model):
            return sample(
                self.stage.model,
                noise,
                levels,
                positive,
                positive,
                torch.zeros_like(noise),
                cfg=1.0,
                seed=seed % (1 << 64),
                report=self.report,
            )

    def encode(self, pixels: Tensor) -> Tensor:
        """[1, 3, H, W] in -1..1 -> moments [1, 32, h, w], which the host's own encode keeps to itself."""
        net = self.vae.first_stage_model

        def work(x: Tensor) -> Tensor:
            z = net.encoder(self._taken(x))
            return (net.quant_conv(z) if isinstance(net, AutoencodingEngineLegacy) else z).float().cpu()

        return self._by_tiles(work, pixels, self.vae.memory_used_encode, 1)

    def decode(self, latents: Tensor) -> Tensor:
        """[1, 16, h, w] -> [H, W, 3] in 0..1."""

        def work(z: Tensor) -> Tensor:
            return self.vae.first_stage_model.decode(self._taken(z)).float().cpu()

        out = self._by_tiles(work, check_channels(latents), self.vae.memory_used_decode, LATENT)
        out = (out[0].movedim(0, -1) / 2 + 0.5).clamp(0, 1)
        return to_bytes(out).to(out) / 255 if self.as_published else out

    def _taken(self, x: Tensor) -> Tensor:
        return x.to(self.vae.vae_dtype).to(self.vae.device)

    def _by_tiles(self, work: Callable[[Tensor], Tensor], x: Tensor, memory: Callable, unit: int) -> Tensor:
        """work(x) by the stage's tiles, or by half as wide ones where memory does not do; unit: pixels of a column."""
        tile = min(x.shape[-1], (self.vae_tile or x.shape[-1] * unit) // unit)
        shape = (*x.shape[:-1], tile)
        mm.load_models_gpu([self.vae.patcher], memory_required=memory(shape, self.vae.vae_dtype))
        with heard(self.vae.first_stage_model):
            try:
                return by_vae_tiles(work, x, tile)
            except mm.OOM_EXCEPTION:
                mm.soft_empty_cache()
            return by_vae_tiles(work, x, tile // 2)
