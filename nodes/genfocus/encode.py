"""Text and pictures as FLUX takes them, by the artist's CLIP and VAE."""
import torch
from torch import Tensor

from ...pipelines.genfocus.pixels import pad_to_tokens
from ...pipelines.genfocus.setups import Setup
from ...pipelines.optics import RefocusError

TEXT_TOKENS = 512


def encode_text(clip, prompt: str, guidance: float):
    """CONDITIONING of the prompt with T5 at 512 tokens, as published (ComfyUI's own default is 256)."""
    clip = clip.clone()
    clip.set_tokenizer_option("t5xxl_min_length", TEXT_TOKENS)
    conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(prompt))
    if any(options.get("pooled_output") is None for _, options in conditioning):
        raise RefocusError("the CLIP gives no pooled text, but FLUX.1 needs T5 and CLIP-L: load both with "
                           "DualCLIPLoader, type flux.")
    return [[text, {**options, "guidance": guidance}] for text, options in conditioning]


def encode_images(vae, setup: Setup, images: list[Tensor | None], like: Tensor) -> list[Tensor]:
    """Condition latents [B, 16, h, w] of images [B, H, W, 3] in the set-up's order; None is a black one like `like`."""
    found = []
    for slot, image in zip(setup.slots, images, strict=True):
        image = torch.zeros_like(like) if image is None else image
        # The host maps 0..1 to -1..1 itself: what is to reach its VAE unmapped is halved and lifted first.
        pixels = image if slot.signed else (image + 1) / 2
        found.append(vae.encode(pad_to_tokens(pixels)[..., :3]))
    if found[0].ndim != 4 or found[0].shape[1] != 16:
        raise RefocusError(f"the VAE makes latents of {found[0].shape[1]} channels, but FLUX.1's makes 16: connect "
                           "FLUX.1's VAE (ae.safetensors).")
    return found
