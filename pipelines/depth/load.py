"""A depth model from the artist's disk: safetensors only, nothing fetched, nothing run that lies in the folder."""
import os
from dataclasses import dataclass

import torch

from ..optics.errors import RefocusError
from .find import is_depth_config, read_config
from .meaning import meaning_of
from .original import original_config, renamed
from .pixels import Pixels, pixels_of


@dataclass(frozen=True)
class DepthModel:
    """net: transformers' model, float32, on the CPU. name: as shown. model_type: transformers' word for it.
    meaning: "metres" or "disparity"; stated: whether its configuration says so. pixels: how pictures are fed to it."""
    net: torch.nn.Module
    name: str
    model_type: str
    meaning: str
    stated: bool
    pixels: Pixels


def load_depth_model(path: str, name: str | None = None) -> DepthModel:
    """A transformers folder of a depth model, or a Depth Anything V2 file -> DepthModel.

    Raises RefocusError for a folder that is no depth model, has no safetensors, lacks tensors, names a further model
    that would have to be fetched, or needs code of its own.
    """
    name = name or os.path.basename(os.path.normpath(path))
    if os.path.isfile(path):
        config, net = _from_file(path, name)
        preprocess = {}
    else:
        config = read_config(path)
        if not is_depth_config(config):
            raise RefocusError(f"{name} holds no config.json of a depth model, but a transformers folder with one is "
                               "needed: copy config.json, preprocessor_config.json and model.safetensors into it.")
        net, preprocess = _from_folder(path, name, config), read_config(path, "preprocessor_config.json")
    pixels = pixels_of(preprocess, config["model_type"], name)
    return DepthModel(net.float().eval().requires_grad_(False), name, config["model_type"], *meaning_of(config), pixels)


def _from_folder(path, name, config):
    if not any(f.endswith(".safetensors") for f in os.listdir(path)):
        raise RefocusError(f"the depth model {name} has no .safetensors file, but only that format is loaded (others "
                           "can run code): fetch or convert its weights as model.safetensors.")
    if config.get("backbone") and not config.get("backbone_config"):
        raise RefocusError(f"the depth model {name} names a further model, {config['backbone']}, that would have to be "
                           "fetched, but nothing is: use a folder whose config.json holds a backbone_config.")
    from transformers import AutoModelForDepthEstimation

    try:
        net, report = AutoModelForDepthEstimation.from_pretrained(
            path, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True)
    except Exception as error:
        raise RefocusError(f"the depth model {name} cannot be loaded ({_short(error)}), but a complete transformers "
                           "folder of a depth model is needed: fetch it again, or update transformers if the model "
                           "is newer.") from error
    _complete(name, report["missing_keys"], [str(k) for k in report.get("mismatched_keys", ())])
    return net


def _from_file(path, name):
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForDepthEstimation

    state = load_file(path)
    try:
        config = original_config(state, name)
    except (KeyError, IndexError, ValueError) as error:
        if isinstance(error, RefocusError):
            raise
        raise RefocusError(f"{name} lacks tensors of a Depth Anything V2 ({_short(error)}), but a complete file is "
                           "needed: fetch it again.") from error
    made = AutoConfig.for_model(**{k: v for k, v in config.items() if k != "architectures"})
    net = AutoModelForDepthEstimation.from_config(made)
    wanted = net.state_dict()
    state = renamed(state, set(wanted))
    wrong = [k for k, t in state.items() if k in wanted and t.shape != wanted[k].shape]
    _complete(name, wanted.keys() - state.keys(), wrong, state.keys() - wanted.keys())
    net.load_state_dict({k: t.float() for k, t in state.items()})
    return config, net


def _complete(name, missing, wrong, unused=()):
    """Refuse a file that would leave layers at random; what no forward pass reads may be missing."""
    missing = [k for k in missing if "mask_token" not in k and "fusion_stage.layers.0.residual_layer1" not in k]
    for keys, said in ((missing, "missing"), (wrong, "of another shape"), (unused, "unknown")):
        if keys:
            some = ", ".join(sorted(keys)[:3]) + (" ..." if len(keys) > 3 else "")
            raise RefocusError(f"the depth model {name} has {len(keys)} tensors that are {said} ({some}), but all must "
                               "fit: fetch it again from its source.")


def _short(error) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]
