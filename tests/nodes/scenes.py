"""A small picture, its depth, a stack; and one node run with its defaults. Each is made when it is first asked for."""

from functools import cache

import torch

from rackfocus.nodes import NODES
from rackfocus.nodes.host import Refocused, RefocusModel
from rackfocus.pipelines.optics import DefocusMap
from rackfocus.tests.pictures import random

BY_ID = {n.GET_SCHEMA().node_id: n for n in NODES}
H, W = 48, 64


@cache
def image():
    """A textured picture with two highlights, [1, H, W, 3]."""
    picture = random(1, H, W, 3) * 0.8
    picture[0, 10, 10] = picture[0, 30, 50] = 1.0
    return picture


@cache
def depth():
    """Disparity [1, H, W]: rising to the right, with a near block left of the middle."""
    slope = torch.linspace(0.1, 0.9, W)[None, None].repeat(1, H, 1)
    slope[:, 16:32, 20:40] = 0.95
    return slope


@cache
def defocus():
    return DefocusMap((0.5 - depth()) * 12)


@cache
def stack():
    """Three frames of one picture, darker to brighter."""
    return torch.cat([image() * s for s in (0.4, 0.7, 1.0)])


@cache
def corner():
    """MASK [1, H, W], white at the upper left."""
    mask = torch.zeros(1, H, W)
    mask[:, :8, :8] = 1
    return mask


@cache
def half():
    """Aperture [1, 64, 64] whose lower half is closed."""
    opening = torch.zeros(1, 64, 64)
    opening[:, :32] = 1
    return opening


def evenly(radius: float):
    """The same blur radius everywhere."""
    return DefocusMap(torch.full((1, H, W), radius))


@cache
def two_halves():
    """A stack whose left is sharp in the first frame and whose right and bottom are in the last."""
    sharp, flat = random(H, W, 3), torch.full((H, W, 3), 0.5)
    frames = torch.stack([flat, flat, flat]).clone()
    frames[0, :24, :32] = sharp[:24, :32]
    frames[2, 24:], frames[2, :24, 32:] = sharp[24:], sharp[:24, 32:]
    frames[1] = 0.5 + 0.3 * (sharp - 0.5)
    return frames


@cache
def shifted():
    """Two photographs of one scene, a few pixels apart."""
    wide = torch.nn.functional.interpolate(random(1, 3, 40, 50), (160, 200), mode="bicubic").clamp(0, 1)[0]
    wide = wide.permute(1, 2, 0)
    return torch.stack([wide[10:138, 10:170], wide[12:140, 14:174]])


# What must be connected, or differs from the widget's default, for a node to run. Pictures are the functions above.
BASE = {
    "RefocusSample": {},
    "LoadRefocusModel": {},
    "ApertureShapeMask": {},
    "RefocusDepth": {"image": image, "model": "relative"},
    "RefocusLens": {"depth": depth},
    "RefocusPhoto": {"image": image, "depth": depth, "blur": 200.0},
    "RefocusRack": {"depth": depth, "keyframes": "0: 0.1, 0.1; 3: 0.9, 0.9"},
    "BokehSynthesize": {"image": image, "defocus": defocus},
    "DeblurAiF": {"image": image},
    "FocalStackGenerate": {"image": image, "depth": depth, "frames": 3, "strength": 200.0},
    "SelectFocusFrame": {"stack": stack},
    "StackFuse": {"stack": stack},
}


def brightener() -> RefocusModel:
    """A model that refocuses by making the picture brighter."""

    def refocus(image, *, focus, blur, depth, aperture):
        return Refocused(0.9 * image + 0.1, None, "brighter")

    return RefocusModel("genfocus", {"refocus": refocus})


def run(node_id: str, **inputs) -> list:
    """Execute a node with its defaults and these inputs; a function among them is called for its value."""
    node = BY_ID[node_id]
    values = {i.id: i.default for i in node.GET_SCHEMA().inputs if getattr(i, "default", None) is not None}
    values.update((name, value() if callable(value) else value) for name, value in inputs.items())
    return list(node.execute(**values).args)


def same(a, b) -> bool:
    """Whether two outputs of a node are equal bit for bit."""
    if isinstance(a, torch.Tensor):
        return a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, DefocusMap):
        return same(a.radius, b.radius)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b
