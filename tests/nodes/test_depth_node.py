"""RefocusDepth: the models it lists, what it hands to the lens, and what it leaves behind."""

import pytest
import torch

from rackfocus.tests.nodes.scenes import BASE, BY_ID, image, run
from rackfocus.weights.manifest import command


def test_depth_lists_the_models_and_says_what_to_get(depth_models, tmp_path):
    node = BY_ID["RefocusDepth"]

    def options():
        return next(i for i in node.define_schema().inputs if i.id == "model").options

    assert options() == ["metric", "relative"]
    assert node.validate_inputs(model="relative") is True and node.validate_inputs() is True
    assert "one of metric, relative is needed" in node.validate_inputs(model="gone")
    depth_models(tmp_path)
    assert options() == ["none installed"]
    said = node.validate_inputs(model="none installed")
    for part in (
        command("fetch", "depth"),
        "depth_anything_v2_vits_fp16.safetensors",
        "models/refocus",
        "Depth Pro",
        "config.json",
    ):
        assert part in said
    assert "\n" not in said
    with pytest.raises(ValueError, match="no depth model is installed"):
        run("RefocusDepth", image=image(), model="none installed")


def test_depth_goes_to_the_lens_with_its_kind():
    clip = torch.cat([image(), 1 - image()])
    depth, kind, info = run("RefocusDepth", image=clip, model="metric")
    assert depth.shape == (2, 48, 64) and kind == "metres" and info.startswith("metric (depth_anything): metres")
    lens = run(
        "RefocusLens",
        depth=depth,
        depth_kind=kind,
        image=clip,
        focus_by="distance",
        focus_distance=float(depth.median()),
    )
    assert lens[0].radius.shape == (2, 48, 64) and float(lens[0].radius.min()) < 0 < float(lens[0].radius.max())
    assert run("RefocusDepth", image=clip, model="relative")[1] == "disparity"
    assert run("RefocusDepth", image=clip, model="relative", nearest_m=3.0)[1] == "inverse_metres"


def test_depth_leaves_no_model_behind():
    import gc

    import comfy.model_management as mm

    before = [m.model for m in mm.current_loaded_models]  # of other tests, kept alive by this list
    run("RefocusDepth", **BASE["RefocusDepth"])
    gc.collect()
    assert not [m for m in mm.current_loaded_models if m.model is not None and m.model not in before]
