"""The whole reference between the VAE's two ends: the photo's latents and noise in, the stack's latents out."""
from torch import Tensor

from ..optics import RefocusError
from ..optics.checks import size_of
from .conditioning import place
from .positions import POSITIONS
from .reference import guided
from .sampler import sample
from .schedule import sigmas

STEPS, GUIDANCE = 25, 1.5


def generate(unet, noise: Tensor, latent: Tensor, embed: Tensor, position: int, *, steps: int = STEPS,
             guidance: float = GUIDANCE, progress=None) -> Tensor:
    """Scaled latents [B, 9, 4, h, w] of the stack, near to far.

    noise: standard normal, of that shape; latent [B, 4, h, w]: the photo's (VAE mode, not scaled); embed [B, 1, C]:
    its CLIP embedding; position 0..8: where the photo is focused. progress(done, total) after every step may raise to
    stop. Raises RefocusError for another position or shapes that do not fit.
    """
    if noise.ndim != 5 or noise.shape != (latent.shape[0], POSITIONS, *latent.shape[1:]):
        raise RefocusError(f"the noise is {size_of(noise)} and the photo's latents {size_of(latent)}, but noise of "
                           f"B x {POSITIONS} x C x h x w for latents of B x C x h x w is needed.")
    frames = place(latent.to(noise), position)
    return sample(lambda x, sigma: guided(unet, x, frames, embed.to(noise), sigma, guidance), noise, sigmas(steps),
                  progress)
