"""learn2refocus from photos to stacks, photo by photo, with the host's sampler, previews and progress."""

from collections.abc import Iterator

import comfy.model_management as mm
import comfy.sample
import torch
from torch import Tensor

from ...pipelines.image.checks import RefocusError, match_batch
from ...pipelines.learn2refocus import check_position, dioptres_at, model_size, resize
from ...pipelines.learn2refocus.automatic import automatic_position
from ...pipelines.learn2refocus.finish import finish
from ...pipelines.learn2refocus.inputs import (
    CLIP_SIDE,
    FPS_ID,
    MOTION_BUCKET,
    NOISE_AUGMENTATION,
    POSITIONS,
    clip_pixels,
    place,
)
from ...pipelines.learn2refocus.sampling import sigmas
from ...pipelines.optics import METRIC_KINDS, resolve_kind, to_disparity
from ..host import from_device, heard
from ..sampling import Report, sample
from .models import LOADER, SvdModels
from .widgets import AUTOMATIC, TRAINED


def generate_stacks(
    models: SvdModels,
    image: Tensor,
    depth,
    depth_kind: str,
    *,
    input_position: str,
    steps: int,
    guidance: float,
    seed: int,
    max_megapixels: float,
    frame_size: str,
    decode_chunk: int,
    keep_input: bool,
    detail: float,
    clip_range: str,
) -> tuple[list[Tensor], str]:
    """image [B, H, W, 3] -> (B stacks of nine frames, a line for each photo that tells its position)."""
    positions = positions_of(image, depth, depth_kind, input_position)
    image = from_device(image)
    height, width = image.shape[1:3]
    small = resize(image, *model_size(height, width, max_megapixels))
    made = run(
        models,
        small,
        positions,
        steps=steps,
        guidance=guidance,
        seed=seed,
        chunk=decode_chunk,
        corrected_clip=clip_range == TRAINED,
    )
    stacks = [
        finish(
            from_device(frames), image[i : i + 1], positions[i], size=frame_size, keep_input=keep_input, detail=detail
        )
        for i, frames in enumerate(made)
    ]
    return stacks, "\n".join(f"input position {p} ({_distance(p)})" for p in positions)


def positions_of(image: Tensor, depth, depth_kind: str, chosen: str) -> list[int]:
    """The input position of each image, chosen for all or found from depth."""
    if chosen != AUTOMATIC:
        return [check_position(int(chosen))] * len(image)
    if depth is None:
        raise RefocusError(
            "input_position is automatic, but no depth map is connected: connect one in metres or "
            "1/metres, or choose 0 (about 5 cm) to 8 (infinity)."
        )
    kind = resolve_kind(depth, depth_kind)
    if kind not in METRIC_KINDS:
        raise RefocusError(
            f"input_position is automatic, but the depth map is {kind} without a scale: give one in "
            "metres or 1/metres (RefocusDepth with a metric model or nearest_m, and depth_kind), or "
            "choose 0 (about 5 cm) to 8 (infinity)."
        )
    disparity = match_batch(to_disparity(depth, kind), len(image), "depth")
    return [automatic_position(image[i : i + 1], disparity[i : i + 1]) for i in range(len(image))]


def _distance(position: int) -> str:
    d = dioptres_at(position)
    return f"focused at about {100 / d:.0f} cm" if d else "focused at infinity"


def run(
    models: SvdModels,
    image: Tensor,
    positions: list[int],
    *,
    steps: int,
    guidance: float,
    seed: int,
    chunk: int,
    corrected_clip: bool = False,
) -> Iterator[Tensor]:
    """image [B, H, W, 3] at the model's size, a position for each -> yields B stacks [9, H, W, 3].

    One image may have several positions, and each gives a stack. Noise as KSampler makes it from the seed for the whole
    batch of images. chunk: frames decoded at a time.
    """
    context = models.model.model.model_config.unet_config["context_dim"]
    embeds = torch.cat([embed(models.clip_vision, one[None], context, corrected=corrected_clip) for one in image])
    latents = torch.cat([encode(models.vae, one[None]) for one in image])
    noise = comfy.sample.prepare_noise(latents.repeat_interleave(POSITIONS, 0), seed).split(POSITIONS)
    report = Report(models.model, len(positions) * (steps + POSITIONS))
    for n, position in enumerate(positions):
        i = n if len(image) > 1 else 0
        samples = sample_stack(
            models.model,
            noise[i],
            latents[i : i + 1],
            embeds[i : i + 1],
            position,
            steps=steps,
            guidance=guidance,
            seed=seed,
            report=report,
        )
        yield decode(models.vae, samples, chunk, report.advance)


