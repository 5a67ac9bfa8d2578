"""The sizes of a FLUX.1 transformer, and the linear layers that a Genfocus LoRA adapts."""

from dataclasses import dataclass

from ..image.checks import RefocusError


@dataclass(frozen=True)
class Architecture:
    """channels per token, hidden width, width of the MLP, double-stream and single-stream blocks."""

    channels: int
    hidden: int
    mlp: int
    double: int
    single: int

    def adapted(self) -> dict[str, tuple[int, int]]:
        """{module in diffusers' naming: (in, out)} of every adapted linear layer; 343 of them in FLUX.1."""
        d, m = self.hidden, self.mlp
        found = {"x_embedder": (self.channels, d)}
        for i in range(self.double):
            block = f"transformer_blocks.{i}"
            found[f"{block}.norm1.linear"] = (d, 6 * d)
            for name in ("to_q", "to_k", "to_v", "to_out.0"):
                found[f"{block}.attn.{name}"] = (d, d)
            found[f"{block}.ff.net.2"] = (m, d)
        for i in range(self.single):
            block = f"single_transformer_blocks.{i}"
            found[f"{block}.norm.linear"] = (d, 3 * d)
            found[f"{block}.proj_mlp"] = (d, m)
            found[f"{block}.proj_out"] = (d + m, d)
            for name in ("to_q", "to_k", "to_v"):
                found[f"{block}.attn.{name}"] = (d, d)
        return found


FLUX_1 = Architecture(channels=64, hidden=3072, mlp=12288, double=19, single=38)


def require_guidance(has_guidance: bool):
    """FLUX.1-schnell has no guidance embedding: the conditions' guidance of 1 has no place in it, so it is refused."""
    if not has_guidance:
        raise RefocusError(
            "the model has no guidance embedding (FLUX.1-schnell), but Genfocus was trained on "
            "FLUX.1-dev and modulates its conditions with a guidance of 1: load FLUX.1-dev."
        )


# FLUX.1 in its authors' naming, as ComfyUI has it: several adapted layers share one fused linear layer there.


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
