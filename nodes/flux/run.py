"""Pictures on a hooked FLUX.1 by the host's own sampler: schedule, noise, steps, decoding, one picture at a time."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import comfy.model_sampling
import comfy.sample
import torch
from torch import Tensor

from ...pipelines.flux.sampling import sigmas, time_shift
from ...pipelines.flux.tokens import TOKEN, pad_to_tokens
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


def encode(vae, pixels: Tensor) -> Tensor:
    """Latents [B, 16, h, w] of pictures [B, H, W, 3] in 0..1, their sides grown to multiples of 16."""
    with heard(vae.first_stage_model):
        return check_channels(vae.encode(pad_to_tokens(pixels)[..., :3]))


def run(
    model,
    latent: Tensor,
    positive: Callable[[slice], list],
    vae,
    size: tuple[int, int],
    *,
    steps: int,
    seed: int,
    hooked: Callable[[slice], AbstractContextManager] | None = None,
    report: Report | None = None,
) -> Tensor:
    """Pictures [B, H, W, 3] of that size (H, W), one by one.

    latent: zeros [B, 16, h, w]; positive(frame): the CONDITIONING of one of its frames, given as a slice;
    hooked(frame): the clone of the model that samples it, while it does; report: of all pictures of a job. Noise as
    KSampler makes it for the whole batch; with `hooked` as for one picture, the same for all, so that a film keeps its
    textures.
    """
    latent = comfy.sample.fix_empty_latent_channels(model, latent)
    noise = comfy.sample.prepare_noise(latent if hooked is None else latent[:1], seed).expand(len(latent), -1, -1, -1)
    levels, report, out = sigmas(steps, tokens_of(latent)), report or Report(model, len(latent) * steps), []
    for frame in (slice(i, i + 1) for i in range(len(latent))):
        given = positive(frame)
        with nullcontext(model) if hooked is None else hooked(frame) as own:
            samples = sample(own, noise[frame], levels, given, given, latent[frame], cfg=1.0, seed=seed, report=report)
        with heard(vae.first_stage_model):
            out.append(vae.decode(samples)[:, : size[0], : size[1], :3])
    return torch.cat(out)
