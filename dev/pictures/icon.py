"""docs/icon.png, 400 x 400: highlights out of focus, each the image of one of the pack's apertures."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from rackfocus.pipelines.optics import aperture_mask

from ..host.paths import ROOT

FILE = Path(ROOT) / "docs" / "icon.png"
SIZE = 400
BACK = (0.055, 0.065, 0.10)
# x, y, blur radius in pixels; the highlight's light; the aperture
DISCS = (
    (128, 140, 92, (0.95, 0.62, 0.20), {"blades": 6, "rotation": 12}),
    (268, 118, 70, (0.20, 0.55, 0.85), {}),
    (262, 262, 96, (0.85, 0.25, 0.40), {"shape": "heart"}),
    (112, 288, 66, (0.30, 0.70, 0.45), {"shape": "ring", "inner": 0.8}),
    (340, 196, 40, (0.75, 0.70, 0.55), {"blades": 5, "roundness": 0.4}),
    (200, 346, 34, (0.75, 0.55, 0.80), {"shape": "star"}),
)


def draw() -> Image.Image:
    """Light adds up; the result is encoded by a power of 1 / 2.2. Corners are round."""
    light = np.empty((SIZE, SIZE, 3), np.float32)
    light[:] = np.power(BACK, 2.2)
    for x, y, r, colour, shape in DISCS:
        mask = aperture_mask(size=2 * r, **shape)[0].numpy()
        light[y - r : y + r, x - r : x + r] += 0.8 * mask[..., None] * np.power(colour, 2.2)
    picture = Image.fromarray((np.clip(light, 0, 1) ** (1 / 2.2) * 255).round().astype(np.uint8))
    corners = Image.new("L", (4 * SIZE, 4 * SIZE))
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, 4 * SIZE - 1, 4 * SIZE - 1), 4 * 56, fill=255)
    picture.putalpha(corners.resize((SIZE, SIZE), Image.Resampling.LANCZOS))
    return picture


def main():
    draw().save(FILE, optimize=True)
    print(FILE.relative_to(ROOT))
