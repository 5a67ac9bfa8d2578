"""DiffCamera's parameters on FLUX.1-dev as a Trainee, the base loaded from diffusers' folder."""

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..pipelines.diffcamera.camera import Aim
from ..pipelines.diffcamera.checkpoint import About
from ..pipelines.diffcamera.geometry import DEFOCUS, defocus_picture, depth_picture
from ..pipelines.diffcamera.trainee import Trainee as Module
from ..pipelines.flux.tokens import TOKEN, pack, unpack
from ..pipelines.image.checks import RefocusError
from .trainee import Asked, check_size

NAME = "flux"
BF16, EIGHT_BIT, FOUR_BIT = "bf16", "8bit", "4bit"
BASES = (BF16, EIGHT_BIT, FOUR_BIT)
PROMPT = "a photo"
TEXT_TOKENS = 512
AT_ONCE = 2  # pictures that the VAE encodes side by side


class Text(NamedTuple):
    """An embedded prompt: [1, t, .] and [1, .]."""

    prompt: Tensor
    pooled: Tensor


class Conditions(NamedTuple):
    """reference, geometry [n, h, w, C]; aim; known bool [n]; size (H, W)."""

    reference: Tensor
    geometry: Tensor
    aim: Aim
    known: Tensor
    size: tuple[int, int]


class Flux:
    """transformer: diffusers' FluxTransformer2DModel of any type; vae: its AutoencoderKL. Both stand still."""

    name, token = NAME, TOKEN

    def __init__(self, transformer, vae, text: Text, about: About, checkpointing: bool = True):
        self.module = Module(transformer, about)
        self.vae = vae.requires_grad_(False).eval()
        self.text, self.about, self.checkpointing = text, about, checkpointing

    def config(self) -> dict[str, Any]:
        c, a = self.module.transformer.config, self.about
        return {
            "base": f"{c.num_layers}+{c.num_single_layers} blocks of {c.num_attention_heads} x {c.attention_head_dim}",
            "rank": a.rank,
            "geometry": a.geometry,
            "camera": a.camera,
            "lora": a.lora,
            "prompt": a.prompt,
        }

    @property
    def dtype(self) -> torch.dtype:
        """That of the base's floating-point layers: latents and tokens have it."""
        return self.module.transformer.proj_out.weight.dtype

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        c, found = self.vae.config, []
        check_size((images.shape[1], images.shape[2]), TOKEN)
        for part in images.split(AT_ONCE):
            x = (2 * part - 1).permute(0, 3, 1, 2).to(self.vae.dtype)
            latents = self.vae.encode(x).latent_dist.mode()
            found.append(pack((latents - c.shift_factor) * c.scaling_factor))
        return torch.cat(found).to(self.dtype)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        c, found = self.vae.config, []
        for part in latents.split(AT_ONCE):
            x = unpack(part).to(self.vae.dtype) / c.scaling_factor + c.shift_factor
            found.append(self.vae.decode(x).sample.float().permute(0, 2, 3, 1) / 2 + 0.5)
        return torch.cat(found).clamp(0, 1)

    @torch.no_grad()
    def conditions(self, given: Asked) -> Conditions:
        h, w = given.disparity.shape[1:]
        if self.about.geometry == DEFOCUS:
            picture = defocus_picture(given.radius, min(h, w))
        else:
            picture = depth_picture(given.disparity)
        return Conditions(
            self.encode(given.source)[given.scene],
            self.encode(picture),
            Aim(given.point, given.blur, given.focus),
            given.known,
            (h, w),
        )

    def velocity(self, noisy: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """Pictures with depth and those without are two passes: where depth is missing its tokens are not there."""
        out, c = torch.empty_like(noisy), conditions
        for known in (True, False):
            rows = (c.known == known).nonzero()[:, 0]
            if not len(rows):
                continue
            aim = c.aim[rows] if known else Aim(c.aim.point[rows], c.aim.blur[rows])
            v = self.module(
                noisy[rows],
                t[rows],
                c.reference[rows],
                c.geometry[rows] if known else None,
                aim,
                c.size,
                *self.text,
                checkpointing=self.checkpointing and torch.is_grad_enabled(),
            )
            out = out.index_copy(0, rows, v.to(out))
        return out


def load_flux(
    folder: Path, text: Text, about: About, *, base: str = BF16, checkpointing: bool = True, device="cpu"
) -> Flux:
    """From diffusers' folder of FLUX.1-dev: its parts transformer and vae. RefocusError if that is not what it is."""
    diffusers = _diffusers()
    for part in ("transformer", "vae"):
        if not (folder / part / "config.json").is_file():
            raise RefocusError(
                f"{folder} has no {part}/config.json, but diffusers' folder of FLUX.1-dev is needed (transformer, vae, "
                "text_encoder, text_encoder_2, tokenizer, tokenizer_2): give that with --flux."
            )
    options: dict[str, Any] = {"torch_dtype": torch.bfloat16}
    if base != BF16:
        options |= {"quantization_config": _quantized(diffusers, base), "device_map": {"": device}}
    transformer = diffusers.FluxTransformer2DModel.from_pretrained(folder / "transformer", **options)
    if transformer.config.in_channels != 64 or not transformer.config.guidance_embeds:
        raise RefocusError(
            f"{folder} holds a FLUX that takes {transformer.config.in_channels} channels"
            f"{'' if transformer.config.guidance_embeds else ' and no guidance'}, but FLUX.1-dev (64, with guidance) "
            "is needed: Fill and schnell are others."
        )
    vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.bfloat16)
    if base == BF16:
        transformer.to(device)
    flux = Flux(transformer, vae.to(device), Text(*(t.to(device) for t in text)), about, checkpointing)
    flux.module.to(device)
    return flux


def _diffusers():
    try:
        import diffusers
    except ImportError as error:
        raise RefocusError(
            "training on FLUX needs diffusers, which is not installed: pip install 'rackfocus[training]'."
        ) from error
    return diffusers


def _quantized(diffusers, base: str):
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise RefocusError(
            f"--base {base} needs bitsandbytes, which is not installed: pip install bitsandbytes, or choose bf16."
        ) from error
    if base == EIGHT_BIT:
        return diffusers.BitsAndBytesConfig(load_in_8bit=True)
    return diffusers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )


def embedded_text(folder: Path, prompt: str, cache: Path, device="cpu") -> Text:
    """The prompt through FLUX's two text encoders, which are loaded once: the result is kept in `cache`."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    if cache.exists():
        with contextlib.suppress(Exception), safe_open(cache, "pt") as kept:
            if (kept.metadata() or {}).get("prompt") == prompt:
                return Text(kept.get_tensor("prompt"), kept.get_tensor("pooled"))
    diffusers = _diffusers()
    try:
        pipe = diffusers.FluxPipeline.from_pretrained(
            folder, transformer=None, vae=None, torch_dtype=torch.bfloat16
        ).to(device)
    except (OSError, ValueError) as error:
        raise RefocusError(
            f"the text encoders of {folder} cannot be loaded: give diffusers' whole folder of FLUX.1-dev with --flux."
        ) from error
    with torch.no_grad():
        words, pooled, _ = pipe.encode_prompt(prompt, None, max_sequence_length=TEXT_TOKENS)
    from .state import whole

    with whole(cache) as temporary:
        save_file({"prompt": words.cpu(), "pooled": pooled.cpu()}, temporary, {"prompt": prompt})
    return Text(words, pooled)
