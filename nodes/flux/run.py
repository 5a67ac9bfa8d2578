"""Pictures on a hooked FLUX.1 by the host's own sampler: schedule, noise, steps, decoding, one picture at a time."""

from collections.abc import Callable

import comfy.model_sampling
import comfy.sample
import torch
from torch import Tensor

from ...pipelines.flux.sampling import sigmas, time_shift
from ...pipelines.flux.tokens import TOKEN
from ...pipelines.image.checks import RefocusError
from ..host import heard
from ..sampling import Report, sample

LATENT = 8  # image pixels
# Entries of the table of noise levels. The host's schedulers step through it in whole entries, and this number is a
# multiple of 20, 24, 28, 30, 32 and others, so that their sigmas are exactly the published ones.
LEVELS = 10080


class _Sampling(comfy.model_sampling.ModelSamplingFlux, comfy.model_sampling.CONST):
    pass


def tokens_of(latent: Tensor) -> int:
    """The token count of latents [..., h, w]."""
    h, w = (n * LATENT // TOKEN for n in latent.shape[-2:])
    return h * w


def set_schedule(model, tokens: int):
    """Give a clone of a MODEL the schedule of so many tokens, for the host's own schedulers."""
    sampling = _Sampling(model.model.model_config)
    sampling.set_parameters(shift=time_shift(tokens), timesteps=LEVELS)
    model.add_object_patch("model_sampling", sampling)


def check_channels(latent: Tensor) -> Tensor:
    """Latents [B, 16, h, w], as FLUX.1's VAE makes them; RefocusError for those of another one."""
    if latent.ndim != 4 or latent.shape[1] != 16:
        raise RefocusError(
            f"the VAE makes latents of {latent.shape[1]} channels, but FLUX.1's makes 16: connect "
            "FLUX.1's VAE (ae.safetensors)."
        )
    return latent


def run(
    model, latent: Tensor, positive: Callable[[slice], list], vae, size: tuple[int, int], *, steps: int, seed: int
) -> Tensor:
    """Pictures [B, H, W, 3] of that size (H, W), one by one. Noise as KSampler makes it for the whole batch.

    latent: zeros [B, 16, h, w]; positive(frame): the CONDITIONING of one of its frames, given as a slice.
    """
    latent = comfy.sample.fix_empty_latent_channels(model, latent)
    noise = comfy.sample.prepare_noise(latent, seed)
    levels, report, out = sigmas(steps, tokens_of(latent)), Report(model, len(latent) * steps), []
    for frame in (slice(i, i + 1) for i in range(len(latent))):
        given = positive(frame)
        samples = sample(model, noise[frame], levels, given, given, latent[frame], cfg=1.0, seed=seed, report=report)
        with heard(vae.first_stage_model):
            out.append(vae.decode(samples)[:, : size[0], : size[1], :3])
    return torch.cat(out)
