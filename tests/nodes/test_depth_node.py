"""RefocusDepth: the models it lists, what it hands to the lens, and what it leaves behind."""

import numpy as np
import pytest
import torch
from PIL import Image

from rackfocus.pipelines.optics import to_disparity
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


@pytest.mark.parametrize("model", ["metric", "relative"])
def test_depth_is_shown_in_the_node(tmp_path, model):
    """A preview for each frame, grey, white where the lens sees the nearest."""
    clip = torch.cat([image(), 1 - image()])
    made = BY_ID["RefocusDepth"].execute(clip, model, "auto", 0.0)
    shown = [np.asarray(Image.open(tmp_path / i["filename"]).convert("RGB")) for i in made.ui.as_dict()["images"]]
    assert [s.shape for s in shown] == [(48, 64, 3)] * 2
    disparity = to_disparity(made.args[0], made.args[1])
    together = torch.stack([disparity.flatten(), torch.from_numpy(np.stack(shown)[..., 0].copy()).flatten().float()])
    assert torch.corrcoef(together)[0, 1] > 0.9


def test_depth_leaves_no_model_behind():
    import gc

    import comfy.model_management as mm

    before = [m.model for m in mm.current_loaded_models]  # of other tests, kept alive by this list
    run("RefocusDepth", **BASE["RefocusDepth"])
    gc.collect()
    assert not [m for m in mm.current_loaded_models if m.model is not None and m.model not in before]
