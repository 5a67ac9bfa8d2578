"""The sizes of a FLUX.1 transformer, and the linear layers that a condition's LoRA adapts, in both namings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """channels per token, hidden width, width of the MLP, double-stream and single-stream blocks."""

    channels: int
    hidden: int
    mlp: int
    double: int
    single: int

    def lora_layers(self) -> dict[str, tuple[int, int]]:
        """{layer in diffusers' naming: (in, out)} of the layers that OminiControl adapts; 343 of them in FLUX.1."""
        d, m = self.hidden, self.mlp
        layers = {"x_embedder": (self.channels, d)}
        for i in range(self.double):
            block = f"transformer_blocks.{i}"
            layers[f"{block}.norm1.linear"] = (d, 6 * d)
            for name in ("to_q", "to_k", "to_v", "to_out.0"):
                layers[f"{block}.attn.{name}"] = (d, d)
            layers[f"{block}.ff.net.2"] = (m, d)
        for i in range(self.single):
            block = f"single_transformer_blocks.{i}"
            layers[f"{block}.norm.linear"] = (d, 3 * d)
            layers[f"{block}.proj_mlp"] = (d, m)
            layers[f"{block}.proj_out"] = (d + m, d)
            for name in ("to_q", "to_k", "to_v"):
                layers[f"{block}.attn.{name}"] = (d, d)
        return layers


FLUX_1 = Architecture(channels=64, hidden=3072, mlp=12288, double=19, single=38)


@dataclass(frozen=True)
class Section:
    """Where one layer lies in a fused one. layer: in diffusers' naming; start: its first output channel there."""

    layer: str
    start: int


def fused_layers(architecture: Architecture) -> dict[str, list[Section]]:
    """{linear layer in FLUX's own naming, which ComfyUI keeps: the LoRA's layers inside it}; each of them once."""
    d = architecture.hidden
    fused = {"img_in": [Section("x_embedder", 0)]}
    for i in range(architecture.double):
        own, diffusers = f"double_blocks.{i}", f"transformer_blocks.{i}"
        fused[f"{own}.img_mod.lin"] = [Section(f"{diffusers}.norm1.linear", 0)]
        fused[f"{own}.img_attn.qkv"] = _qkv(diffusers, d)
        fused[f"{own}.img_attn.proj"] = [Section(f"{diffusers}.attn.to_out.0", 0)]
        fused[f"{own}.img_mlp.2"] = [Section(f"{diffusers}.ff.net.2", 0)]
    for i in range(architecture.single):
        own, diffusers = f"single_blocks.{i}", f"single_transformer_blocks.{i}"
        fused[f"{own}.modulation.lin"] = [Section(f"{diffusers}.norm.linear", 0)]
        fused[f"{own}.linear1"] = [*_qkv(diffusers, d), Section(f"{diffusers}.proj_mlp", 3 * d)]
        fused[f"{own}.linear2"] = [Section(f"{diffusers}.proj_out", 0)]
    return fused


def _qkv(block: str, d: int) -> list[Section]:
    return [Section(f"{block}.attn.to_{name}", i * d) for i, name in enumerate("qkv")]
