"""LoRAs of conditions on ComfyUI's FLUX: added to the outputs of linear layers, on the conditions' tokens alone.

Adding to outputs leaves the weights alone, whatever they are: bf16, fp8, GGUF, offloaded, patched by other LoRAs.
"""

from collections.abc import Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ...pipelines.flux.architecture import Architecture, fused_layers
from ...pipelines.flux.lora_file import LowRank
from ...pipelines.flux.tokens import Rows
from ..abilities import patcher_of


class FusedLowRank(nn.Module):
    """The LoRA of one fused linear layer: one product down for all its sections, one up for each.

    All weights are its own parameters: ComfyUI leaves those of modules with submodules where they are.
    """

    def __init__(self, sections: list[tuple[int, LowRank]]):
        super().__init__()
        self.starts = [start for start, _ in sections]
        self.ranks = [low.down.shape[0] for _, low in sections]
        self.down = nn.Parameter(torch.cat([low.down for _, low in sections]), requires_grad=False)
        for i, (_, low) in enumerate(sections):
            self.register_parameter(f"up{i}", nn.Parameter(low.up, requires_grad=False))

    def add(self, x: Tensor, y: Tensor):
        """y [B, n, out] += up(down(x [B, n, in])), in place."""
        hidden = (x @ self.down.to(x).T).split(self.ranks, dim=-1)  # [B, n, r] for each section
        for i, (start, h) in enumerate(zip(self.starts, hidden, strict=True)):
            up = self.get_parameter(f"up{i}")
            y[..., start : start + up.shape[0]].baddbmm_(h, up.to(x).T.expand(len(x), -1, -1))


class LoraWeights(nn.Module):
    """A whole LoRA by FLUX's own names of its linear layers. Holds no reference to any model."""

    def __init__(self, lora: dict[str, LowRank], architecture: Architecture):
        super().__init__()
        fused = fused_layers(architecture)
        self.names = list(fused)
        self.layers = nn.ModuleList(
            FusedLowRank([(s.start, lora[s.layer]) for s in sections]) for sections in fused.values()
        )

    def items(self):
        return zip(self.names, self.layers, strict=True)


def architecture_of(flux) -> Architecture:
    """The sizes of ComfyUI's FLUX.1."""
    p = flux.params
    return Architecture(
        flux.in_channels, p.hidden_size, int(p.hidden_size * p.mlp_ratio), p.depth, p.depth_single_blocks
    )


def lora_patcher(lora: dict[str, LowRank], architecture: Architecture):
    """The LoRA as a model that ComfyUI loads and unloads beside the MODEL it is attached to."""
    return patcher_of(LoraWeights(lora, architecture))


@contextmanager
def loras_on_conditions(flux: nn.Module, loras: Sequence[LoraWeights], rows: Rows, everywhere: bool = False):
    """Within this context conditions run through their LoRA; afterwards, however it ends, nothing is left.

    everywhere: text and noise do as well, as with an ordinary LoRA.
    """
    handles = []
    try:
        for index, weights in enumerate(loras):
            stream = [(start, end) for start, end, lora in rows.condition_ranges if lora == index]
            joint = [(rows.text + start, rows.text + end) for start, end in stream]
            vec = [(rows.vec_row(index), rows.vec_row(index) + 1)]
            for name, layer in weights.items():
                ranges: Sequence[tuple[int, int | None]]
                if everywhere:
                    ranges = [(0, None)]
                elif name.endswith(("mod.lin", "modulation.lin")):
                    ranges = vec  # its input has one row for each LoRA, not one for each token
                elif name.startswith("single_blocks."):
                    ranges = joint
                else:
                    ranges = stream
                handles.append(flux.get_submodule(name).register_forward_hook(_adder(layer, ranges)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _adder(layer: FusedLowRank, ranges: Sequence[tuple[int, int | None]]):
    def hook(module, args, output):
        for start, end in ranges:
            layer.add(args[0][:, start:end], output[:, start:end])

    return hook
