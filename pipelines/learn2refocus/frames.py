"""The two ends of the reference: diffusers' AutoencoderKLTemporalDecoder."""
import torch
from torch import Tensor

from ..optics import RefocusError


def encode(vae, image: Tensor) -> Tensor:
    """image [B, H, W, 3] in 0..1, sides in multiples of 8 -> latents [B, 4, h, w]: the VAE's mode, not scaled."""
    x = (image * 2 - 1).movedim(-1, 1).to(vae.dtype)
    return vae.encode(x).latent_dist.mode()


def decode(vae, latents: Tensor, chunk: int = 9, progress=None) -> Tensor:
    """Scaled latents [N, 4, h, w] of one stack -> [N, H, W, 3] in 0..1.

    chunk: frames decoded at a time. Memory grows with it; the VAE's temporal layers see no further than a chunk.
    """
    return ((decode_signed(vae, latents, chunk, progress) + 1) / 2).clamp(0, 1).movedim(1, -1)


def decode_signed(vae, latents: Tensor, chunk: int = 9, progress=None) -> Tensor:
    """As decode, as the VAE gives it: [N, 3, H, W], about -1..1."""
    if chunk < 1:
        raise RefocusError(f"{chunk} frames are to be decoded at a time, but at least 1 is needed.")
    z, frames = latents / vae.config.scaling_factor, []
    for i in range(0, len(z), chunk):
        part = z[i:i + chunk].to(vae.dtype)
        frames.append(vae.decode(part, num_frames=len(part)).sample.float())
        if progress is not None:
            progress(min(i + chunk, len(z)), len(z))
    return torch.cat(frames)
