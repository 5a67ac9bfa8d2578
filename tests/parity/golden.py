"""The golden data: what the published methods compute on tiny random models."""

import json
import os
from functools import cached_property
from pathlib import Path

from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file

from rackfocus.pipelines.genfocus import Setup, Slot, architecture_of, read_lora

TOLERANCE = 1e-4  # ||out - ref|| / ||ref|| in float32
OWN = Path(__file__).resolve().parents[1] / "data" / "golden"


def error(out, ref) -> float:
    return float((out.double() - ref.double()).norm() / ref.double().norm())


class Genfocus:
    """cases {name: settings}; tensors {name: tensor}; the transformer; its lora."""

    def __init__(self, root: Path):
        self.folder = root / "genfocus"
        self.cases = {c["name"]: c for c in json.loads((self.folder / "cases.json").read_text(encoding="utf-8"))}

    @cached_property
    def tensors(self):
        return load_file(self.folder / "cases.safetensors")

    @cached_property
    def transformer(self):
        config = json.loads((self.folder / "transformer_config.json").read_text(encoding="utf-8"))
        model = FluxTransformer2DModel(**config).eval()
        model.load_state_dict(load_file(self.folder / "transformer.safetensors"))
        return model

    @cached_property
    def lora(self):
        return read_lora(self.folder / "lora.safetensors", architecture_of(self.transformer))

    def grid(self, case: dict, key: str):
        """Tokens `<name>.<key>` [1, h * w, C] as a grid [1, h, w, C]."""
        return self.tensors[f"{case['name']}.{key}"].unflatten(1, (case["tokens_h"], case["tokens_w"]))

    def inputs(self, name: str):
        """(noise, condition grids, text, pooled) of a sampled case."""
        case = self.cases[name]
        grids = [self.grid(case, f"cond{i}") for i in range(case["conditions"])]
        return self.grid(case, "latents"), grids, self.tensors["txt"], self.tensors["pooled"]

    def settings(self, name: str) -> dict:
        """What generate takes beside them."""
        case = self.cases[name]
        return {
            "steps": case["steps"],
            "guidance": case["guidance_scale"],
            "image_guidance": case["image_guidance_scale"],
            "black": [g * 0 for g in self.inputs(name)[1]],
            "tiling": "on" if case["tiled"] else "off",
            "tile": case["tile_tokens"],
        }

    def setup(self, name: str) -> Setup:
        case = self.cases[name]
        offsets = [tuple(case["position_delta_first"])] + [(0, 0)] * (case["conditions"] - 1)
        return Setup(name, tuple(Slot(f"condition {i}", offset) for i, offset in enumerate(offsets)), "", 3.5)

    @property
    def sampled(self) -> list[str]:
        return [name for name, case in self.cases.items() if "steps" in case]

    @property
    def single(self) -> list[str]:
        return [name for name, case in self.cases.items() if "timestep" in case]


OURS = Genfocus(OWN)
GIVEN = Genfocus(Path(os.environ["RACKFOCUS_GOLDEN"])) if os.environ.get("RACKFOCUS_GOLDEN") else OURS
