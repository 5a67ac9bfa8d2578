"""What Genfocus runs on, FLUX.1-dev as the artist loaded it and its LoRAs, and a run made ready for any sampler."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...pipelines.flux.tokens import TILE
from ...pipelines.genfocus.setups import BOKEH, DEBLUR, DEBLUR_PRE, NAME, Setup, defocus_image, read_lora, with_aperture
from ...pipelines.image.checks import RefocusError, check_image, check_plane, match_batch, size_of
from ...pipelines.optics import DefocusMap, resize_depth
from ..flux import hook
from ..flux import run as flux_run
from ..flux.hook import with_conditions
from ..flux.lora import architecture_of, lora_patcher
from ..host import check_socket

TEXT_TOKENS = 512  # of T5, as published; ComfyUI's own default is 256


@dataclass(frozen=True)
class GenfocusModels:
    """MODEL, CLIP and VAE of the artist, untouched; the LoRAs as patchers, None where not chosen.

    always_pre: DeblurNet is the one trained with a pre-deblurred image, so a missing one is black.
    """

    model: Any
    clip: Any
    vae: Any
    deblur: Any = None
    bokeh: Any = None
    aperture: Any = None
    always_pre: bool = False

    def deblurring(self, pre: bool) -> tuple[Setup, list]:
        """(set-up, its LoRA)."""
        return (DEBLUR_PRE if pre or self.always_pre else DEBLUR), [_chosen(self.deblur, "deblur_lora", "DeblurNet")]

    def blurring(self, aperture: bool) -> tuple[Setup, list]:
        """(set-up, its LoRA, or one for each condition)."""
        bokeh = _chosen(self.bokeh, "bokeh_lora", "BokehNet")
        if not aperture:
            return BOKEH, [bokeh]
        return with_aperture(BOKEH), [bokeh, bokeh, _chosen(self.aperture, "aperture_lora", "an aperture-shape LoRA")]


def _chosen(patcher, widget: str, name: str):
    if patcher is None:
        raise RefocusError(
            f"this needs {name}, but no file is chosen for it: choose one in LoadRefocusModel's "
            f"{widget}" + (", or disconnect the aperture." if widget == "aperture_lora" else ".")
        )
    return patcher


def load_models(model, clip, vae, files: dict[str, str | None]) -> GenfocusModels:
    """files: paths of the LoRAs {deblur, bokeh, aperture}, None for none. Raises RefocusError."""
    for name, connected in (("MODEL", model), ("CLIP", clip), ("VAE", vae)):
        if connected is None:
            raise RefocusError(
                f"no {name} is connected, but Genfocus runs on FLUX.1-dev: connect the {name} of any "
                "loader to LoadRefocusModel."
            )
        check_socket(name, connected)
    flux = model.get_model_object("diffusion_model")
    hook.check_flux(flux, NAME)
    architecture = architecture_of(flux)
    loras = {
        use: lora_patcher(read_lora(path, architecture), architecture) if path else None for use, path in files.items()
    }
    # The file's own name tells: a folder of that name says nothing about what lies in it.
    always_pre = "pre_deblur" in os.path.basename(files.get("deblur") or "")
    return GenfocusModels(model, clip, vae, **loras, always_pre=always_pre)


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


def prepare_deblur(models: GenfocusModels, image: Tensor, pre: Tensor | None, **settings) -> Prepared:
    """image [B, H, W, 3]: the blurred photo; pre: the same already sharpened by something else, or None."""
    setup, loras = models.deblurring(pre is not None)
    images: list[Tensor | None] = [image]
    if len(setup.slots) == 2:
        images = [None if pre is None else _of_size(check_image(pre, "pre_deblurred"), image, "pre_deblurred"), image]
    return prepare(models, setup, loras, images, image, **settings)


def prepare_bokeh(
    models: GenfocusModels, image: Tensor, defocus: DefocusMap, aperture: Tensor | None, **settings
) -> Prepared:
    """image [B, H, W, 3]: sharp everywhere; defocus: its map; aperture [1, S, S]: the opening's shape, or None."""
    if not isinstance(defocus, DefocusMap):
        raise RefocusError(
            f"defocus is a {type(defocus).__name__}, but a DefocusMap is needed: make one with RefocusLens."
        )
    setup, loras = models.blurring(aperture is not None)
    b, h, w, _ = image.shape
    images: list[Tensor | None] = [
        image,
        match_batch(defocus_image(defocus.scaled_to(h, w).radius), b, "the defocus map"),
    ]
    if aperture is not None:
        shape = resize_depth(check_plane(aperture, "aperture"), h, w)[..., None].expand(-1, -1, -1, 3)
        images.append(match_batch(shape, b, "the aperture"))
    return prepare(models, setup, loras, images, image, **settings)


