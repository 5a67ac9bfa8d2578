"""The definition of right: one guided prediction over diffusers' UNetSpatioTemporalConditionModel."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..image.checks import RefocusError, check_image, size_of
from .inputs import MEGAPIXELS, POSITIONS, added_time_ids, clip_pixels, model_size, place, resize
from .sampling import sample, sigmas


def velocity(unet, x: Tensor, frames: Tensor, embed: Tensor, sigma: float) -> Tensor:
    """v [B, 9, 4, h, w] at scaled noise x of that shape; frames: conditioning latents; embed [B, 1, C].

    The UNet is told sigma as log(sigma) / 4. Runs in the UNet's own dtype.
    """
    x, frames, embed = (t.to(unet.dtype) for t in (x, frames, embed))
    timestep = torch.tensor(math.log(sigma) / 4, dtype=torch.float32, device=x.device)
    return unet(
        torch.cat([x, frames], dim=2), timestep, encoder_hidden_states=embed, added_time_ids=added_time_ids(x)
    ).sample


def guided(unet, x: Tensor, frames: Tensor, embed: Tensor, sigma: float, guidance: float) -> Tensor:
    """v_empty + guidance * (v - v_empty), the same for all frames; v_empty has neither embedding nor conditioning."""
    v = velocity(unet, x, frames, embed, sigma).to(x.dtype)
    if guidance == 1:
        return v
    empty = velocity(unet, x, torch.zeros_like(frames), torch.zeros_like(embed), sigma).to(x.dtype)
    return empty + guidance * (v - empty)


# The whole reference between the VAE's two ends: the photo's latents and noise in, the stack's latents out.

STEPS, GUIDANCE = 25, 1.5


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
    """Scaled latents [B, 9, 4, h, w] of the stack, near to far.

    noise: standard normal, of that shape; latent [B, 4, h, w]: the photo's (VAE mode, not scaled); embed [B, 1, C]:
    its CLIP embedding; position 0..8: where the photo is focused. progress(done, total) after every step may raise to
    stop. Raises RefocusError for another position or shapes that do not fit.
    """
    if noise.ndim != 5 or noise.shape != (latent.shape[0], POSITIONS, *latent.shape[1:]):
        raise RefocusError(
            f"the noise is {size_of(noise)} and the photo's latents {size_of(latent)}, but noise of "
            f"B x {POSITIONS} x C x h x w for latents of B x C x h x w is needed."
        )
    frames = place(latent.to(noise), position)
    return sample(
        lambda x, sigma: guided(unet, x, frames, embed.to(noise), sigma, guidance), noise, sigmas(steps), progress
    )


# The two ends of the reference: diffusers' AutoencoderKLTemporalDecoder.


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
        part = z[i : i + chunk].to(vae.dtype)
        frames.append(vae.decode(part, num_frames=len(part)).sample.float())
        if progress is not None:
            progress(min(i + chunk, len(z)), len(z))
    return torch.cat(frames)


# photo_to_stack: the reference from pictures to pictures, without ComfyUI.


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
    return Reference(
        UNetSpatioTemporalConditionModel.from_pretrained(unet_folder, **local).eval(),
        AutoencoderKLTemporalDecoder.from_pretrained(svd_folder, subfolder="vae", **local).eval(),
        CLIPVisionModelWithProjection.from_pretrained(svd_folder, subfolder="image_encoder", local_files_only=True)
        .to(dtype)
        .eval(),
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

    corrected_clip: see clip_pixels; chunk: see decode. progress(done, total) counts steps and decoded chunks.
    """
    image = check_image(image)
    if image.shape[0] != 1:
        raise RefocusError(f"{image.shape[0]} images were given, but a focal stack is made from 1: pick one frame.")
    image = resize(image.to(models.unet.device), *model_size(*image.shape[1:3], megapixels))
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
