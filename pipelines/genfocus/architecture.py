"""The sizes of a FLUX.1 transformer, and the linear layers that a Genfocus LoRA adapts."""
from dataclasses import dataclass

from ..optics import RefocusError


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
        raise RefocusError("the model has no guidance embedding (FLUX.1-schnell), but Genfocus was trained on "
                           "FLUX.1-dev and modulates its conditions with a guidance of 1: load FLUX.1-dev.")
