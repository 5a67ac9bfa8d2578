"""Small prompts in API form, and pictures to feed them."""

import numpy as np
import pytest
from PIL import Image

from rackfocus.dev.host.errors import RunError


def picture(width, height, seed=0) -> Image.Image:
    """A smooth random colour picture."""
    small = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def slope(width, height) -> Image.Image:
    """An 8-bit three-channel depth map, near at the right."""
    row = np.linspace(20, 235, width).astype(np.uint8)
    return Image.fromarray(np.repeat(np.repeat(row[None], height, 0)[..., None], 3, -1))


LENS = {
    "depth_kind": "disparity",
    "focus_by": "point",
    "focus_x": 0.5,
    "focus_y": 0.5,
    "focus_distance": 2.0,
    "lens": "artist",
    "strength": 20.0,
    "focal_mm": 50.0,
    "f_number": 2.0,
    "sensor_mm": 36.0,
    "scene_near": 1.0,
    "scene_far": 10.0,
    "near_factor": 1.0,
    "far_factor": 1.0,
    "in_focus_range": 0.0,
}


def refocus(image: str, depth: str, quality="fast", lens=None, **bokeh) -> dict:
    """LoadImage x 2 -> RefocusLens -> BokehSynthesize -> SaveImage (node 5)."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {"class_type": "LoadImage", "inputs": {"image": depth}},
        "3": {"class_type": "RefocusLens", "inputs": {"depth": ["2", 0], "image": ["1", 0], **LENS, **(lens or {})}},
        "4": {
            "class_type": "BokehSynthesize",
            "inputs": {"image": ["1", 0], "defocus": ["3", 0], "quality": quality, "highlights": 8.0, **bokeh},
        },
        "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "test"}},
    }


def cancel(client, prompt: dict, node: str, steps: int) -> None:
    """Run a prompt and cancel it at the first step of a node; it must end so before its `steps` are done."""
    reached = []

    def on_progress(at, value, _):
        if at == node:
            if not reached:
                client.interrupt()
            reached.append(value)

    with pytest.raises(RunError) as error:
        client.run(prompt, on_progress=on_progress)
    assert error.value.kind == "interrupted" and max(reached) < steps