def embed(clip_vision, image: Tensor, context: int, *, corrected: bool = False) -> Tensor:
    """image [B, H, W, 3] -> CLIP embeddings [B, 1, C], C being the UNet's `context`.

    The vision model itself is called: the host's encode_image crops, and clips the values that the released inference
    feeds.
    """
    if clip_vision.image_size != CLIP_SIDE:
        raise RefocusError(
            f"the CLIP_VISION takes pictures of {clip_vision.image_size} pixels a side, but SVD's takes {CLIP_SIDE}: "
            f"connect the CLIP_VISION {LOADER}."
        )
    mm.load_model_gpu(clip_vision.patcher)
    pixels = clip_pixels(image.to(clip_vision.load_device), corrected=corrected)
    with heard(clip_vision.model):
        found = clip_vision.model(pixel_values=pixels)[2]  # (last hidden state, intermediate, embedding, ...)
    if found is None or found.shape[-1] != context:
        size = "no embedding" if found is None else f"embeddings of {found.shape[-1]} values"
        raise RefocusError(
            f"the CLIP_VISION gives {size}, but SVD's gives {context}: connect the CLIP_VISION {LOADER}."
        )
    return found[:, None].float().to(mm.intermediate_device())


def encode(vae, image: Tensor) -> Tensor:
    """image [1, H, W, 3] -> latents [1, 4, h, w], the mode, not scaled."""
    with heard(vae.first_stage_model):
        latent = vae.encode(image)
    if latent.ndim != 4 or latent.shape[1] != 4:
        raise RefocusError(
            f"the VAE makes latents of {latent.shape[1]} channels, but SVD's makes 4: connect the VAE {LOADER}."
        )
    return latent


def decode(vae, samples: Tensor, chunk: int, advance=None) -> Tensor:
    """Latents [N, 4, h, w], not scaled -> [N, H, W, 3], `chunk` frames at a time; advance(frames) after each chunk."""
    frames = []
    for some in samples.split(chunk):
        mm.throw_exception_if_processing_interrupted()
        with heard(vae.first_stage_model):
            frames.append(vae.decode(some)[..., :3])
        if advance is not None:
            advance(len(some))
    return torch.cat(frames)


def sample_stack(
    model,
    noise: Tensor,
    latent: Tensor,
    embed: Tensor,
    position: int,
    *,
    steps: int,
    guidance: float,
    seed: int,
    report,
) -> Tensor:
    """One photo by the host's sampler: noise [9, 4, h, w], latent [1, 4, h, w], embed [1, 1, C] -> [9, 4, h, w].

    Neither the photo's latents nor those of the stack are scaled. report.step is the sampler's callback.
    """
    frames = place(latent, position)[0]  # [9, 4, h, w]
    return sample(
        interruptible(model),
        noise,
        sigmas(steps),
        conditioning(embed, frames),
        conditioning(torch.zeros_like(embed), torch.zeros_like(frames)),
        torch.zeros_like(noise),
        cfg=guidance,
        seed=seed,
        report=report,
    )


def conditioning(embed: Tensor, frames: Tensor) -> list:
    """CONDITIONING of embed [1, 1, C] and the frames' conditioning latents [9, 4, h, w], as SVD's own node names it."""
    options = {
        "concat_latent_image": frames,
        "fps": FPS_ID + 1,
        "motion_bucket_id": MOTION_BUCKET,
        "augmentation_level": NOISE_AUGMENTATION,
    }
    return [[embed, options]]


def interruptible(model):
    """A clone that hears Cancel between the blocks of a step, too."""

    def listen(h, *more):
        mm.throw_exception_if_processing_interrupted()
        return (h, more[0]) if len(more) == 2 else h

    clone = model.clone()
    clone.set_model_input_block_patch(listen)
    clone.set_model_output_block_patch(listen)
    return clone
