"""LoRA files of FLUX.1 in diffusers' layout: transformer.<layer>.lora_A.weight and .lora_B.weight, no alpha."""

from dataclasses import dataclass
from os import PathLike

from torch import Tensor

from ..files import check_floats, file_name, read_header, read_tensors
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
        _check("the LoRA", {name: tuple(t.shape) for name, t in source.items()}, architecture, choose)
        return _by_layer(source, architecture)
    get = f"download it again, or choose {choose}"
    name, header = file_name(source), read_header(source, get)
    _check(name, {k: info.shape for k, info in header.items()}, architecture, choose)
    check_floats(header, name)
    return _by_layer(read_tensors(source, get, finite=True), architecture)


def _names(layer: str) -> tuple[str, str]:
    return f"transformer.{layer}.lora_A.weight", f"transformer.{layer}.lora_B.weight"


def _by_layer(tensors: dict[str, Tensor], architecture: Architecture) -> dict[str, LowRank]:
    return {layer: LowRank(*(tensors[name] for name in _names(layer))) for layer in architecture.lora_layers()}


def _check(lora: str, shapes: dict[str, tuple[int, ...]], architecture: Architecture, choose: str):
    """RefocusError unless the tensors are exactly those of the architecture's layers; lora: its name."""
    layers = architecture.lora_layers()
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
