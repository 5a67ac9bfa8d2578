"""The whole reference: a set-up's condition images and noise in, the picture's latents out."""

from torch import Tensor

from ..flux.lora_file import LowRank
from ..flux.reference import velocity
from ..flux.sampling import image_guided, sample, sigmas, tiled
from ..flux.tokens import TILE, use_tiles
from .setups import Setup, conditions


def generate(
    transformer,
    setup: Setup,
    noise: Tensor,
    grids: list[Tensor],
    loras: list[dict[str, LowRank]],
    text: Tensor,
    pooled: Tensor,
    *,
    steps: int | None = None,
    guidance: float | None = None,
    image_guidance: float = 1.0,
    black: list[Tensor] | None = None,
    tiling: str = "auto",
    tile: int = TILE,
    progress=None,
) -> Tensor:
    """Packed latents [B, h, w, C] of the result.

    noise: packed, standard normal; grids: packed latents of the condition images, in the set-up's order; loras: one
    for all or one each; text [B, t, .] (T5, 512 tokens as published) and pooled [B, .] (CLIP); steps and guidance:
    None for the set-up's; black: packed latents of black condition images, for image_guidance other than 1; tiling:
    auto, on or off. progress(done, total) after every step may raise to stop. Raises RefocusError for a wrong number
    of images or LoRAs, and for image guidance without black images.

    As published, the schedule's shift is that of the whole picture's tokens, in tiles too, and the black prediction
    is never tiled.
    """
    guidance = setup.guidance if guidance is None else guidance
    steps = setup.steps if steps is None else steps
    h, w = noise.shape[1:3]

    def whole(x, conditions, sigma):
        return velocity(transformer, x, conditions, text, pooled, sigma, guidance)

    predict = tiled(whole, tile) if use_tiles(h, w, tiling, tile) else whole
    predict = image_guided(predict, whole, black, image_guidance)
    return sample(predict, noise, conditions(setup, grids, loras), sigmas(steps, h * w), progress)
