"""A depth model from the artist's disk: safetensors only, nothing fetched, nothing run that lies in the folder."""

import json
import os
from dataclasses import dataclass

import torch

from ..image.checks import RefocusError
from .depth_anything import as_transformers, is_original, original_config
from .pixels import Pixels, pixels_of

MEANINGS = ("disparity", "metres")


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


def find_models(files: list[str], locate) -> dict[str, str]:
    """Relative file names of a models folder -> {name: path} of the depth models among them, sorted by name.

    files: as the host lists them, relative to one of its folders; locate(name) gives the full path or None.
    A transformers folder is named by its folder and must hold config.json of a depth model and safetensors; a single
    file is named by itself. Nothing is loaded: only small JSON and the header of a safetensors file are read.
    """
    folders = {os.path.dirname(f) for f in files if os.path.basename(f) == "config.json"} - {""}
    weights = [f for f in files if f.endswith(".safetensors")]
    found = {}
    for name in folders & {os.path.dirname(f) for f in weights}:
        path = locate(os.path.join(name, "config.json"))
        if path and is_depth_config(read_config(os.path.dirname(path))):
            found[name] = os.path.dirname(path)
    for name in weights:
        path = locate(name)
        if path and os.path.dirname(name) not in folders and is_original(path):
            found[name] = path
    return dict(sorted(found.items()))


def read_config(folder: str, name: str = "config.json") -> dict:
    """A JSON object of a transformers folder; empty if it is missing or is not one."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            config = json.load(file)
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def is_depth_config(config: dict) -> bool:
    """Whether a config.json is that of a depth model, going by the class it names."""
    return any(str(a).endswith("ForDepthEstimation") for a in config.get("architectures") or [])


def load_depth_model(path: str, name: str | None = None) -> DepthModel:
    """A transformers folder of a depth model, or a Depth Anything V2 file -> DepthModel.

    Raises RefocusError for a folder that is no depth model, has no safetensors, lacks tensors, names a further model
    that would have to be fetched, or needs code of its own.
    """
    name = name or os.path.basename(os.path.normpath(path))
    if os.path.isfile(path):
        config, net = _from_file(path, name)
        processor = {}  # as published
    else:
        config = read_config(path)
        if not is_depth_config(config):
            raise RefocusError(
                f"{name} holds no config.json of a depth model, but a transformers folder with one is "
                "needed: copy config.json, preprocessor_config.json and model.safetensors into it."
            )
        net, processor = _from_folder(path, name, config), read_config(path, "preprocessor_config.json")
    meaning, stated = meaning_of(config)
    return DepthModel(
        net=net.float().eval().requires_grad_(False),
        name=name,
        model_type=config["model_type"],
        meaning=meaning,
        stated=stated,
        pixels=pixels_of(processor, config["model_type"], name),
    )


def meaning_of(config: dict) -> tuple[str, bool]:
    """A model's config.json -> ("metres" or "disparity", whether the configuration itself says so).

    Depth Anything and Prompt Depth Anything name their type; ZoeDepth and GLPN are trained on metres alone. Depth Pro
    gives inverse depth that its field-of-view head turns into metres; without that head the scale stays unknown. DPT
    is relative as MiDaS trained it, but some folders hold metric ones and nothing in them says which.
    """
    kind = config.get("model_type")
    if kind in ("depth_anything", "prompt_depth_anything"):
        return ("metres" if config.get("depth_estimation_type") == "metric" else "disparity"), True
    if kind == "depth_pro":
        return ("metres" if config.get("use_fov_model") else "disparity"), True
    if kind in ("zoedepth", "glpn"):
        return "metres", True
    return "disparity", False


def _from_folder(path: str, name: str, config: dict) -> torch.nn.Module:
    if not any(f.endswith(".safetensors") for f in os.listdir(path)):
        raise RefocusError(
            f"the depth model {name} has no .safetensors file, but only that format is loaded (others "
            "can run code): fetch or convert its weights as model.safetensors."
        )
    if config.get("backbone") and not config.get("backbone_config"):
        raise RefocusError(
            f"the depth model {name} names a further model, {config['backbone']}, that would have to be "
            "fetched, but nothing is: use a folder whose config.json holds a backbone_config."
        )
    from transformers import AutoModelForDepthEstimation

    try:
        net, report = AutoModelForDepthEstimation.from_pretrained(
            path, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except Exception as error:
        raise RefocusError(
            f"the depth model {name} cannot be loaded ({_short(error)}), but a complete transformers "
            "folder of a depth model is needed: fetch it again, or update transformers if the model "
            "is newer."
        ) from error
    _complete(name, report["missing_keys"], [str(k) for k in report.get("mismatched_keys", ())])
    return net


def _from_file(path: str, name: str) -> tuple[dict, torch.nn.Module]:
    """A Depth Anything V2 file -> (the config.json it stands for, the network)."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForDepthEstimation

    try:
        state = load_file(path)
    except SafetensorError as error:
        raise RefocusError(
            f"{name} cannot be read ({_short(error)}), but a whole safetensors file is needed: fetch it again."
        ) from error
    try:
        config = original_config(state, name)
    except (KeyError, IndexError, ValueError) as error:
        if isinstance(error, RefocusError):
            raise
        raise RefocusError(
            f"{name} lacks tensors of a Depth Anything V2 ({_short(error)}), but a complete file is "
            "needed: fetch it again."
        ) from error
    made = AutoConfig.for_model(**{k: v for k, v in config.items() if k != "architectures"})
    net = AutoModelForDepthEstimation.from_config(made)
    wanted = net.state_dict()
    state = as_transformers(state, set(wanted))
    wrong = [k for k, t in state.items() if k in wanted and t.shape != wanted[k].shape]
    _complete(name, wanted.keys() - state.keys(), wrong, state.keys() - wanted.keys())
    net.load_state_dict({k: t.float() for k, t in state.items()})
    return config, net


def _complete(name: str, missing, wrong, unused=()) -> None:
    """Refuse a file that would leave layers at random; what no forward pass reads may be missing."""
    missing = [k for k in missing if "mask_token" not in k and "fusion_stage.layers.0.residual_layer1" not in k]
    for keys, said in ((missing, "missing"), (wrong, "of another shape"), (unused, "unknown")):
        if keys:
            some = ", ".join(sorted(keys)[:3]) + (" ..." if len(keys) > 3 else "")
            raise RefocusError(
                f"the depth model {name} has {len(keys)} tensors that are {said} ({some}), but all must "
                "fit: fetch it again from its source."
            )


def _short(error) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]
