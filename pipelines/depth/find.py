"""Which entries of a models folder are depth models: transformers folders, and Depth Anything V2 in one file."""
import json
import os

from .original import is_original


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
    return any(str(a).endswith("ForDepthEstimation") for a in config.get("architectures") or [])
