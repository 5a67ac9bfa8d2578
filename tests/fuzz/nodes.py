"""Every node, by its own schema: each input is drawn by its type, within the widget's limits and far beyond."""

import inspect
import random
from functools import partial

import torch
from comfy_api.latest import io

from rackfocus.nodes import NODES
from rackfocus.nodes.host import RefocusModel
from rackfocus.nodes.model import LoadRefocusModel
from rackfocus.pipelines.optics import DefocusMap
from rackfocus.pipelines.optics.lens import check_defocus

from . import keyframes, models, outcome
from .draw import Draw

BY_ID = {n.GET_SCHEMA().node_id: n for n in NODES}
# How often each node comes up; those that sample take the longest.
WEIGHTS = {"LoadRefocusModel": 1, "RefocusDepth": 1, "GenfocusConditioning": 0.7, "RefocusPositionSweep": 0.3}
FEW = {"frames": (2, 5), "steps": (1, 2), "frame_width": (16, 64), "first": (0, 3), "last": (-1, 3)}
FEWER = {"RefocusRack": {"frames": (0, 9)}}
LENGTHS = {"max_megapixels": (0.01, 0.02)}


def given(draw: Draw, node_id: str, i):
    """A value for one input of a node."""
    few = {**FEW, **FEWER.get(node_id, {})}
    if i.id == "keyframes":
        return keyframes.text(draw)
    if i.id == "seed":
        return draw.seed()
    if i.id == "depth":
        return draw.depth()
    if isinstance(i, io.Int.Input):
        low, high = few.get(i.id, (i.min, i.max))
        return (
            draw.pick((i.min - 1, i.max + 1, 10**9))
            if draw.wild(0.3)
            else draw.whole(low, high, i.default if i.id not in few else None)
        )
    if isinstance(i, io.Float.Input):
        low, high = LENGTHS.get(i.id, (i.min, i.max))
        return draw.number(low, high, i.default if i.id not in LENGTHS else None)
    if isinstance(i, io.Combo.Input):
        return draw.choice(i.options)
    if isinstance(i, io.Boolean.Input):
        return draw.flag()
    if isinstance(i, io.String.Input):
        return draw.text(i.default or "a photo")
    if isinstance(i, io.Image.Input) and node_id == "RefocusPositionSweep":
        return draw.image(1)
    if isinstance(i, io.Image.Input):
        return draw.image(draw.pick((2, 3, 4)) if i.id == "stack" and not draw.wild() else None)
    if isinstance(i, io.Mask.Input):
        return draw.plane()
    kind = i.get_io_type()
    if kind == "DEFOCUS_MAP":
        return draw.defocus()
    if kind == "REFOCUS_MODEL":
        return model(draw, node_id)
    return draw.pick((None, None, 1, "model", torch.ones(1)))  # MODEL, CLIP, VAE, CLIP_VISION of LoadRefocusModel


def model(draw: Draw, node_id: str):
    """A model of an engine, none, or what is no model."""
    if draw.wild():
        return draw.pick((1, "optical", {}, RefocusModel("optical", {}), RefocusModel("none", {}, None), torch.ones(1)))
    if node_id in ("GenfocusConditioning", "RefocusPositionSweep"):
        return models.of({"GenfocusConditioning": "genfocus", "RefocusPositionSweep": "learn2refocus"}[node_id])
    kind = draw.random.random()
    if kind < 0.85:
        return None
    if kind < 0.9:
        return LoadRefocusModel.execute("optical").args[0]
    return models.of(draw.pick(("genfocus", "learn2refocus")))


def cases(count: int, seed: int):
    """(name, callable) of each case."""
    models.install()
    weights = [WEIGHTS.get(node_id, 3) for node_id in BY_ID]
    for k in range(count):
        node_id = random.Random(f"node {seed} {k}").choices(list(BY_ID), weights)[0]
        yield f"{node_id} {k}", partial(case, f"nodes {seed} {k}", node_id)


