"""A depth model from the artist's disk: safetensors only, nothing fetched, nothing run that lies in the folder."""

import os
from dataclasses import dataclass
from typing import Any

import torch

from ..files import TensorInfo, read_config, read_header, read_tensors, short
from ..image.checks import RefocusError, cut
from .depth_anything import as_transformers, is_original, original_config
from .pixels import Pixels, pixels_of
from .sizes import check_size, plain_config, weightless

MOST_PARTS = 64  # files that the tensors of one model are spread over
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
        if path and _is_depth_folder(os.path.dirname(path)):
            found[name] = os.path.dirname(path)
    for name in weights:
        path = locate(name)
        if path and os.path.dirname(name) not in folders and is_original(path):
            found[name] = path
    return dict(sorted(found.items()))


def is_depth_config(config: dict) -> bool:
    """Whether a config.json is that of a depth model, going by the class it names."""
    named = config.get("architectures")
    return isinstance(named, list) and any(str(a).endswith("ForDepthEstimation") for a in named)


def _is_depth_folder(folder: str) -> bool:
    try:
        return is_depth_config(read_config(folder))
    except RefocusError:
        return False


def load_depth_model(path: str, name: str | None = None) -> DepthModel:
    """A transformers folder of a depth model, or a Depth Anything V2 file -> DepthModel.

    Raises RefocusError for a folder that is no depth model, has no safetensors, lacks tensors, names a further model
    that would have to be fetched, or needs code of its own.
    """
    name = name or os.path.basename(os.path.normpath(path))
    said = cut(name, 80)
    if os.path.isdir(path):
        config = read_config(path)
        if not is_depth_config(config):
            raise RefocusError(
                f"{said} holds no config.json of a depth model, but a transformers folder with one is "
                "needed: copy config.json, preprocessor_config.json and model.safetensors into it."
            )
        net, processor = _from_folder(path, said, config), read_config(path, "preprocessor_config.json")
    else:
        config, net = _from_file(path, said)
        processor = {}  # as published
    meaning, stated = meaning_of(config)
    return DepthModel(
        net=net.float().eval().requires_grad_(False),
        name=name,
        model_type=config["model_type"],
        meaning=meaning,
        stated=stated,
        pixels=pixels_of(processor, config["model_type"], said),
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
    files = _weights(path, name)
    header = {k: info for file in files for k, info in read_header(file).items()}
    empty = _built(plain_config(config, header, name), header, name)
    state = {k: t for file in files for k, t in read_tensors(file).items()}
    try:
        # From what was read here: transformers opens nothing in the folder.
        net, report = type(empty).from_pretrained(None, config=empty.config, state_dict=state, output_loading_info=True)
    except Exception as error:  # transformers raises whatever its parts and its version do
        raise _not_loaded(name, error) from error
    _complete(name, report["missing_keys"], [str(k) for k in report.get("mismatched_keys", ())])
    return net


def _weights(path: str, name: str) -> list[str]:
    """model.safetensors of a folder, the parts that its index names, or the one safetensors file that there is."""
    there = sorted(f for f in os.listdir(path) if f.endswith(".safetensors"))
    if not there:
        raise RefocusError(
            f"the depth model {name} has no .safetensors file, but only that format is loaded (others "
            "can run code): fetch or convert its weights as model.safetensors."
        )
    if "model.safetensors" in there:
        there = ["model.safetensors"]
    elif len(there) > 1:
        index = read_config(path, "model.safetensors.index.json").get("weight_map")
        parts = sorted(set(map(str, index.values()))) if isinstance(index, dict) else []
        if not parts or not set(parts) <= set(there) or len(parts) > MOST_PARTS:
            raise RefocusError(
                f"the depth model {name} has {len(there)} .safetensors files and no model.safetensors.index.json that "
                f"names at most {MOST_PARTS} of them, but one of both is needed: fetch it again from its source."
            )
        there = parts
    return [os.path.join(path, f) for f in there]


def _from_file(path: str, name: str) -> tuple[dict, torch.nn.Module]:
    """A Depth Anything V2 file -> (the config.json it stands for, the network)."""
    from transformers import AutoModelForDepthEstimation

    header = read_header(path)
    # Shapes alone show whether all fits; the tensors are read when it does.
    shapes = {k: torch.empty(info.shape, device="meta") for k, info in header.items()}
    try:
        config = original_config(shapes, name)
    except RefocusError:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise RefocusError(
            f"{name} lacks tensors of a Depth Anything V2 ({short(error)}), but a complete file is "
            "needed: fetch it again."
        ) from error
    empty = _built(plain_config(config, header, name), header, name)
    wanted = empty.state_dict()
    _fits(as_transformers(shapes, set(wanted)), wanted, name)
    net = AutoModelForDepthEstimation.from_config(empty.config)
    state = as_transformers(read_tensors(path), set(wanted))
    net.load_state_dict({k: t.float() for k, t in state.items()})
    return config, net


def _built(config: dict, header: dict[str, TensorInfo], name: str) -> Any:
    """The network without weights, no larger than its file."""
    try:
        net = weightless(config)
    except Exception as error:  # transformers raises whatever its parts and its version do
        raise _not_loaded(name, error) from error
    check_size(net, header, name)
    return net


def _not_loaded(name: str, error: Exception) -> RefocusError:
    return RefocusError(
        f"the depth model {name} cannot be loaded ({short(error)}), but a complete transformers "
        "folder of a depth model is needed: fetch it again, or update transformers if the model is newer."
    )


def _fits(state: dict, wanted: dict, name: str):
    wrong = [k for k, t in state.items() if k in wanted and t.shape != wanted[k].shape]
    _complete(name, wanted.keys() - state.keys(), wrong, state.keys() - wanted.keys())


def _complete(name: str, missing, wrong, unused=()) -> None:
    """Refuse a file that would leave layers at random; what no forward pass reads may be missing."""
    missing = [k for k in missing if "mask_token" not in k and "fusion_stage.layers.0.residual_layer1" not in k]
    for keys, said in ((missing, "missing"), (wrong, "of another shape"), (unused, "unknown")):
        if keys:
            some = cut(", ".join(cut(k, 100) for k in sorted(keys)[:3]), 150) + (" ..." if len(keys) > 3 else "")
            raise RefocusError(
                f"the depth model {name} has {len(keys)} tensors that are {said} ({some}), but all must "
                "fit: fetch it again from its source."
            )
