"""LoRA files of FLUX.1 in diffusers' layout: transformer.<layer>.lora_A.weight and .lora_B.weight.

Two kinds are read: those of one set of layers without alpha, and those of any layers with one.
"""

import json
import math
from dataclasses import dataclass
from os import PathLike

from torch import Tensor

from ..files import check_floats, file_name, read_header, read_metadata, read_tensors
from ..image.checks import RefocusError, cut
from .architecture import Architecture


@dataclass(frozen=True)
class LowRank:
    """y += up(down(x)); down [r, in], up [out, r], any rank r >= 1."""

    down: Tensor
    up: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out] in x's dtype and on its device."""
        return x @ self.down.to(x).T @ self.up.to(x).T


def read_lora(
    source: str | PathLike | dict[str, Tensor],
    architecture: Architecture,
    choose: str = "the file that was published for this engine",
) -> dict[str, LowRank]:
    """{layer: LowRank} for each of the architecture's lora_layers, from a safetensors file or its tensors.

    choose: which files an artist may choose, for the messages. Raises RefocusError, naming the first few, for
    missing, unused or ill-shaped tensors; a file is refused by its header, before any tensor is read.
    """
    if isinstance(source, dict):
        check_shapes("the LoRA", {name: tuple(t.shape) for name, t in source.items()}, architecture, choose)
        return _by_layer(source, architecture)
    get = f"download it again, or choose {choose}"
    name, header = file_name(source), read_header(source, get)
    check_shapes(name, {k: info.shape for k, info in header.items()}, architecture, choose)
    check_floats(header, name)
    return _by_layer(read_tensors(source, get, finite=True), architecture)


def read_any_lora(
    path: str | PathLike, layers: dict[str, tuple[int, int]], choose: str = "another file"
) -> dict[str, LowRank]:
    """{layer: LowRank} of a file that adapts any of `layers` {name: (in, out)}, its alpha taken into `up`.

    alpha / r comes from diffusers' header entry lora_adapter_metadata, or from tensors transformer.<layer>.alpha; it is
    1 without either. Raises RefocusError as read_lora does; a file is refused by its header.
    """
    name, header = file_name(path), read_header(path)
    shapes = {k: info.shape for k, info in header.items()}
    ranked = [k.removeprefix("transformer.").rsplit(".lora_", 1)[0] for k in shapes if ".lora_" in k]
    found = {layer: layers[layer] for layer in dict.fromkeys(ranked) if layer in layers}
    alphas = {k: layer for layer in found if (k := f"transformer.{layer}.alpha") in shapes}
    if not found:
        raise RefocusError(
            f"{name} has no layer of this FLUX.1 in diffusers' layout ({_some(sorted(shapes))}), but a LoRA for it is "
            f"needed: choose {choose}."
        )
    _check_layers(name, {k: v for k, v in shapes.items() if k not in alphas}, found, choose)
    if any(math.prod(shapes[k]) != 1 for k in alphas):
        raise RefocusError(f"{name} has an alpha of several numbers, but one for a layer is needed: choose {choose}.")
    check_floats(header, name)
    tensors = read_tensors(path, finite=True)
    told = _Told(read_metadata(path), name)
    out = {}
    for layer in found:
        down, up = (tensors[k] for k in _names(layer))
        alpha = tensors.get(f"transformer.{layer}.alpha")
        scale = told.scale(layer, len(down)) if alpha is None else float(alpha) / len(down)
        out[layer] = LowRank(down, up if scale == 1 else up.float() * scale)
    return out


class _Told:
    """What diffusers' lora_adapter_metadata says of alpha. RefocusError where it is no such thing."""

    def __init__(self, metadata: dict[str, str], name: str):
        self.name = name
        try:
            told = json.loads(metadata.get("lora_adapter_metadata", "{}"))
            told = {k.removeprefix("transformer."): v for k, v in told.items() if k.startswith("transformer.")}
            self.alpha = None if told.get("lora_alpha") is None else float(told["lora_alpha"])
            self.of_layers = {str(k): float(v) for k, v in (told.get("alpha_pattern") or {}).items()}
            self.rooted = bool(told.get("use_rslora"))
            good = all(math.isfinite(v) for v in (self.alpha or 0.0, *self.of_layers.values()))
        except (ValueError, TypeError, AttributeError, RecursionError):
            good = False
        if not good:
            raise RefocusError(
                f"{name} says of its alpha what cannot be read (lora_adapter_metadata), but numbers are needed: "
                "download it again."
            )

    def scale(self, layer: str, rank: int) -> float:
        """alpha / r, or alpha / sqrt(r) for a rank-stabilised LoRA."""
        named = (v for k, v in self.of_layers.items() if layer == k or layer.endswith(f".{k}"))
        alpha = next(named, self.alpha)
        return 1.0 if alpha is None else alpha / (math.sqrt(rank) if self.rooted else rank)


def _names(layer: str) -> tuple[str, str]:
    return f"transformer.{layer}.lora_A.weight", f"transformer.{layer}.lora_B.weight"


def _by_layer(tensors: dict[str, Tensor], architecture: Architecture) -> dict[str, LowRank]:
    return {layer: LowRank(*(tensors[name] for name in _names(layer))) for layer in architecture.lora_layers()}


def check_shapes(lora: str, shapes: dict[str, tuple[int, ...]], architecture: Architecture, choose: str):
    """RefocusError unless the tensors are exactly those of the architecture's layers; lora: its name."""
    _check_layers(lora, shapes, architecture.lora_layers(), choose)


def _check_layers(lora: str, shapes: dict[str, tuple[int, ...]], layers: dict[str, tuple[int, int]], choose: str):
    """The same for layers {name: (in, out)}."""
    needed = {name for layer in layers for name in _names(layer)}
    ill_shaped = []
    for layer, (n_in, n_out) in layers.items():
        down, up = (shapes.get(name, ()) for name in _names(layer))
        rank = down[0] if len(down) == 2 else 0
        if rank < 1 or (down, up) != ((rank, n_in), (n_out, rank)):
            ill_shaped.append(f"{layer} (A {_size(down)}, B {_size(up)}, needed A r x {n_in}, B {n_out} x r)")
    for wrong, kind, found in (
        ("lacks", "tensor", sorted(needed - shapes.keys())),
        ("has in excess", "tensor", sorted(shapes.keys() - needed)),
        ("has in the wrong shape", "layer", ill_shaped),
    ):
        if found:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise RefocusError(
                f"{lora} {wrong} {len(found)} {kind}{'s' * (len(found) > 1)} ({_some(found)}{more}), but "
                f"exactly those of a LoRA for this FLUX.1 are needed: choose {choose}."
            )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def _some(names: list[str]) -> str:
    return cut(", ".join(cut(n, 100) for n in names[:3]), 160)
