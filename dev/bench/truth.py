"""Path-traced scenes to measure against: RACKFOCUS_TRUTH, else tests/data/truth. Their README tells the form."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from rackfocus.pipelines.image.light import encode_srgb
from rackfocus.pipelines.optics import aperture_mask

from ..host.paths import ROOT


def truth_root() -> Path:
    return Path(os.environ.get("RACKFOCUS_TRUTH") or Path(ROOT) / "tests" / "data" / "truth")


@dataclass
class Shot:
    """One photograph: kind "stack" or "lens", radius [1, H, W] px, aperture or None, truth [1, H, W, 3] sRGB."""

    kind: str
    radius: torch.Tensor
    aperture: torch.Tensor | None
    truth: torch.Tensor
    edges: torch.Tensor


class Scene:
    """linear [1, H, W, 3] light, png the same as 8-bit sRGB in 0..1, depth [1, H, W] metres."""

    def __init__(self, folder: Path):
        self.folder, self.meta = folder, json.loads((folder / "meta.json").read_text())
        aif = np.load(folder / "aif.npz")
        self.linear = torch.from_numpy(aif["linear"].astype(np.float32))[None]
        self.depth = torch.from_numpy(aif["depth"])[None]
        png = np.array(Image.open(folder / "aif.png").convert("RGB"))
        self.png = torch.from_numpy(png.astype(np.float32) / 255)[None]

    def frame(self, name: str) -> torch.Tensor:
        return encode_srgb(torch.from_numpy(np.load(self.folder / f"{name}.npz")["linear"].astype(np.float32))[None])

    def stack(self) -> torch.Tensor:
        return torch.cat([self.frame(f"stack_{i}") for i in range(len(self.meta["stack_focus_m"]))])

    def stack_pictures(self) -> list:
        """The stack as 8-bit pictures, near to far."""
        return [Image.fromarray((f * 255).round().byte().numpy()) for f in self.stack()]

    def shots(self):
        for i, focus in enumerate(self.meta["stack_focus_m"]):
            yield self._shot(f"stack_{i}", focus, self.meta["K_px_m"], None)
        for i, lens in enumerate(self.meta["lens"]):
            round_ = not lens["blades"] and lens["ratio"] == 1
            mask = (
                None
                if round_
                else aperture_mask(
                    blades=lens["blades"], rotation=math.degrees(lens["rotation_rad"]), squeeze=lens["ratio"]
                )
            )
            yield self._shot(f"lens_{i}", lens["focus_m"], lens["K_px_m"], mask)

    def _shot(self, name, focus_m, diameter_constant, aperture):
        radius = diameter_constant / 2 * (1 / focus_m - 1 / self.depth)
        return Shot(name.split("_")[0], radius, aperture, self.frame(name), self.edge_band(float(radius.abs().max())))

    def edge_band(self, reach: float) -> torch.Tensor:
        """[H, W]: within reach (2 to 24 px) of a jump of more than 15 percent in disparity."""
        d = 1 / self.depth
        jump = (F.max_pool2d(d, 3, 1, 1) + F.max_pool2d(-d, 3, 1, 1)) / d > 0.15
        r = int(min(24, max(2, reach)))
        return F.max_pool2d(jump.float(), 2 * r + 1, 1, r)[0] > 0


def scenes() -> list[Scene]:
    found = [Scene(p.parent) for p in sorted(truth_root().glob("scene_*/meta.json"))]
    if not found:
        raise FileNotFoundError(f"No scenes under {truth_root()}: RACKFOCUS_TRUTH must name a folder of them.")
    return found
