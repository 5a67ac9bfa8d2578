"""The fine-tuned UNet as a stock ComfyUI MODEL: diffusers' file, its weights renamed."""
import json
import os

import comfy.sd
import comfy.utils

from ...pipelines.learn2refocus.unet_file import check_unet
from ...pipelines.learn2refocus.unet_names import FINE_EPS, fine_norms, renamed
from ...pipelines.optics import RefocusError


def load_unet(path: str):
    """A file of diffusers' format -> MODEL, as the host's own loader makes it. RefocusError for any other file."""
    name = os.path.basename(path)
    try:
        weights = comfy.utils.load_torch_file(path, safe_load=True)
    except Exception as error:
        raise RefocusError(f"{name} cannot be read ({error}): download it again.") from error
    layout = check_unet({k: tuple(v.shape) for k, v in weights.items()}, name, _frames(path))
    names = renamed(weights)
    model = comfy.sd.load_diffusion_model_state_dict({new: weights.pop(old) for old, new in names.items()})
    if model is None:
        raise RefocusError(f"{name} is an SVD UNet of {' + '.join(map(str, layout.channels))} channels, a size that "
                           "ComfyUI does not know: choose learn2refocus's own file.")
    for norm in fine_norms(names):
        model.model.diffusion_model.get_submodule(norm).eps = FINE_EPS
    return model


def _frames(path: str) -> int | None:
    """num_frames of diffusers' config.json beside the file, None where there is none of an SVD UNet."""
    try:
        with open(os.path.join(os.path.dirname(path), "config.json"), encoding="utf-8") as file:
            config = json.load(file)
    except (OSError, ValueError):
        return None
    mine = isinstance(config, dict) and config.get("_class_name") == "UNetSpatioTemporalConditionModel"
    return config.get("num_frames") if mine else None