def prepare(
    models: GenfocusModels,
    setup: Setup,
    patchers: list,
    images: list[Tensor | None],
    picture: Tensor,
    *,
    prompt: str,
    guidance: float,
    tiling: str,
    black: bool = False,
) -> Prepared:
    """images: [B, H, W, 3] in 0..1 in the set-up's order, None for a black one of the picture's size [B, H, W, 3].

    black: whether to encode the black images of image guidance, too.
    """
    conditions = encode_images(models.vae, setup, images, picture)
    model = attach(models.model, setup, patchers, tiling)
    flux_run.set_schedule(model, flux_run.tokens_of(conditions[0]))
    dark = encode_images(models.vae, setup, [None] * len(images), picture[:1]) if black else []
    return Prepared(
        model,
        encode_text(models.clip, prompt, guidance),
        conditions,
        [d.expand(len(picture), -1, -1, -1) for d in dark],
        torch.zeros(len(picture), *conditions[0].shape[1:]),
    )


def attach(model, setup: Setup, patchers: list, tiling: str = "auto", tile: int = TILE):
    """A clone of the MODEL that predicts as Genfocus; see flux.hook.attach."""
    offsets = [slot.offset for slot in setup.slots]
    return hook.attach(model, offsets, patchers, tiling, tile, engine=NAME, node="GenfocusConditioning")


def encode_text(clip, prompt: str, guidance: float):
    """CONDITIONING of the prompt with T5 at 512 tokens."""
    clip = clip.clone()
    clip.set_tokenizer_option("t5xxl_min_length", TEXT_TOKENS)
    conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(prompt))
    if any(options.get("pooled_output") is None for _, options in conditioning):
        raise RefocusError(
            "the CLIP gives no pooled text, but FLUX.1 needs T5 and CLIP-L: load both with DualCLIPLoader, type flux."
        )
    return [[text, {**options, "guidance": guidance}] for text, options in conditioning]


def encode_images(vae, setup: Setup, images: list[Tensor | None], picture: Tensor) -> list[Tensor]:
    """Latents [B, 16, h, w] of images [B, H, W, 3] in the set-up's order; None is a black one of the picture's size."""
    latents = []
    for slot, image in zip(setup.slots, images, strict=True):
        image = torch.zeros_like(picture) if image is None else image
        # The host maps 0..1 to -1..1 itself: what is to reach its VAE unmapped is halved and lifted first.
        pixels = image if slot.signed else (image + 1) / 2
        latents.append(flux_run.encode(vae, pixels))
    return latents


def _of_size(other: Tensor, image: Tensor, name: str) -> Tensor:
    """other, checked to be of the image's size, for its batch."""
    if other.shape[1:3] != image.shape[1:3]:
        raise RefocusError(
            f"{name} is {size_of(other[0, ..., 0])} and the image {size_of(image[0, ..., 0])}, but both "
            "must have one size: scale one to the other."
        )
    return match_batch(other, image.shape[0], name)


def run(prepared: Prepared, vae, size: tuple[int, int], *, steps: int, seed: int) -> Tensor:
    """Pictures [B, H, W, 3] of that size (H, W); see flux.run."""
    return flux_run.run(prepared.model, prepared.latent, prepared.positive, vae, size, steps=steps, seed=seed)
