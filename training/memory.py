"""What a run on FLUX.1-dev will need, before anything is loaded, and what to do where it is too much."""

from dataclasses import dataclass

from ..pipelines.diffcamera.checkpoint import About
from ..pipelines.diffcamera.trainee import parameters_of
from ..pipelines.flux.architecture import FLUX_1, Architecture
from ..pipelines.flux.tokens import TOKEN
from .flux import BF16, EIGHT_BIT, FOUR_BIT, TEXT_TOKENS
from .optimizers import ADAMW_8BIT

GIB = 2**30
FLUX_PARAMETERS = 23_802_932_552 // 2  # the bytes of flux1-dev.safetensors, which is bf16
VAE = 0.5  # GiB, with what it works in
BYTES = {BF16: 2.0, EIGHT_BIT: 1.05, FOUR_BIT: 0.58}  # of a base parameter, its scales included
HALF = 2  # bytes of an activation
# Numbers a token's pass through a block keeps for its gradients: so many hidden widths and so many of the MLP.
KEPT = 14, 3
TRANSIENT = 1.5  # GiB of the allocator and of kernels, a guess that runs on a GPU may mend


@dataclass(frozen=True)
class Estimate:
    """GiB of each kind; made by arithmetic, not measured."""

    base: float
    trained: float
    activations: float
    other: float = VAE + TRANSIENT

    @property
    def total(self) -> float:
        return self.base + self.trained + self.activations + self.other

    def describe(self) -> str:
        return (
            f"memory, estimated: {self.total:.1f} GiB a GPU ({self.base:.1f} base, {self.trained:.1f} LoRA, camera, "
            f"gradients, optimizer and average, {self.activations:.1f} activations, {self.other:.1f} other)"
        )


def estimate(
    size: tuple[int, int],
    pictures: int,
    about: About,
    *,
    base: str = BF16,
    optimizer: str = "adamw",
    checkpointing: bool = True,
    architecture: Architecture = FLUX_1,
) -> Estimate:
    """size: (H, W) in pixels; pictures: of one part of a step, scenes times planes."""
    grid = size[0] // TOKEN * (size[1] // TOKEN)
    tokens = pictures * (TEXT_TOKENS + 3 * grid + 1)
    blocks = architecture.double + architecture.single
    inside = HALF * tokens * (KEPT[0] * architecture.hidden + KEPT[1] * architecture.mlp)  # of one block
    border = HALF * tokens * architecture.hidden
    activations = blocks * border + inside if checkpointing else blocks * inside
    numbers = parameters_of(architecture, about)
    # Weights, gradients and average in 4 bytes; AdamW's two moments in 4 or 1 each.
    trained = numbers * (12 + (2 if optimizer == ADAMW_8BIT else 8))
    return Estimate(FLUX_PARAMETERS * BYTES[base] / GIB, trained / GIB, activations / GIB)


def advice(options, size: tuple[int, int]) -> str:
    """One sentence for a run that was out of memory: the switches that it has not used yet, the largest first.

    options: base, checkpointing, scenes, planes, optimizer and rank as on the command line; size: (H, W) in pixels.
    """
    left = []
    if not options.checkpointing:
        left.append("--checkpointing on")
    if options.base != FOUR_BIT:
        left.append("--base 4bit" if options.base == EIGHT_BIT else "--base 8bit or 4bit")
    if options.scenes > 1:
        left.append("--scenes 1 with --accumulate")
    if options.planes > 2:
        left.append("--planes 2")
    if min(size) > 512:
        left.append("shards of 512 px (simulate --size 512)")
    if options.optimizer != ADAMW_8BIT:
        left.append("--optimizer adamw8bit")
    if options.rank > 16:
        left.append("--rank 16")
    if not left:
        return "the GPU's memory is not enough, and every switch that lowers it is set: use a larger GPU."
    return f"the GPU's memory is not enough: lower it by {', '.join(left)}; the run goes on from its last state."
