"""What a depth model's config.json asks for, held against what its file has, before anything is allocated.

A configuration of some bytes can ask for a billion layers. So its numbers have limits; the layers that it counts cannot
be more than its file has tensors; and the network is built without weights first, where it may not have more numbers
than the file.
"""

import re
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..files import TensorInfo
from ..files.tensors import MOST_NUMBERS
from ..image.checks import RefocusError, check_number, cut, shown

MOST = 1 << 16  # for any number of a configuration: widths, sizes, labels
MOST_FRACTION = 1e6
MOST_LAYERS = 1024  # the largest depth models have 74
MOST_ITEMS = 1024
COUNTS = re.compile(r"(layers|blocks|depths|stages)$|^depth$|^n_layer")
# How a model is run, named, quantised, or which code runs it: no matter of the network's own shape.
LEFT_OUT = re.compile(
    r"_|attn_implementation|experts_implementation|auto_map|quantization_config|num_labels|(torch_)?dtype$"
)
SPARE = 1 << 24  # numbers that a network may have beyond its file: tables that it makes itself


def plain_config(config: dict, header: dict[str, TensorInfo], name: str) -> dict:
    """config.json -> what of it shapes the network, also in the configurations inside.

    Raises RefocusError for numbers beyond the limits, more layers than the file has tensors, and a further model that
    would have to be fetched.
    """
    from transformers import PretrainedConfig

    general = set(PretrainedConfig().to_dict()) - {"model_type"}
    found = _plain(config, general, name)
    layers = _layers(found)
    if layers > min(MOST_LAYERS, len(header)):
        raise RefocusError(
            f"the depth model {name} would have {shown(layers)} layers by its config.json, but its file has "
            f"{len(header)} tensors and at most {MOST_LAYERS} layers are possible: fetch it again from its source."
        )
    return found


def _plain(config: dict, general: set[str], name: str) -> dict:
    found = {k: v for k, v in config.items() if k not in general and not LEFT_OUT.match(k)}
    if found.get("backbone") and not found.get("backbone_config"):
        raise RefocusError(
            f"the depth model {name} names a further model, {cut(str(found['backbone']))}, that would have to be "
            "fetched, but nothing is: use a folder whose config.json holds a backbone_config."
        )
    return {k: _checked(k, v, general, name) for k, v in found.items()}


def _checked(key: str, value, general: set[str], name: str):
    if isinstance(value, dict):
        return _plain(value, general, name)
    if isinstance(value, list):
        if len(value) > MOST_ITEMS:
            raise RefocusError(
                f"{shown(key)} in config.json of {name} has {len(value):,} items, but at most {MOST_ITEMS:,} are "
                "possible: fetch it again from its source."
            )
        return [_checked(key, v, general, name) for v in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        most = MOST if isinstance(value, int) else MOST_FRACTION
        # Depth Pro looks at the picture in these scales; above 1 it would become larger than itself.
        most = 1 if key == "scaled_images_ratios" else most
        check_number(f"{shown(key)} in config.json of {name}", value, -most, most)
    return value


def _layers(config: dict) -> int:
    """All layers that a configuration and those inside count."""
    found = 0
    for key, value in config.items():
        if isinstance(value, dict):
            found += _layers(value)
        elif COUNTS.search(key):
            values = value if isinstance(value, list) else [value]
            found += sum(abs(v) for v in values if isinstance(v, int))
    return found


class _RampsOnCpu(TorchFunctionMode):
    """Some networks read single numbers of a linspace while they are built, which a tensor without values has not."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = {"device": "cpu", **(kwargs or {})} if func is torch.linspace else kwargs or {}
        return func(*args, **kwargs)


def weightless(config: dict) -> Any:
    """config.json -> transformers' network on the device meta: shapes, and no memory."""
    from transformers import CONFIG_MAPPING, AutoModelForDepthEstimation

    made = CONFIG_MAPPING[config["model_type"]].from_dict(config)
    with torch.device("meta"), _RampsOnCpu():
        return AutoModelForDepthEstimation.from_config(made)


def check_size(net, header: dict[str, TensorInfo], name: str):
    """RefocusError where a network has more numbers than its file, or the file more than any depth model."""
    asked = sum(t.numel() for group in (net.parameters(), net.buffers()) for t in group)
    held = sum(info.numbers for info in header.values())
    if asked > 1.25 * held + SPARE or held > MOST_NUMBERS:
        raise RefocusError(
            f"the depth model {name} has {shown(asked)} numbers by its config.json and {shown(held)} in its file, "
            f"but these must agree, and at most {MOST_NUMBERS:,} are possible: fetch it again from its source."
        )
