"""What the learn2refocus engine runs on: the fine-tuned UNet as a stock MODEL, and SVD's own CLIP_VISION and VAE."""

import os
from dataclasses import dataclass
from typing import Any

import comfy.model_management as mm
import comfy.sd
import comfy.utils
from comfy.ldm.modules.temporal_ae import VideoDecoder

from ...pipelines.files import SURPRISES, check_amount, check_floats, file_name, read_config, read_header, short
from ...pipelines.image.checks import RefocusError, cut
from ...pipelines.learn2refocus.unet_file import FINE_EPS, check_unet, comfy_names, fine_norms
from ..host import check_socket

LOADER = "of ImageOnlyCheckpointLoader (svd.safetensors)"


@dataclass(frozen=True)
class SvdModels:
    """model: MODEL of the fine-tuned UNet; clip_vision, vae: those of Stable Video Diffusion, untouched."""

    model: Any
    clip_vision: Any
    vae: Any


def load_models(path: str, clip_vision, vae) -> SvdModels:
    """path: of the UNet in diffusers' format. Raises RefocusError where one is wrong or missing."""
    for name, given in (("CLIP_VISION", clip_vision), ("VAE", vae)):
        if given is None:
            raise RefocusError(
                f"no {name} is connected, but learn2refocus runs on Stable Video Diffusion: connect the "
                f"{name} {LOADER} to LoadRefocusModel."
            )
        check_socket(name, given)
    # A diffusers VAE of SVD loads without a word as an ordinary one and then decodes noise.
    if not isinstance(getattr(vae.first_stage_model, "decoder", None), VideoDecoder):
        raise RefocusError(
            "the VAE has no layers in time, but SVD's video VAE is needed: connect the VAE "
            f"{LOADER} to LoadRefocusModel."
        )
    return SvdModels(load_unet(path), clip_vision, vae)


def load_unet(path: str):
    """A file in diffusers' format -> MODEL, as the host's own loader makes it. RefocusError for any other file."""
    name, header = file_name(path), read_header(path)
    layout = check_unet({k: info.shape for k, info in header.items()}, name, _frames(path))
    check_floats(header, name)
    check_amount(header, name)
    names = comfy_names(header)
    try:
        weights = comfy.utils.load_torch_file(path, safe_load=True)
        model = comfy.sd.load_diffusion_model_state_dict({new: weights.pop(old) for old, new in names.items()})
    except mm.OOM_EXCEPTION:
        raise
    except (*SURPRISES, RuntimeError) as error:
        raise RefocusError(
            f"{name} cannot be loaded by ComfyUI ({short(error)}), but learn2refocus's own file can: download it again."
        ) from error
    if model is None:
        raise RefocusError(
            f"{name} is an SVD UNet of {cut(' + '.join(map(str, layout.channels)))} channels, a size that "
            "ComfyUI does not know: choose learn2refocus's own file."
        )
    for norm in fine_norms(names):
        model.model.diffusion_model.get_submodule(norm).eps = FINE_EPS
    return model


def _frames(path: str) -> int | None:
    """num_frames of diffusers' config.json beside the file, None where there is none of an SVD UNet."""
    try:
        config = read_config(os.path.dirname(path))
    except RefocusError:
        return None
    return config.get("num_frames") if config.get("_class_name") == "UNetSpatioTemporalConditionModel" else None
