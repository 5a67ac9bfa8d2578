"""The golden data of learn2refocus: what the published method computes on a tiny random SVD."""

import json
import os
from functools import cached_property
from pathlib import Path

from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from safetensors.torch import load_file

from rackfocus.tests.parity.golden import OWN


class Learn2Refocus:
    """cases {name: settings}; tensors {name: tensor}; the UNet and the VAE as diffusers' classes."""

    def __init__(self, root: Path):
        self.folder = root / "learn2refocus"
        self.cases = {c["name"]: c for c in json.loads((self.folder / "cases.json").read_text(encoding="utf-8"))}
        self.tensors = load_file(self.folder / "cases.safetensors")

    def _load(self, kind, name):
        model = kind(**json.loads((self.folder / f"{name}_config.json").read_text(encoding="utf-8"))).eval()
        model.load_state_dict(load_file(self.folder / f"{name}.safetensors"))
        return model

    @cached_property
    def unet(self):
        return self._load(UNetSpatioTemporalConditionModel, "unet")

    @cached_property
    def vae(self):
        return self._load(AutoencoderKLTemporalDecoder, "vae")

    def image(self, name: str):
        """The case's picture as [1, H, W, 3] in 0..1."""
        return (self.tensors[f"{name}.image"].movedim(1, -1) + 1) / 2

    def latent(self, name: str):
        """The photo's latents [1, 4, h, w], out of the conditioning."""
        return self.tensors[f"{name}.cond"][:, self.cases[name]["position"]]


OURS = Learn2Refocus(OWN)
GIVEN = Learn2Refocus(Path(os.environ["RACKFOCUS_GOLDEN"])) if os.environ.get("RACKFOCUS_GOLDEN") else OURS
