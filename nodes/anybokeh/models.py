"""What AnyBokeh runs on: FLUX.1-Fill-dev and VAE as the artist loaded them, its two LoRAs, its stored prompts."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import comfy.ldm.flux.model
import comfy.lora
import comfy.sd
from comfy.ldm.models.autoencoder import AutoencodingEngine
from torch import Tensor, nn

from ...pipelines.anybokeh.chain import Panels
from ...pipelines.anybokeh.photo import RESOLUTION
from ...pipelines.anybokeh.prompts import Prompt, read_prompts
from ...pipelines.flux.lora_file import read_any_lora
from ...pipelines.image.checks import RefocusError
from ...weights.manifest import command
from ..abilities import is_flux1
from ..host import check_socket

NAME = "AnyBokeh"  # in sentences
REMEMBERED = 16  # photos whose stage 1 is kept


@dataclass(frozen=True)
class Stage:
    """model: a clone of the artist's MODEL with the stage's LoRA; side: R, of its tiles in pixels."""

    model: Any
    prompt: Prompt
    side: int = RESOLUTION


@dataclass(frozen=True)
class AnyBokehModels:
    """The two stages, the VAE, and what stage 1 painted beside the last photos: {what it depends on: Panels}."""

    first: Stage
    second: Stage
    vae: Any
    remembered: OrderedDict[tuple, Panels] = field(default_factory=OrderedDict)

    def remember(self, key: tuple, panels: Panels):
        self.remembered[key] = panels
        while len(self.remembered) > REMEMBERED:
            self.remembered.popitem(last=False)


def load_models(model, vae, loras: tuple[str, str], prompts: str) -> AnyBokehModels:
    """loras: paths for stage 1 and 2; prompts: path of the stored prompt embeddings. Raises RefocusError."""
    for name, connected in (("MODEL", model), ("VAE", vae)):
        if connected is None:
            raise RefocusError(
                f"no {name} is connected, but {NAME} runs on FLUX.1-Fill-dev: connect the {name} of any loader to "
                "LoadRefocusModel."
            )
        check_socket(name, connected)
    flux = model.get_model_object("diffusion_model")
    check_fill(flux)
    check_vae(vae)
    layers = lora_layers(model)
    widths = {"text": flux.params.context_in_dim, "pooled": flux.params.vec_in_dim}
    stages = read_prompts(prompts, **widths, get=f"{command('fetch', 'anybokeh')} makes it of the published .pt files")
    first, second = (
        Stage(with_lora(model, path, layers), prompt, RESOLUTION) for path, prompt in zip(loras, stages, strict=True)
    )
    return AnyBokehModels(first, second, vae)


def check_fill(module: nn.Module):
    """Whether the live diffusion model is FLUX.1-Fill-dev in ComfyUI's own class; RefocusError says what it is."""
    need = f"but {NAME} paints with FLUX.1-Fill-dev: load flux1-fill-dev.safetensors"
    if not isinstance(module, comfy.ldm.flux.model.Flux):
        raise RefocusError(
            f"the MODEL is a {type(module).__name__}, {need} with Load Diffusion Model, Load Checkpoint or a GGUF "
            "loader."
        )
    p = module.params
    if not is_flux1(p):
        raise RefocusError(f"the MODEL is FLUX.2 or a relative of it, {need}.")
    taken, given = p.in_channels, p.out_channels
    # Noise and masked picture of so many channels each, and the mask's 64.
    if taken != 2 * given + 64:
        kind = "plain FLUX.1-dev" if taken == given else "a Canny or Depth variant"
        raise RefocusError(f"the MODEL takes {taken} latent channels and gives {given} ({kind}), {need}.")
    if not p.guidance_embed:
        raise RefocusError(f"the MODEL has no guidance embedding (FLUX.1-schnell), {need}.")


def check_vae(vae):
    """FLUX.1's VAE gives 16 channels at an eighth of a picture, and a spread for each; RefocusError for any other."""
    net = vae.first_stage_model
    channels = vae.latent_channels
    if channels != 16 or not isinstance(net, AutoencodingEngine):
        kind = f"makes latents of {channels} channels" if channels != 16 else f"is a {type(net).__name__}"
        raise RefocusError(f"the VAE {kind}, but {NAME} needs FLUX.1's: connect that of ae.safetensors.")


def lora_layers(model) -> dict[str, tuple[int, int]]:
    """{layer in diffusers' naming: (in, out)} of all linear layers of a MODEL that the host's LoRA loader knows."""
    layers, modules = {}, dict(model.model.named_modules())
    for name, to in comfy.lora.model_lora_keys_unet(model.model, {}).items():
        key, section = (to, None) if isinstance(to, str) else (to[0], to[1])
        layer = modules.get(key.removesuffix(".weight"))
        if name.startswith("transformer.") and isinstance(layer, nn.Linear):
            size = (layer.in_features, section[2] if section else layer.out_features)
            layers[name.removeprefix("transformer.")] = size
    return layers


def with_lora(model, path: str, layers: dict[str, tuple[int, int]]):
    """A clone of the MODEL with the file's LoRA as an ordinary patch; the MODEL itself is not touched."""
    tensors: dict[str, Tensor] = {}
    for layer, low in read_any_lora(path, layers, choose=f"{NAME}'s pytorch_lora_weights.safetensors").items():
        tensors[f"transformer.{layer}.lora_A.weight"] = low.down
        tensors[f"transformer.{layer}.lora_B.weight"] = low.up
    return comfy.sd.load_lora_for_models(model, None, tensors, 1.0, 0)[0]
