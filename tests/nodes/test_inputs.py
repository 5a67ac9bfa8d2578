"""Inputs of every node: none is written to, a wrong one is told in one sentence, one pixel is enough."""

import pytest
import torch

from rackfocus.pipelines.optics import DefocusMap
from rackfocus.tests.nodes.scenes import BASE, brightener, corner, defocus, depth, image, random, run, same, stack


def test_inputs_are_not_written_to():
    before = [picture().clone() for picture in (image, depth, stack)]
    for node_id in (
        "RefocusDepth",
        "RefocusLens",
        "RefocusRack",
        "RefocusPhoto",
        "BokehSynthesize",
        "DeblurAiF",
        "FocalStackGenerate",
        "StackFuse",
    ):
        run(node_id, **BASE[node_id])
    assert same(before, [image(), depth(), stack()])


def test_alpha_is_dropped():
    with_alpha = torch.cat([image(), random(1, 48, 64, 1, seed=1)], -1)
    given, plain = (run("BokehSynthesize", image=x, defocus=defocus) for x in (with_alpha, image))
    assert same(given, plain)


@pytest.mark.parametrize(
    "node_id, wrong, said",
    [
        ("RefocusSample", {"image": {"samples": 0}}, "latent"),
        ("RefocusSample", {"stack": lambda: stack()[:0]}, "empty batch"),
        ("RefocusSample", {"depth": lambda: {"samples": torch.zeros(1, 4, 8, 8)}}, "depth map"),
        ("RefocusDepth", {"image": {"samples": 0}, "model": "relative"}, "latent"),
        ("RefocusDepth", {"image": lambda: image()[:0], "model": "relative"}, "empty batch"),
        ("RefocusDepth", {"image": image, "model": "gone"}, "one of metric, relative"),
        ("RefocusLens", {"depth": lambda: {"samples": torch.zeros(1, 4, 8, 8)}}, "depth map"),
        ("RefocusLens", {"depth": lambda: torch.full((1, 4, 4), float("nan"))}, "NaN"),
        ("RefocusLens", {"depth": lambda: torch.zeros(0, 4, 4, 3)}, "empty"),
        ("RefocusLens", {"depth": depth, "focus_x": 1.5}, "focus_x is 1.5, but a number from 0 to 1"),
        ("RefocusLens", {"depth": depth, "strength": -1.0}, "strength"),
        ("RefocusLens", {"depth": depth, "focus_by": "mask"}, "no focus_mask"),
        ("RefocusLens", {"depth": depth, "lens": "camera", "scene_near": 9.0, "scene_far": 3.0}, "under the far"),
        ("RefocusLens", {"depth": lambda: torch.ones(3, 8, 8), "image": lambda: torch.zeros(4, 8, 8, 3)}, "3 frames"),
        ("RefocusRack", {"depth": lambda: {"samples": torch.zeros(1, 4, 8, 8)}}, "depth map"),
        ("RefocusRack", {"depth": depth, "keyframes": "0 0.5, 0.5"}, "line 1 reads '0 0.5, 0.5'"),
        ("RefocusRack", {"depth": depth, "keyframes": ""}, "no keyframe"),
        ("RefocusRack", {"depth": lambda: torch.ones(3, 8, 8), "image": lambda: torch.zeros(4, 8, 8, 3)}, "3 frames"),
        ("RefocusRack", {"depth": lambda: torch.ones(30, 8, 8), "frames": 4}, "frames is 4"),
        ("BokehSynthesize", {"image": {"samples": 0}, "defocus": defocus}, "latent"),
        ("BokehSynthesize", {"image": lambda: image()[:0], "defocus": defocus}, "empty batch"),
        ("BokehSynthesize", {"image": image, "defocus": defocus, "aperture": lambda: corner() * 0}, "all black"),
        ("DeblurAiF", {"image": lambda: image()[:0]}, "empty batch"),
        ("FocalStackGenerate", {"image": image}, "no depth map"),
        ("RefocusPhoto", {"image": {"samples": 0}}, "latent"),
        ("RefocusPhoto", {"image": lambda: image()[:0]}, "empty batch"),
        (
            "RefocusPhoto",
            {"image": image, "depth": depth, "focus_y": -0.1},
            "focus_y is -0.1, but a number from 0 to 1",
        ),
        ("RefocusPhoto", {"image": image, "depth": depth, "blur": float("nan")}, "blur is nan"),
        ("RefocusPhoto", {"image": image, "depth": lambda: torch.ones(3, 48, 64)}, "3 frames"),
        ("RefocusPhoto", {"image": image, "depth": image}, "picture in colour"),
        (
            "RefocusPhoto",
            {"image": image},
            "photo is sharp everywhere, so nothing tells what is near .*connect a depth map",
        ),
        ("RefocusPhoto", {"image": image, "depth": depth, "aperture": lambda: corner() * 0}, "all black"),
        (
            "RefocusPhoto",
            {"image": image, "depth": depth, "aperture": corner, "model": brightener},
            "aperture is connected and finish is model, but genfocus .*choose finish optical, or disconnect",
        ),
        (
            "RefocusPhoto",
            {"image": image, "finish": "optical", "model": brightener},
            "finish is optical and no depth map is connected, but genfocus finds none .*connect",
        ),
        ("SelectFocusFrame", {"stack": lambda: image()[:0]}, "empty batch"),
        ("SelectFocusFrame", {"stack": image}, "one frame, but two or more are needed: .*animated PNG"),
        ("StackFuse", {"stack": image}, "one frame, but two or more are needed: .*first alone since ComfyUI 0.21"),
        ("StackFuse", {"stack": stack, "first": 7}, "first"),
        ("StackFuse", {"stack": lambda: stack()[:0]}, "empty batch"),
    ],
)
def test_wrong_input_is_one_sentence(node_id, wrong, said):
    with pytest.raises(ValueError, match=said) as error:
        run(node_id, **wrong)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize(
    "node_id",
    [
        "RefocusDepth",
        "RefocusLens",
        "RefocusRack",
        "RefocusPhoto",
        "BokehSynthesize",
        "DeblurAiF",
        "FocalStackGenerate",
        "StackFuse",
    ],
)
def test_one_pixel_and_constant_depth_run(node_id):
    one = torch.full((1, 1, 1, 3), 0.5)
    inputs = {
        "RefocusDepth": {"image": one, "model": "relative"},
        "RefocusLens": {"depth": one},
        "RefocusRack": {"depth": one},
        "RefocusPhoto": {"image": one, "depth": one},
        "BokehSynthesize": {"image": one, "defocus": DefocusMap(one[..., 0])},
        "DeblurAiF": {"image": one},
        "FocalStackGenerate": {"image": one, "depth": one, "frames": 2},
        "StackFuse": {"stack": one.expand(3, -1, -1, -1)},
    }
    run(node_id, **inputs[node_id])
