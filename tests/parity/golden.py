"""The golden data: what the published methods compute on tiny random models."""
import json
import os
from pathlib import Path

from safetensors.torch import load_file

TOLERANCE = 1e-4  # ||out - ref|| / ||ref|| in float32


def golden_root() -> Path:
    """RACKFOCUS_GOLDEN, else tests/data/golden."""
    named = os.environ.get("RACKFOCUS_GOLDEN")
    return Path(named) if named else Path(__file__).resolve().parents[1] / "data" / "golden"


def error(out, ref) -> float:
    return float((out.double() - ref.double()).norm() / ref.double().norm())


class Genfocus:
    """folder; cases {name: settings}; tensors {name: tensor}."""

    def __init__(self, root: Path):
        self.folder = root / "genfocus"
        self.cases = {c["name"]: c for c in json.loads((self.folder / "cases.json").read_text(encoding="utf-8"))}
        self.tensors = load_file(self.folder / "cases.safetensors")

    def grid(self, case: dict, key: str):
        """Tokens `<name>.<key>` [1, h * w, C] as a grid [1, h, w, C]."""
        return self.tensors[f"{case['name']}.{key}"].unflatten(1, (case["tokens_h"], case["tokens_w"]))

    def published(self, name: str):
        """(case, noise grid, condition grids, text, pooled, golden output [1, h * w, C]) of a sampled case."""
        case = self.cases[name]
        grids = [self.grid(case, f"cond{i}") for i in range(case["conditions"])]
        return case, self.grid(case, "latents"), grids, self.tensors["txt"], self.tensors["pooled"], \
            self.tensors[f"{name}.out"]

    def sampled(self) -> list[str]:
        return [name for name in self.cases if name != "velocity"]
