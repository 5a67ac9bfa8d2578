"""A Genfocus run, ready for any sampler of the host: MODEL, positive, negative, LATENT."""
from dataclasses import dataclass
from typing import Any

import comfy.model_sampling
import torch
from torch import Tensor

from ...pipelines.genfocus.pixels import TOKEN
from ...pipelines.genfocus.schedule import time_shift
from ...pipelines.genfocus.setups import Setup
from .encode import encode_images, encode_text
from .hook import attach, with_conditions
from .parts import GenfocusParts

# Entries of the table of noise levels. The host's schedulers step through it in whole entries, and this number is a
# multiple of 20, 24, 28, 30, 32 and others, so that their sigmas are exactly the published ones.
LEVELS = 10080


class _Sampling(comfy.model_sampling.ModelSamplingFlux, comfy.model_sampling.CONST):
    pass


@dataclass(frozen=True)
class Prepared:
    """model: the hooked clone; text: its CONDITIONING; conditions and black: latents of B frames; latent: zeros."""
    model: Any
    text: list
    conditions: list[Tensor]
    black: list[Tensor]
    latent: Tensor

    def positive(self, frame: slice = slice(None)):
        return with_conditions(self.text, [c[frame] for c in self.conditions])

    def negative(self, frame: slice = slice(None)):
        return with_conditions(self.text, [c[frame] for c in self.black], black=True)


def prepare(parts: GenfocusParts, setup: Setup, patchers: list, images: list[Tensor | None], like: Tensor, *,
            prompt: str, guidance: float, tiling: str, black: bool = False) -> Prepared:
    """images: [B, H, W, 3] in 0..1 in the set-up's order, None for a black one; like: the picture [B, H, W, 3].

    black: whether to encode the black images of image guidance, too.
    """
    conditions = encode_images(parts.vae, setup, images, like)
    h, w = conditions[0].shape[-2:]
    model = attach(parts.model, setup, patchers, tiling)
    sampling = _Sampling(model.model.model_config)
    sampling.set_parameters(shift=time_shift((h * 8 // TOKEN) * (w * 8 // TOKEN)), timesteps=LEVELS)
    model.add_object_patch("model_sampling", sampling)
    dark = encode_images(parts.vae, setup, [None] * len(images), like[:1]) if black else []
    dark = [d.expand(len(like), -1, -1, -1) for d in dark]
    return Prepared(model, encode_text(parts.clip, prompt, guidance), conditions, dark,
                    torch.zeros(len(like), *conditions[0].shape[1:]))
