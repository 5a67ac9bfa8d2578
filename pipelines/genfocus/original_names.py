"""FLUX.1 in its authors' naming, as ComfyUI has it: several adapted layers share one fused linear layer there."""
from dataclasses import dataclass

from .architecture import Architecture


@dataclass(frozen=True)
class Part:
    """module: an adapted layer in diffusers' naming; start: its first output channel in the fused layer."""
    module: str
    start: int


def fused_layers(architecture: Architecture) -> dict[str, list[Part]]:
    """{linear layer in the original naming: the adapted layers inside it}; every adapted layer once."""
    d = architecture.hidden
    found = {"img_in": [Part("x_embedder", 0)]}
    for i in range(architecture.double):
        ours, theirs = f"double_blocks.{i}", f"transformer_blocks.{i}"
        found[f"{ours}.img_mod.lin"] = [Part(f"{theirs}.norm1.linear", 0)]
        found[f"{ours}.img_attn.qkv"] = _qkv(theirs, d)
        found[f"{ours}.img_attn.proj"] = [Part(f"{theirs}.attn.to_out.0", 0)]
        found[f"{ours}.img_mlp.2"] = [Part(f"{theirs}.ff.net.2", 0)]
    for i in range(architecture.single):
        ours, theirs = f"single_blocks.{i}", f"single_transformer_blocks.{i}"
        found[f"{ours}.modulation.lin"] = [Part(f"{theirs}.norm.linear", 0)]
        found[f"{ours}.linear1"] = [*_qkv(theirs, d), Part(f"{theirs}.proj_mlp", 3 * d)]
        found[f"{ours}.linear2"] = [Part(f"{theirs}.proj_out", 0)]
    return found


def _qkv(block: str, d: int) -> list[Part]:
    return [Part(f"{block}.attn.to_{name}", i * d) for i, name in enumerate("qkv")]