def case(seed: str, node_id: str) -> None:
    """Run one node as the host does: what it says of its inputs first, then the node itself."""
    draw, node = Draw(seed), BY_ID[node_id]
    inputs = {}
    for i in node.GET_SCHEMA().inputs:
        if i.optional and draw.random.random() < 0.4:
            continue
        inputs[i.id] = given(draw, node_id, i)
    validate(node, inputs)
    with torch.inference_mode():
        made = outcome.run(lambda **values: node.execute(**values).args, inputs)
    if made is not None:
        CHECKS.get(node_id, lambda inputs, *outputs: None)(inputs, *made)


def validate(node, inputs: dict) -> None:
    """validate_inputs, with the arguments that it names."""
    if "validate_inputs" not in vars(node):
        return
    named = inspect.signature(node.validate_inputs).parameters
    said = node.validate_inputs(**{name: value for name, value in inputs.items() if name in named})
    if said is not True:
        outcome.check_sentence(said if said.endswith(".") else said + ".")


# What each node promises of its outputs.


def within(t, low: float = 0.0, high: float = 1.0) -> None:
    if t.numel():
        assert low <= float(t.min()) and float(t.max()) <= high, f"{float(t.min())} to {float(t.max())}"


def size_of_picture(image) -> tuple[int, ...]:
    return tuple(image.shape[1:3])


def bokeh(inputs, picture):
    count = max(len(inputs["image"]), len(check_defocus(inputs["defocus"]).radius))
    assert picture.shape == (count, *size_of_picture(inputs["image"]), 3), picture.shape


def deblurred(inputs, picture, defocus):
    assert picture.shape == (*inputs["image"].shape[:3], 3), picture.shape
    assert isinstance(defocus, DefocusMap)


def refocused(inputs, picture, defocus, overlay, info):
    assert picture.shape == overlay.shape == (*inputs["image"].shape[:3], 3), picture.shape
    assert defocus.radius.shape == picture.shape[:3] and len(info.splitlines()) == 2
    within(overlay)


def stacks(inputs, made, positions, info):
    assert len(made) == len(inputs["image"]) and all(len(s) == len(positions) for s in made)
    assert all(s.shape[3] == 3 for s in made) and positions == sorted(positions) and isinstance(info, str)


def frame(inputs, picture, index, position):
    assert picture.shape == (1, *size_of_picture(inputs["stack"]), 3)
    assert 0 <= index < len(inputs["stack"])
    within(torch.tensor(position))


def fused(inputs, picture, order, confidence):
    assert picture.shape == (1, *size_of_picture(inputs["stack"]), 3) and order.shape == confidence.shape
    assert order.shape == picture.shape[:3]
    within(order)
    within(confidence)


def lens(inputs, defocus, overlay, preview, near, sharp, far, info):
    assert overlay.shape == preview.shape == (*defocus.radius.shape, 3)
    assert near.shape == sharp.shape == far.shape == defocus.radius.shape
    for t in (overlay, preview, near, sharp, far):
        within(t)
    assert (near + sharp + far == 1).all() and "\n" not in info


def rack(inputs, defocus, info):
    assert len(info.splitlines()) == len(defocus.radius)


def aperture(inputs, mask):
    assert mask.shape == (1, 256, 256)
    within(mask)


def depth(inputs, made, kind, info):
    assert made.shape == inputs["image"].shape[:3] and kind in ("metres", "inverse_metres", "disparity")
    within(made, 0.0, 1e5)


CHECKS = {
    "ApertureShapeMask": aperture,
    "RefocusDepth": depth,
    "RefocusLens": lens,
    "RefocusRack": rack,
    "BokehSynthesize": bokeh,
    "DeblurAiF": deblurred,
    "RefocusPhoto": refocused,
    "FocalStackGenerate": stacks,
    "SelectFocusFrame": frame,
    "StackFuse": fused,
}
