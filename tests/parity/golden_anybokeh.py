"""The golden data of AnyBokeh: what the published method computes on a tiny random FLUX.1-Fill."""

import json
import os
from functools import cached_property
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from safetensors.torch import load_file

from rackfocus.pipelines.anybokeh.reference import Painter, linear_layers
from rackfocus.pipelines.flux.lora_file import read_any_lora
from rackfocus.tests.parity.golden import OWN

# Maps, and pictures in bytes: the largest difference, and the share of values that differ.
MAPS, BYTE, SHARE = 1e-5, 1, 1e-3


class AnyBokeh:
    """cases {name: settings}; tensors {name: tensor}; transformer and VAE as diffusers' classes; LoRAs."""

    def __init__(self, root: Path):
        self.folder = root / "anybokeh"
        self.cases = {
            c["name"]: c for c in json.loads((self.folder / "cases.json").read_text(encoding="utf-8"))["cases"]
        }
        self.tensors = load_file(self.folder / "cases.safetensors")

    def _load(self, kind, name):
        config = json.loads((self.folder / f"{name}_config.json").read_text(encoding="utf-8"))
        model = kind(**config).eval()
        model.load_state_dict(load_file(self.folder / f"{name}.safetensors"))
        return model.float()

    @cached_property
    def transformer(self):
        return self._load(FluxTransformer2DModel, "transformer")

    @cached_property
    def vae(self):
        return self._load(AutoencoderKL, "vae")

    def lora_file(self, stage: str) -> Path:
        return self.folder / stage / "pytorch_lora_weights.safetensors"

    def lora(self, stage: str):
        return read_any_lora(self.lora_file(stage), linear_layers(self.transformer))

    def prompts(self, stage: str):
        """(text [1, n, .], pooled [1, .])."""
        return self.tensors[f"{stage}.prompt_embeds"], self.tensors[f"{stage}.pooled_prompt_embeds"]

    def painter(self, stage: str, **settings) -> Painter:
        """stage: stage1 or stage2."""
        return Painter(
            self.transformer, self.vae, self.lora(stage), *self.prompts(stage), as_published=True, **settings
        )

    def picture(self, name: str):
        """uint8 [H, W, 3] -> 0..1."""
        return self.tensors[name].float() / 255

    def tile(self, name: str, i: int):
        """uint8 [R, R, 3]: what stage 2 painted, which is stored alone, or in its collage."""
        alone, side = self.tensors.get(f"{name}.tile{i}.tile"), self.cases[name].get("resolution", 0)
        return self.tensors[f"{name}.tile{i}.picture"][side:, side:] if alone is None else alone

    def of(self, kind: str) -> list[str]:
        """Names of the cases of a kind."""
        return [name for name, case in self.cases.items() if case["kind"] == kind]


def bytes_apart(out, ref) -> tuple[int, float]:
    """(largest difference of two pictures in bytes, share of values that differ); out in 0..1, ref uint8."""
    difference = ((out * 255).round() - ref).abs()
    return int(difference.max()), float((difference > 0).float().mean())


def same_bytes(out, ref) -> bool:
    largest, share = bytes_apart(out, ref)
    return largest <= BYTE and share <= SHARE


def maps_apart(out, ref) -> float:
    return float((out - ref).abs().max() / ref.abs().max().clamp(min=torch.finfo(torch.float32).tiny))


OURS = AnyBokeh(OWN) if (OWN / "anybokeh").exists() else None
GIVEN = AnyBokeh(Path(os.environ["RACKFOCUS_GOLDEN"])) if os.environ.get("RACKFOCUS_GOLDEN") else OURS
