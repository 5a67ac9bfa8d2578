"""The explicit reference: DiffCamera's conditions, and a whole run over diffusers' FluxTransformer2DModel.

    text | noise | reference | geometry (left out where there is no depth) | camera

Conditions see one another, and neither noise nor text: they stand still while the noise becomes a picture.
"""

from dataclasses import replace

from torch import Tensor

from ..flux.blocks import Condition, Embedded
from ..flux.lora_file import LowRank
from ..flux.memory import Memory
from ..flux.reference import velocity
from ..flux.sampling import sample, sigmas
from ..flux.tokens import CONDITIONS, TILE, TOKEN, by_tiles, use_tiles
from .camera import Aim
from .checkpoint import ALL, Checkpoint

STEPS, GUIDANCE = 28, 1.0


def conditions(
    reference: Tensor, geometry: Tensor | None, camera: Embedded, lora: dict[str, LowRank]
) -> list[Condition | Embedded]:
    """reference, geometry: packed latents [B, h, w, C] at the noise's own positions; camera: its tokens."""
    grids = [g for g in (reference, geometry) if g is not None]
    return [*(Condition(g, lora) for g in grids), replace(camera, lora=lora)]


def side_of_tiles(h: int, w: int, tiling: str = "auto", tile: int = TILE) -> int | None:
    """Tokens along a tile's side where a grid is cut into tiles, else None."""
    return tile if use_tiles(h, w, tiling, tile) else None


def seen(height: int, width: int, tiling: str = "auto", tile: int = TILE) -> tuple[int, int]:
    """(height, width) in pixels of what the transformer sees at once: the picture, or a tile of it.

    Blur and geometry are told in parts of this, as in training: a tile is a picture of its own.
    """
    h, w = (-(-n // TOKEN) for n in (height, width))
    side = side_of_tiles(h, w, tiling, tile)
    return (height, width) if side is None else (min(height, side * TOKEN), min(width, side * TOKEN))


def generate(
    transformer,
    checkpoint: Checkpoint,
    noise: Tensor,
    reference: Tensor,
    geometry: Tensor | None,
    aim: Aim,
    size: tuple[int, int],
    *,
    steps: int = STEPS,
    tiling: str = "auto",
    tile: int = TILE,
    keep: bool = True,
    progress=None,
) -> Tensor:
    """Packed latents [B, h, w, C] of the result.

    noise: packed, standard normal; reference, geometry: packed latents of the photo and of the geometry picture, or
    None; aim: as Camera takes it, its blur in parts of what is `seen`; size: (H, W) of the picture in pixels; keep:
    whether keys and values of the conditions are computed once, or at every step. progress(done, total) after every
    step may raise to stop.
    """
    b, h, w, _ = noise.shape
    tokens, shift = checkpoint.camera(aim, *size)
    given = conditions(reference, geometry, tokens, checkpoint.lora)
    text, pooled = (t.to(noise).expand(b, *t.shape[1:]) for t in (checkpoint.text, checkpoint.pooled))
    everywhere = checkpoint.lora if checkpoint.about.lora == ALL else None
    memories: dict[tuple[int, int], Memory] = {}

    def one(x, given, sigma, at):
        memory = memories.setdefault(at, Memory()) if keep else None
        settings = {"rule": CONDITIONS, "shift": shift, "lora": everywhere, "memory": memory}
        return velocity(transformer, x, given, text, pooled, sigma, GUIDANCE, **settings)

    def predict(x, _, sigma):
        if side_of_tiles(h, w, tiling, tile) is None:
            return one(x, given, sigma, (0, 0))

        def part(rows, columns):
            cut = [c.cut(rows, columns) for c in given]
            return one(x[:, rows, columns], cut, sigma, (rows.start, columns.start))

        return by_tiles(part, x, tile)

    return sample(predict, noise, [], sigmas(steps, h * w), progress)
