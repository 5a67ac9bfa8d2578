"""How much is done between two looks at Cancel: pictures, small models and inputs for every node, and the measuring."""

import math
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F

from ..host.library import use_comfy

use_comfy()
import comfy.model_management as mm  # noqa: E402
import comfy.utils  # noqa: E402
import folder_paths  # noqa: E402

from rackfocus.nodes import NODES  # noqa: E402
from rackfocus.pipelines.optics import DefocusMap  # noqa: E402

BY_ID = {n.GET_SCHEMA().node_id: n for n in NODES}


class Cancelled(Exception):
    """What a look raises at its limit."""


class Looks:
    """The largest step of `clock`, any number that grows, from look to look, and from start and to end.

    clock: () -> number. worst: that step; between: where the looks about it came from. limit: from there on, counted
    from the start, a look cancels.
    """

    def __init__(self, clock: Callable[[], float], limit: float = math.inf):
        self.clock, self.worst, self.between, self.count = clock, 0.0, ("", ""), 0
        self.last, self.place = clock(), "start"
        self.limit = self.last + limit

    def look(self, *_, place: str | None = None, **__) -> None:
        """The artist's Cancel would be heard now."""
        step, place = self.clock() - self.last, place or _caller()
        if step > self.worst:
            self.worst, self.between = step, (self.place, place)
        self.count += 1
        self.place, self.last = place, self.clock()
        if self.last > self.limit and place != "end":
            raise Cancelled


def _caller() -> str:
    """The innermost functions of the pack that are running, outermost first."""
    frame, found = sys._getframe(2), []
    while frame is not None and len(found) < 4:
        name = frame.f_code.co_filename
        if ("pipelines" in name or "/nodes/" in name) and not name.endswith(("progress.py", "host.py")):
            found.append(f"{Path(name).stem}:{frame.f_lineno}")
        frame = frame.f_back
    return " > ".join(reversed(found))


@contextmanager
def counted(clock: Callable[[], float] = time.process_time, limit: float = math.inf):
    """Looks of all that runs inside, at the host's flag and by its progress bar; ended at the limit."""
    looks, ask, hook = Looks(clock, limit), mm.throw_exception_if_processing_interrupted, comfy.utils.PROGRESS_BAR_HOOK
    mm.throw_exception_if_processing_interrupted = looks.look
    comfy.utils.set_progress_bar_global_hook(looks.look)
    try:
        with suppress(Cancelled):
            yield looks
        looks.look(place="end")
    finally:
        mm.throw_exception_if_processing_interrupted = ask
        comfy.utils.set_progress_bar_global_hook(hook)


def run(node_id: str, inputs: dict) -> None:
    """Execute a node with its defaults and these inputs, as the host does."""
    node = BY_ID[node_id]
    values = {i.id: i.default for i in node.GET_SCHEMA().inputs if getattr(i, "default", None) is not None}
    with torch.inference_mode():
        node.execute(**{**values, **inputs})


