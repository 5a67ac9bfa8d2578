"""Genfocus LoRA files in the public key layout: transformer.<module>.lora_A.weight and .lora_B.weight, no alpha."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from torch import Tensor

from ..image.checks import RefocusError, size_of
from .architecture import Architecture


@dataclass(frozen=True)
class LowRank:
    """y += up(down(x)); down [r, in], up [out, r], any rank r >= 1."""

    down: Tensor
    up: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out] in x's dtype and on its device."""
        return x @ self.down.to(x).T @ self.up.to(x).T


def read_lora(source: str | PathLike | dict[str, Tensor], architecture: Architecture) -> dict[str, LowRank]:
    """{module: LowRank} for every adapted module of the architecture, from a safetensors file or its tensors.

    Raises RefocusError, naming the first few, for missing, unused or ill-shaped tensors.
    """
    name, tensors = ("the LoRA", source) if isinstance(source, dict) else (Path(source).name, _load(source))
    wanted = architecture.adapted()
    keys = {f"transformer.{m}.lora_{ab}.weight" for m in wanted for ab in "AB"}
    _refuse(name, "lacks", "tensor", sorted(keys - tensors.keys()))
    _refuse(name, "has in excess", "tensor", sorted(tensors.keys() - keys))
    found, bad = {}, []
    for module, (n_in, n_out) in wanted.items():
        down, up = (tensors[f"transformer.{module}.lora_{ab}.weight"] for ab in "AB")
        shapes = tuple(down.shape), tuple(up.shape)
        rank = down.shape[0] if down.ndim == 2 else 0
        if rank < 1 or shapes != ((rank, n_in), (n_out, rank)):
            bad.append(f"{module} (A {size_of(down)}, B {size_of(up)}, needed A r x {n_in}, B {n_out} x r)")
        found[module] = LowRank(down, up)
    _refuse(name, "has in the wrong shape", "layer", bad)
    return found


def _load(path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RefocusError(
            f"{path} cannot be read as a safetensors file ({error}): download it again, or choose a Genfocus LoRA."
        ) from error


def _refuse(name: str, what: str, of: str, found: list[str], shown: int = 3):
    if found:
        more = f" and {len(found) - shown} more" if len(found) > shown else ""
        of = f"{len(found)} {of}" + "s" * (len(found) > 1)
        raise RefocusError(
            f"{name} {what} {of} ({', '.join(found[:shown])}{more}), but exactly those of "
            "a Genfocus LoRA for this FLUX.1 are needed: choose DeblurNet's or BokehNet's file."
        )
