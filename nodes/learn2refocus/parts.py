"""What LoadRefocusModel hands over for the learn2refocus engine."""
from dataclasses import dataclass
from typing import Any

from comfy.ldm.modules.temporal_ae import VideoDecoder

from ...pipelines.optics import RefocusError
from .unet import load_unet

LOADER = "of ImageOnlyCheckpointLoader (svd.safetensors)"


@dataclass(frozen=True)
class SvdParts:
    """MODEL: the fine-tuned UNet; CLIP_VISION and VAE: those of Stable Video Diffusion, untouched."""
    model: Any
    clip_vision: Any
    vae: Any


def load_parts(path: str, clip_vision, vae) -> SvdParts:
    """path: of the UNet in diffusers' format. Raises RefocusError for wrong or missing parts."""
    for name, part in (("CLIP_VISION", clip_vision), ("VAE", vae)):
        if part is None:
            raise RefocusError(f"no {name} is connected, but learn2refocus runs on Stable Video Diffusion: connect the "
                               f"{name} {LOADER} to LoadRefocusModel.")
    # A diffusers VAE of SVD loads without a word as an ordinary one and then decodes noise.
    if not isinstance(getattr(vae.first_stage_model, "decoder", None), VideoDecoder):
        raise RefocusError("the VAE has no layers in time, but SVD's video VAE is needed: connect the VAE "
                           f"{LOADER} to LoadRefocusModel.")
    return SvdParts(load_unet(path), clip_vision, vae)