def _random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@cache
def scene(height: int, width: int):
    """Texture, a white sky, 400 lamps: (image [1, H, W, 3], disparity [1, H, W] of blocks with bars before them)."""
    coarse = F.interpolate(_random(1, 3, 24, 32), (height, width), mode="bilinear")
    image = (0.7 * coarse + 0.25 * _random(1, 3, height, width, seed=1))[0].movedim(0, -1).contiguous()
    image[: height // 6] = 1.0
    size = max(1, width // 500)
    for y, x in (_random(400, 2, seed=2) * torch.tensor([height, width])).long().tolist():
        image[y : y + size, x : x + size] = 1.0
    blocks = F.interpolate(_random(1, 1, 6, 9, seed=3), (height, width), mode="nearest")[0]
    slope = torch.linspace(0, 0.1, width)
    depth = 0.8 * blocks + slope
    depth[:, :, :: max(8, width // 40)] = 0.95
    return image[None], depth


@cache
def noise(height: int, width: int):
    """Nothing but noise, in the picture as in its depth."""
    return _random(1, height, width, 3), _random(1, height, width, seed=1)


@cache
def frames(count: int, height: int, width: int):
    """A focal stack [N, H, W, 3] of the scene, whose strips come into focus one after the other."""
    image = scene(height, width)[0]
    soft = F.avg_pool2d(image.movedim(-1, 1), 5, 1, 2).movedim(1, -1)
    out = soft.repeat(count, 1, 1, 1)
    for i, columns in enumerate(torch.arange(width).chunk(count)):
        out[i, :, columns] = image[0, :, columns]
    return out


def _defocus(depth, radius: float):
    return DefocusMap((0.4 - depth) * radius)


def _half(depth):
    return F.interpolate(depth[None], scale_factor=0.5, mode="nearest")[0]


def _grey(height, width):
    """The depth as an image [1, H, W, 3]."""
    return scene(height, width)[1][..., None].repeat(1, 1, 1, 3)


def _keys(count: int) -> str:
    at = _random(count, 2, seed=4).tolist()
    return "\n".join(f"{i}: {x:.3f}, {y:.3f}" for i, (x, y) in enumerate(at))


def _bokeh(make, share=0.03, **options):
    """Blur of at most about `share` of the picture's width."""

    def inputs(h, w):
        image, depth = make(h, w)
        return {"image": image, "defocus": _defocus(depth, share * w / 0.6), **options}

    return inputs


# {node: {case: (height, width) -> inputs}}; a model is one of `models`.
CASES: dict[str, dict[str, Callable[[int, int], dict]]] = {
    "LoadRefocusModel": {"optical": lambda h, w: {}},
    "RefocusSample": {"as it is": lambda h, w: {}},
    "ApertureShapeMask": {"drawn": lambda h, w: {}, "picture": lambda h, w: {"image": scene(h, w)[0]}},
    "RefocusDepth": {"tiny model": lambda h, w: {"image": scene(h, w)[0], "model": "relative"}},
    "RefocusLens": {
        "point": lambda h, w: {"depth": scene(h, w)[1], "image": scene(h, w)[0]},
        "mask, smaller depth": lambda h, w: {
            "depth": _half(scene(h, w)[1]),
            "image": scene(h, w)[0],
            "focus_by": "mask",
            "focus_mask": scene(h, w)[1] > 0.2,
        },
        "automatic, no image": lambda h, w: {"depth": _grey(h, w), "focus_by": "automatic", "in_focus_range": 0.1},
        "camera": lambda h, w: {"depth": scene(h, w)[1], "lens": "camera", "focus_by": "automatic"},
    },
    "RefocusRack": {
        "24 keyframes": lambda h, w: {"depth": scene(h, w)[1], "keyframes": _keys(24), "frames": 4},
        "24 keyframes, smaller depth": lambda h, w: {
            "depth": _half(scene(h, w)[1]),
            "image": scene(h, w)[0],
            "keyframes": _keys(24),
            "frames": 4,
        },
        "2000 keyframes": lambda h, w: {"depth": scene(h, w)[1], "keyframes": _keys(2000), "frames": 2},
        "clip": lambda h, w: {"depth": scene(h, w)[1].repeat(4, 1, 1) * 3, "keyframes": _keys(4)},
    },
    "BokehSynthesize": {
        "best": _bokeh(scene, quality="best"),
        "fast, noise": _bokeh(noise, 0.01, quality="fast"),
        "fast, chromatic, cat's eye": _bokeh(scene, quality="fast", chromatic=3.0, cats_eye=0.7, spherical=0.5),
        "fast, wide": _bokeh(scene, 0.1, quality="fast"),
    },
    "RefocusPhoto": {
        "optical": lambda h, w: {"image": scene(h, w)[0], "depth": _half(scene(h, w)[1]), "quality": "fast"},
        "sharp": lambda h, w: {"image": scene(h, w)[0], "blur": 0.0},
    },
    "DeblurAiF": {
        "estimated": lambda h, w: {"image": scene(h, w)[0]},
        "known": lambda h, w: {"image": scene(h, w)[0], "defocus": _defocus(_half(scene(h, w)[1]), 8.0)},
        "genfocus": lambda h, w: {"image": scene(h, w)[0], "model": "genfocus", "steps": 1},
    },
    "FocalStackGenerate": {
        "optical": lambda h, w: {"image": scene(h, w)[0], "depth": _half(scene(h, w)[1]), "frames": 2},
        "learn2refocus": lambda h, w: {
            "image": scene(h, w)[0],
            "model": "learn2refocus",
            "steps": 1,
            "input_position": "4",
            "max_megapixels": 0.02,
            "detail": 0.5,
        },
        "learn2refocus, automatic": lambda h, w: {
            "image": scene(h, w)[0],
            "depth": scene(h, w)[1] * 5,
            "depth_kind": "inverse_metres",
            "model": "learn2refocus",
            "steps": 1,
            "max_megapixels": 0.02,
        },
    },
    "SelectFocusFrame": {
        "point": lambda h, w: {"stack": frames(9, h, w), "select_by": "point"},
        "position": lambda h, w: {"stack": frames(9, h, w), "position": 0.3},
    },
    "StackFuse": {
        "pyramid": lambda h, w: {"stack": frames(5, h, w)},
        "depth, aligned": lambda h, w: {"stack": frames(3, h, w), "method": "depth", "align": True},
        "average": lambda h, w: {"stack": frames(3, h, w), "method": "average"},
    },
    "GenfocusConditioning": {
        "bokeh": lambda h, w: {
            "model": "genfocus",
            "image": scene(h, w)[0],
            "task": "bokeh",
            "defocus": _defocus(scene(h, w)[1], 30.0),
        }
    },
    "RefocusPositionSweep": {
        "sheet": lambda h, w: {
            "model": "learn2refocus",
            "image": scene(h, w)[0],
            "steps": 1,
            "guidance": 1.0,
            "max_megapixels": 0.02,
        }
    },
}


@contextmanager
def models(folder: Path):
    """{"genfocus", "learn2refocus"}: tiny models; folder holds their files and a depth model for RefocusDepth."""
    from safetensors.torch import save_file

    from ..tiny import depth, svd
    from ..tiny.genfocus import TinyClip, tiny_flux, tiny_lora, tiny_vae

    kept = dict(folder_paths.folder_names_and_paths)
    for name in ("refocus", "loras", "diffusion_models"):
        (folder / name).mkdir()
        folder_paths.folder_names_and_paths[name] = ([str(folder / name)], set())
        folder_paths.filename_list_cache.pop(name, None)
    depth.save("anything", folder / "refocus" / "relative")
    save_file(tiny_lora(), folder / "loras" / "bokeh.safetensors")
    shutil.copy(svd.GOLDEN / "unet.safetensors", folder / "diffusion_models")
    svd.use_tiny_svd()
    load = BY_ID["LoadRefocusModel"].execute
    lora = {"deblur_lora": "bokeh.safetensors", "bokeh_lora": "bokeh.safetensors"}
    made = {"flux": tiny_flux(), "clip": TinyClip(), "vae": tiny_vae()}
    svd_models = {"clip_vision": svd.tiny_clip_vision(), "vae": svd.tiny_vae()}
    try:
        with torch.inference_mode():
            yield {
                "genfocus": load("genfocus", **lora, **made).args[0],
                "learn2refocus": load("learn2refocus", refocus_unet="unet.safetensors", **svd_models).args[0],
            }
    finally:
        folder_paths.folder_names_and_paths.clear()
        folder_paths.folder_names_and_paths.update(kept)
        folder_paths.filename_list_cache.clear()
