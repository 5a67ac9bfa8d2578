"""What DiffCamera runs on, FLUX.1-dev as the artist loaded it and a checkpoint, and pictures made with it."""

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...pipelines.diffcamera import ALL, GUIDANCE, Checkpoint, Target, read_checkpoint, seen
from ...pipelines.diffcamera.checkpoint import NAME
from ...pipelines.flux.tokens import CONDITIONS, TILE
from ...pipelines.image.checks import RefocusError, match_batch
from ..flux import hook
from ..flux.hook import Given, with_conditions
from ..flux.lora import architecture_of, lora_patcher
from ..flux.memory import Memories
from ..flux.run import encode, run, set_schedule, tokens_of
from ..host import check_socket


@dataclass(frozen=True)
class DiffCameraModels:
    """MODEL and VAE of the artist, untouched; the checkpoint, and its LoRA as a patcher."""

    model: Any
    vae: Any
    checkpoint: Checkpoint
    lora: Any


def load_models(model, vae, path: str) -> DiffCameraModels:
    """Raises RefocusError for a MODEL that is not FLUX.1-dev, and for a file that is no checkpoint for it."""
    for name, connected in (("MODEL", model), ("VAE", vae)):
        if connected is None:
            raise RefocusError(
                f"no {name} is connected, but {NAME} runs on FLUX.1-dev: connect the {name} of any loader to "
                "LoadRefocusModel."
            )
        check_socket(name, connected)
    flux = model.get_model_object("diffusion_model")
    hook.check_flux(flux, NAME)
    sizes, p = architecture_of(flux), flux.params
    checkpoint = read_checkpoint(path, sizes, p.context_in_dim, p.vec_in_dim)
    return DiffCameraModels(model, vae, checkpoint, lora_patcher(checkpoint.lora, sizes))


def given_to(checkpoint: Checkpoint, aim, size: tuple[int, int], memories: Memories | None) -> Given:
    """What the hook needs beside the latents. size: (H, W) of the picture in pixels."""
    tokens, shift = checkpoint.camera(aim, *size)
    return Given(CONDITIONS, (tokens,), shift, checkpoint.about.lora == ALL, memories)


def attach(
    model,
    checkpoint: Checkpoint,
    patcher,
    aim,
    size: tuple[int, int],
    pictures: int,
    *,
    tiling: str = "auto",
    tile: int = TILE,
    memories: Memories | None = None,
):
    """A clone of the MODEL that predicts as DiffCamera. pictures: conditions that are latents, 1 or 2."""
    given = given_to(checkpoint, aim, size, memories)
    offsets = [(0, 0)] * pictures
    return hook.attach(model, offsets, [patcher], tiling, tile, engine=NAME, node="this node", given=given)


def conditioning(checkpoint: Checkpoint) -> list:
    """The CONDITIONING of the stored prompt; no text encoder is needed."""
    return [[checkpoint.text.float(), {"pooled_output": checkpoint.pooled.float(), "guidance": GUIDANCE}]]


def encode_photo(models: DiffCameraModels, image: Tensor) -> Tensor:
    """Latents [B, 16, h, w] of the photo [B, H, W, 3], the condition called reference."""
    return encode(models.vae, image)


def paint(
    models: DiffCameraModels,
    reference: Tensor,
    target: Target,
    size: tuple[int, int],
    *,
    steps: int,
    seed: int,
    tiling: str,
    report=None,
) -> Tensor:
    """Pictures [N, H, W, 3] of the photo as the target has it, N being the larger count of the two.

    reference: from encode_photo; size: (H, W) of the photo. A batch of pictures has one noise.
    """
    height, width = size
    high, wide = seen(height, width, tiling)
    n = max(len(reference), len(target.aim.point))
    pictures = [match_batch(reference, n, "image", "the defocus map")]
    aim = target.enlarged(width / wide).aim
    geometry = target.geometry(models.checkpoint.about.geometry, min(high, wide))
    if geometry is not None:
        pictures.append(match_batch(encode(models.vae, geometry), n, "the defocus map", "the image"))
    base = models.model.clone()
    set_schedule(base, tokens_of(reference))
    text = conditioning(models.checkpoint)

    @contextmanager
    def hooked(frame):
        memories, one = Memories(), aim[frame] if len(aim.point) > 1 else aim
        try:
            yield attach(
                base, models.checkpoint, models.lora, one, size, len(pictures), tiling=tiling, memories=memories
            )
        finally:
            memories.release()

    latent = torch.zeros(n, *reference.shape[1:])
    conditions = lambda frame: with_conditions(text, [p[frame] for p in pictures])  # noqa: E731
    return run(base, latent, conditions, models.vae, size, steps=steps, seed=seed, hooked=hooked, report=report)
