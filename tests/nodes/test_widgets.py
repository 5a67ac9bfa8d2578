"""Every widget of every node changes what comes out: a control without effect is a defect."""

import pytest

from rackfocus.pipelines.optics import DefocusMap
from rackfocus.tests.nodes.scenes import (
    BASE,
    BY_ID,
    brightener,
    corner,
    defocus,
    depth,
    evenly,
    half,
    image,
    random,
    run,
    same,
    shifted,
    stack,
    two_halves,
)

IN_METRES = {"keyframes": "0: 2.5m; 3: 4m"}
RELATIVE = {"lens": "camera", "depth_kind": "disparity"}

# For each input: (value, what else must be set for it to matter). None of the values is the default.
CHANGES = {
    "RefocusSample": {"image": (image, {"depth": depth}), "depth": (depth, {}), "stack": (stack, {})},
    "LoadRefocusModel": {},
    "ApertureShapeMask": {
        "shape": ("heart", {}),
        "blades": (6, {}),
        "roundness": (0.5, {"blades": 5}),
        "rotation": (20.0, {"blades": 5}),
        "squeeze": (2.0, {}),
        "inner": (0.9, {"shape": "ring"}),
        "offset": (0.9, {"shape": "cats_eye"}),
        "image": (lambda: random(1, 20, 30, 3), {}),
    },
    "RefocusDepth": {
        "image": (lambda: 1 - image(), {}),
        "model": ("metric", {}),
        "meaning": ("metres", {}),
        "nearest_m": (2.0, {}),
    },
    "RefocusLens": {
        "depth": (lambda: depth().flip(2), {}),
        "depth_kind": ("inverted", {}),
        "focus_by": ("automatic", {}),
        "focus_x": (0.9, {}),
        "focus_y": (0.05, {}),
        "focus_distance": (5.0, {"focus_by": "distance"}),
        "lens": ("camera", {}),
        "strength": (30.0, {}),
        "focal_mm": (85.0, RELATIVE),
        "f_number": (8.0, RELATIVE),
        "sensor_mm": (24.0, RELATIVE),
        "scene_near": (2.0, RELATIVE),
        "scene_far": (30.0, RELATIVE),
        "near_factor": (0.0, {"focus_x": 0.02}),
        "far_factor": (0.0, {}),
        "in_focus_range": (0.3, {}),
        "focus_mask": (corner, {"focus_by": "mask", "focus_mask": lambda: 1 - corner()}),
        "image": (image, {}),
    },
    "RefocusPhoto": {
        "image": (lambda: 1 - image(), {}),
        "focus_x": (0.9, {}),
        "focus_y": (0.05, {}),
        "blur": (30.0, {}),
        "keep": (False, {}),
        "finish": ("optical", {"model": brightener}),
        "depth_kind": ("inverted", {}),
        "depth": (lambda: depth().flip(2), {}),
        "aperture": (half, {}),
        "quality": ("fast", {}),
        "highlights": (1.0, {}),
    },
    "RefocusRack": {
        "depth": (lambda: depth().flip(2), {}),
        "depth_kind": ("inverted", {}),
        "keyframes": ("0: 0.1, 0.1; 3: 2.5m", {}),
        "frames": (3, {}),
        "easing": ("linear", {}),
        "strength": (30.0, {}),
        "scene_near": (2.0, IN_METRES),
        "scene_far": (30.0, IN_METRES),
        "near_factor": (0.0, {}),
        "far_factor": (0.0, {}),
        "in_focus_range": (0.3, {}),
        "image": (lambda: random(1, 96, 128, 3), {}),
    },
    "BokehSynthesize": {
        "image": (lambda: 1 - image(), {}),
        "defocus": (lambda: DefocusMap(-defocus().radius), {}),
        "quality": ("fast", {}),
        "highlights": (1.0, {}),
        "cats_eye": (1.0, {}),
        "spherical": (1.0, {}),
        "chromatic": (30.0, {}),
        "aperture": (half, {}),
        "background": (lambda: random(1, 48, 64, 3, seed=3), {}),
    },
    "DeblurAiF": {
        "image": (lambda: 1 - image(), {}),
        "strength": (0.0, {"defocus": lambda: evenly(2.0)}),
        "defocus": (lambda: evenly(2.0), {}),
        "aperture": (half, {"defocus": lambda: evenly(3.0)}),
    },
    "FocalStackGenerate": {
        "image": (lambda: 1 - image(), {}),
        "frames": (5, {}),
        "strength": (90.0, {}),
        "depth_kind": ("inverted", {}),
        "quality": ("best", {}),
        "highlights": (1.0, {}),
        "depth": (lambda: depth().flip(2), {}),
        "aperture": (half, {}),
    },
    "SelectFocusFrame": {
        "stack": (lambda: 1 - stack(), {}),
        "select_by": ("point", {"position": 0.1}),
        "position": (0.2, {}),
        "focus_x": (0.1, {"select_by": "point"}),
        "focus_y": (0.1, {"select_by": "point"}),
        "blend": (True, {"position": 0.3}),
    },
    "StackFuse": {
        "stack": (lambda: 1 - stack(), {}),
        "method": ("average", {}),
        "first": (1, {}),
        "last": (1, {}),
        "align": (True, {}),
    },
}
# What only the genfocus engine reads: see test_genfocus_nodes.py.
GENFOCUS = {
    "prompt",
    "steps",
    "guidance",
    "seed",
    "tiling",
    "pre_deblurred",
    "flux",
    "clip",
    "vae",
    "deblur_lora",
    "bokeh_lora",
    "aperture_lora",
}
# What only the learn2refocus engine reads: see test_learn2refocus_nodes.py.
DIFFCAMERA = {"diffcamera_checkpoint"}
LEARN2REFOCUS = {
    "input_position",
    "steps",
    "guidance",
    "seed",
    "max_megapixels",
    "frame_size",
    "decode_chunk",
    "keep_input",
    "detail",
    "clip_range",
    "refocus_unet",
    "clip_vision",
    "vae",
}
# What only the anybokeh engine reads: see test_anybokeh_nodes.py.
ANYBOKEH = {"aperture_ratio", "steps", "seed", "coc_is", "flux", "vae", "stage1_lora", "stage2_lora", "prompt_embeds"}


@pytest.mark.parametrize("node_id, name", [(n, i) for n, inputs in CHANGES.items() for i in inputs])
def test_every_input_has_an_effect(node_id, name):
    value, context = CHANGES[node_id][name]
    base = {**BASE[node_id], **context}
    if node_id == "SelectFocusFrame" and name in ("focus_x", "focus_y"):
        base["stack"] = two_halves
        base["focus_y" if name == "focus_x" else "focus_x"] = 0.1
        base[name] = 0.9
    if (node_id, name) == ("StackFuse", "align"):
        base["stack"] = shifted
    assert not same(run(node_id, **base), run(node_id, **{**base, name: value}))


def test_no_input_is_left_out():
    for node_id, node in BY_ID.items():
        if node_id in ("GenfocusConditioning", "RefocusPositionSweep"):  # of one engine alone: tested with it
            continue
        learned = GENFOCUS | LEARN2REFOCUS | DIFFCAMERA | ANYBOKEH
        inputs = {i.id for i in node.GET_SCHEMA().inputs} - {"model", "engine"} - learned
        assert inputs == set(CHANGES[node_id]) - {"model"}, node_id
