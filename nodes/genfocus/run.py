"""Genfocus from pictures to pictures, frame by frame, with the host's sampler, previews and progress."""

import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from torch import Tensor

from ...pipelines.flux.sampling import sigmas
from ...pipelines.flux.tokens import TOKEN
from .prepare import Prepared


def run(prepared: Prepared, vae, size: tuple[int, int], *, steps: int, seed: int) -> Tensor:
    """Pictures [B, H, W, 3] of that size (H, W). Noise as KSampler makes it from the seed for the whole batch."""
    latent = comfy.sample.fix_empty_latent_channels(prepared.model, prepared.latent)
    noise = comfy.sample.prepare_noise(latent, seed)
    frames, (h, w) = len(latent), (n * 8 // TOKEN for n in latent.shape[-2:])
    report, out = _reporter(prepared.model, frames * steps), []
    for i in range(frames):
        one = slice(i, i + 1)
        positive = prepared.positive(one)
        samples = comfy.sample.sample_custom(
            prepared.model,
            noise[one],
            1.0,
            comfy.samplers.sampler_object("euler"),
            sigmas(steps, h * w),
            positive,
            positive,
            latent[one],
            callback=report(i * steps),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=seed,
        )
        out.append(vae.decode(samples)[:, : size[0], : size[1], :3])
    return torch.cat(out)


def _reporter(model, total: int):
    """before -> a sampler's callback: the bar counts the steps of all frames and shows the frame in the making."""
    previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
    bar = comfy.utils.ProgressBar(total)

    def from_(before: int):
        def callback(step, x0, x, steps):
            image = previewer.decode_latent_to_preview_image("JPEG", x0) if previewer else None
            bar.update_absolute(before + step + 1, total, image)

        return callback

    return from_
