"""photo_to_stack: the reference from pictures to pictures, without ComfyUI."""
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..optics import RefocusError
from ..optics.checks import check_image
from .clip_input import clip_pixels
from .frames import decode, encode
from .generate import GUIDANCE, STEPS, generate
from .positions import POSITIONS
from .sizes import MEGAPIXELS, model_size, resize


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
        raise RefocusError("the learn2refocus reference runs on diffusers' SVD classes, and diffusers is not "
                           "installed: pip install diffusers, or use the nodes, which need only ComfyUI.") from error
    from transformers import CLIPVisionModelWithProjection

    local = {"local_files_only": True, "torch_dtype": dtype}
    return Reference(UNetSpatioTemporalConditionModel.from_pretrained(unet_folder, **local).eval(),
                     AutoencoderKLTemporalDecoder.from_pretrained(svd_folder, subfolder="vae", **local).eval(),
                     CLIPVisionModelWithProjection.from_pretrained(svd_folder, subfolder="image_encoder",
                                                                   local_files_only=True).to(dtype).eval())


@torch.inference_mode()
def photo_to_stack(models: Reference, image: Tensor, position: int, *, steps: int = STEPS, guidance: float = GUIDANCE,
                   seed: int = 0, megapixels: float = MEGAPIXELS, corrected_clip: bool = False, chunk: int = POSITIONS,
                   progress=None) -> Tensor:
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
