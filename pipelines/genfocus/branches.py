"""A token branch: a row of tokens with its own modulation, positions and, for a condition, its own LoRA."""
from dataclasses import dataclass, field

from torch import Tensor, nn

from .lora_file import LowRank


@dataclass
class Branch:
    """x [B, n, hidden]: the tokens; temb [B, hidden]: what modulates them; rope: (cos, sin), each [n, head];
    lora: {module: LowRank} of a condition, empty for text and noise."""
    x: Tensor
    temb: Tensor
    rope: tuple[Tensor, Tensor]
    lora: dict[str, LowRank] = field(default_factory=dict)

    def linear(self, name: str, module: nn.Module, x: Tensor) -> Tensor:
        """The base layer, plus this branch's LoRA for it. name: the layer in diffusers' naming."""
        y = module(x)
        return y + self.lora[name](x) if name in self.lora else y

    def modulation(self, name: str, norm: nn.Module, n: int) -> tuple[Tensor, ...]:
        """n tensors [B, 1, hidden] (shift, scale, gate, ...) computed from the branch's own timestep embedding."""
        return self.linear(f"{name}.linear", norm.linear, norm.silu(self.temb))[:, None].chunk(n, dim=-1)


@dataclass(frozen=True)
class Condition:
    """grid [B, h, w, C]: packed latents of a condition image; offset: added to its positions, in tokens (y, x);
    lora: {module: LowRank} that its tokens run through; mutual: whether it attends to the other conditions too."""
    grid: Tensor
    lora: dict[str, LowRank]
    offset: tuple[int, int] = (0, 0)
    mutual: bool = False
