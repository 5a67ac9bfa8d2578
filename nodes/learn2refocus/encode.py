"""The photo as SVD takes it, by the artist's CLIP_VISION and VAE."""
import comfy.model_management as mm
from torch import Tensor

from ...pipelines.learn2refocus.clip_input import clip_pixels
from ...pipelines.optics import RefocusError


def embed(clip_vision, image: Tensor, context: int, *, corrected: bool = False) -> Tensor:
    """image [B, H, W, 3] -> [B, 1, C], C being the UNet's `context`.

    The vision model itself is called: the host's encode_image crops, and clips the values that the released inference
    feeds.
    """
    mm.load_model_gpu(clip_vision.patcher)
    pixels = clip_pixels(image.to(clip_vision.load_device), corrected=corrected)
    found = clip_vision.model(pixel_values=pixels, intermediate_output=-2)[2]
    if found is None or found.shape[-1] != context:
        size = "no embedding" if found is None else f"embeddings of {found.shape[-1]} values"
        raise RefocusError(f"the CLIP_VISION gives {size}, but SVD's gives {context}: connect the CLIP_VISION of "
                           "ImageOnlyCheckpointLoader (svd.safetensors).")
    return found[:, None].float().to(mm.intermediate_device())


def encode(vae, image: Tensor) -> Tensor:
    """image [B, H, W, 3] -> latents [B, 4, h, w], the mode, not scaled; one picture at a time."""
    latent = vae.encode(image)
    if latent.ndim != 4 or latent.shape[1] != 4:
        raise RefocusError(f"the VAE makes latents of {latent.shape[1]} channels, but SVD's makes 4: connect the VAE "
                           "of ImageOnlyCheckpointLoader (svd.safetensors).")
    return latent
