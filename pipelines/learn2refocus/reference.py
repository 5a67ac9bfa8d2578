"""The definition of right: learn2refocus over diffusers' Stable Video Diffusion, from one prediction to pictures.

Convention: frames run near to far. Latents are the VAE's; scaled ones are multiplied by its scaling_factor.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..image.checks import RefocusError, check_image, size_of
from .inputs import MEGAPIXELS, POSITIONS, added_time_ids, clip_pixels, model_size, place, resize
from .sampling import sample, sigmas

STEPS, GUIDANCE = 25, 1.5  # as published


def velocity(unet, x: Tensor, condition: Tensor, embed: Tensor, sigma: float) -> Tensor:
    """v = UNet([x, condition], log(sigma) / 4, embed): one pass of UNetSpatioTemporalConditionModel, in its own dtype.

    x [B, 9, 4, h, w]: noisy frames over sqrt(sigma^2 + 1); condition: of that shape, see place; embed [B, 1, C]: the
    photo's CLIP embedding -> v [B, 9, 4, h, w].
    """
    x, condition, embed = (t.to(unet.dtype) for t in (x, condition, embed))
    timestep = torch.tensor(math.log(sigma) / 4, dtype=torch.float32, device=x.device)
    both = torch.cat([x, condition], dim=2)  # [B, 9, 8, h, w]
    return unet(both, timestep, encoder_hidden_states=embed, added_time_ids=added_time_ids(x)).sample


def guided_velocity(unet, x: Tensor, condition: Tensor, embed: Tensor, sigma: float, guidance: float) -> Tensor:
    """v_empty + guidance (v - v_empty), the same for all frames; v_empty has neither embedding nor conditioning."""
    v = velocity(unet, x, condition, embed, sigma).to(x.dtype)
    if guidance == 1:
        return v
    empty = velocity(unet, x, torch.zeros_like(condition), torch.zeros_like(embed), sigma).to(x.dtype)
    return empty + guidance * (v - empty)


def generate(
    unet,
    noise: Tensor,
    latent: Tensor,
    embed: Tensor,
    position: int,
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    progress=None,
) -> Tensor:
    """Between the VAE's two ends: noise and the photo's latents -> scaled latents [B, 9, 4, h, w] of the stack.

    noise: standard normal, of that shape; latent [B, 4, h, w]: the photo's, not scaled; embed [B, 1, C]: its CLIP
    embedding; position 0..8: where the photo is focused. progress(done, total) after every step may raise to stop.
    Raises RefocusError for another position or shapes that do not fit.
    """
    if noise.ndim != 5 or noise.shape != (latent.shape[0], POSITIONS, *latent.shape[1:]):
        raise RefocusError(
            f"the noise is {size_of(noise)} and the photo's latents {size_of(latent)}, but noise of "
            f"B x {POSITIONS} x C x h x w for latents of B x C x h x w is needed."
        )
    condition, embed = place(latent.to(noise), position), embed.to(noise)
    return sample(
        lambda x, sigma: guided_velocity(unet, x, condition, embed, sigma, guidance), noise, sigmas(steps), progress
    )


def encode(vae, image: Tensor) -> Tensor:
    """image [B, H, W, 3] in 0..1, sides in multiples of 8 -> latents [B, 4, h, w]: the VAE's mode, not scaled."""
    x = (image * 2 - 1).movedim(-1, 1).to(vae.dtype)  # [B, 3, H, W] in -1..1
    return vae.encode(x).latent_dist.mode()


def decode(vae, latents: Tensor, chunk: int = POSITIONS, progress=None) -> Tensor:
    """Scaled latents [N, 4, h, w] of one stack -> [N, H, W, 3] in 0..1.

    chunk: frames decoded at a time. Memory grows with it; the VAE's temporal layers see no further than a chunk.
    """
    return ((decode_signed(vae, latents, chunk, progress) + 1) / 2).clamp(0, 1).movedim(1, -1)


def decode_signed(vae, latents: Tensor, chunk: int = POSITIONS, progress=None) -> Tensor:
    """As decode, but what the VAE itself gives: [N, 3, H, W], about -1..1."""
    if chunk < 1:
        raise RefocusError(f"{chunk} frames are to be decoded at a time, but at least 1 is needed.")
    frames, done = [], 0
    for some in (latents / vae.config.scaling_factor).to(vae.dtype).split(chunk):
        frames.append(vae.decode(some, num_frames=len(some)).sample.float())
        done += len(some)
        if progress is not None:
            progress(done, len(latents))
    return torch.cat(frames)


@dataclass(frozen=True)
class Reference:
    """diffusers' UNetSpatioTemporalConditionModel and AutoencoderKLTemporalDecoder, transformers'
    CLIPVisionModelWithProjection."""

    unet: Any
    vae: Any
    image_encoder: Any


def load_reference(unet_folder: str, svd_folder: str, dtype: torch.dtype = torch.float32) -> Reference:
    """The fine-tuned UNet's folder, and that of SVD img2vid with vae/ and image_encoder/; nothing is fetched.

    dtype: float32 as released. Raises RefocusError where diffusers is not installed.
    """
    try:
        from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
    except ImportError as error:
        raise RefocusError(
            "the learn2refocus reference runs on diffusers' SVD classes, and diffusers is not "
            "installed: pip install diffusers, or use the nodes, which need only ComfyUI."
        ) from error
    from transformers import CLIPVisionModelWithProjection

    local = {"local_files_only": True, "torch_dtype": dtype}
    encoder: Any = CLIPVisionModelWithProjection  # transformers types .to() as if it took a model
    return Reference(
        UNetSpatioTemporalConditionModel.from_pretrained(unet_folder, **local).eval(),
        AutoencoderKLTemporalDecoder.from_pretrained(svd_folder, subfolder="vae", **local).eval(),
        encoder.from_pretrained(svd_folder, subfolder="image_encoder", local_files_only=True).to(dtype).eval(),
    )


@torch.inference_mode()
def photo_to_stack(
    models: Reference,
    image: Tensor,
    position: int,
    *,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    seed: int = 0,
    megapixels: float = MEGAPIXELS,
    corrected_clip: bool = False,
    chunk: int = POSITIONS,
    progress=None,
) -> Tensor:
    """image [1, H, W, 3] focused at position 0..8 -> [9, h, w, 3] near to far, at the model's own size (model_size).

    corrected_clip: see clip_pixels; chunk: see decode. progress(done, total) counts steps and decoded frames.
    """
    image = check_image(image)
    if image.shape[0] != 1:
        raise RefocusError(f"{image.shape[0]} images were given, but a focal stack is made from 1: pick one frame.")
    height, width = image.shape[1:3]
    image = resize(image.to(models.unet.device), *model_size(height, width, megapixels))
    pixels = clip_pixels(image, corrected=corrected_clip).to(models.image_encoder.dtype)
    embed = models.image_encoder(pixels).image_embeds[:, None].float()
    latent = encode(models.vae, image).float()
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, POSITIONS, *latent.shape[1:], generator=generator).to(latent)
    total = steps + POSITIONS

    def report(before):
        return progress and (lambda done, _: progress(before + done, total))

    latents = generate(models.unet, noise, latent, embed, position, steps=steps, guidance=guidance, progress=report(0))
    return decode(models.vae, latents[0], chunk, report(steps))
