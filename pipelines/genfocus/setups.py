"""The three published ways to use Genfocus, and one the paper shows: a further condition for the aperture's shape."""

from dataclasses import dataclass, replace

from torch import Tensor

from ..flux import lora_file
from ..flux.architecture import Architecture
from ..flux.blocks import Condition
from ..flux.lora_file import LowRank
from ..image.checks import RefocusError

NAME = "Genfocus"  # in sentences


@dataclass(frozen=True)
class Slot:
    """One condition image. offset: added to its positions, in tokens (y, x); signed: whether its values 0..1 are
    mapped to -1..1 before the VAE, as for photographs."""

    name: str
    offset: tuple[int, int] = (0, 0)
    signed: bool = True


@dataclass(frozen=True)
class Setup:
    """Conditions in their order, and the published prompt, guidance and steps."""

    name: str
    slots: tuple[Slot, ...]
    prompt: str
    guidance: float
    steps: int = 28


DEBLUR = Setup("deblur", (Slot("image"),), "a sharp photo with everything in focus", 3.5)
DEBLUR_PRE = replace(DEBLUR, name="deblur with pre-deblur", slots=(Slot("pre-deblurred image", (0, 32)), Slot("image")))
BOKEH = Setup(
    "bokeh",
    (Slot("all-in-focus image"), Slot("defocus map", signed=False)),
    "an excellent photo with a large aperture",
    1.0,
)
SETUPS = {s.name: s for s in (DEBLUR, DEBLUR_PRE, BOKEH)}


def with_aperture(setup: Setup) -> Setup:
    """The set-up with a third condition, the aperture's shape, which needs a LoRA of its own (none is public)."""
    return replace(setup, name=f"{setup.name} with aperture shape", slots=setup.slots + (Slot("aperture shape"),))


def conditions(setup: Setup, grids: list[Tensor], loras: list[dict[str, LowRank]]) -> list[Condition]:
    """One Condition for each slot: packed latents [B, h, w, C] in the slots' order, one LoRA for all or one each."""
    if len(grids) != len(setup.slots):
        names = ", ".join(s.name for s in setup.slots)
        raise RefocusError(
            f"{len(grids)} condition images were given, but {setup.name} needs {len(setup.slots)} ({names})."
        )
    if len(loras) == 1:
        loras = list(loras) * len(grids)
    if len(loras) != len(grids):
        raise RefocusError(
            f"{len(loras)} LoRAs were given for {len(grids)} condition images: give one for all or one for each."
        )
    return [Condition(g, l, s.offset) for g, l, s in zip(grids, loras, setup.slots, strict=True)]


def read_lora(source, architecture: Architecture) -> dict[str, LowRank]:
    """DeblurNet, BokehNet or an aperture-shape LoRA: see flux.lora_file.read_lora."""
    return lora_file.read_lora(source, architecture, choose="DeblurNet's or BokehNet's file of Genfocus")


FULL_DEFOCUS = 100.0  # pixels of blur radius that the defocus map shows as white


def defocus_image(radius: Tensor) -> Tensor:
    """clip(|radius| / 100, 0, 1): signed blur radius [B, H, W] in pixels -> [B, H, W, 3], three equal channels."""
    return (radius.abs() / FULL_DEFOCUS).clamp(0, 1)[..., None].expand(-1, -1, -1, 3)
