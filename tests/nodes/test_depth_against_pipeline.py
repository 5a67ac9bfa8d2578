"""RefocusDepth beside the pipeline call it stands for, with the tiny models of the host's refocus folder."""

import comfy.model_management as mm
import comfy.utils
import pytest
import torch

from rackfocus.nodes.depth import BYTES_PER_PIXEL, RefocusDepth
from rackfocus.pipelines.depth import estimate_depth, load_depth_model
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.tests.pictures import random


@pytest.fixture(autouse=True)
def no_grad():
    with torch.inference_mode():
        yield


def depth(image, model="relative", meaning="auto", nearest_m=0.0):
    return RefocusDepth.execute(image, model, meaning, nearest_m).args


@pytest.mark.parametrize(
    ("name", "settings", "kind"),
    [
        ("relative", {}, "disparity"),
        ("relative", {"nearest_m": 0.5}, "inverse_metres"),
        ("relative", {"meaning": "metres"}, "metres"),
        ("metric", {}, "metres"),
    ],
)
def test_the_node_gives_what_the_pipeline_gives(depth_folder, name, settings, kind):
    clip = random(2, 37, 53, 3)
    made, said, info = depth(clip, name, **settings)
    expected = estimate_depth(load_depth_model(str(depth_folder / name), name), clip, **settings)
    assert said == expected.kind == kind and info == expected.info and info.startswith(f"{name} (depth_anything)")
    assert made.shape == (2, 37, 53) and torch.allclose(made, expected.depth, rtol=1e-5)


def test_every_model_is_offered_by_its_folder():
    options = {i.id: i for i in RefocusDepth.define_schema().inputs}["model"].options
    assert options == ["metric", "relative"]


def test_a_model_that_is_not_there_is_said_before_anything_runs(depth_models, tmp_path):
    check = RefocusDepth.validate_inputs
    assert check(model="relative") is True and check() is True  # over a link: not known yet
    assert "'gone' is not in models/refocus, but one of metric, relative" in check(model="gone")
    with pytest.raises(RefocusError, match="'gone' is not in models/refocus"):
        depth(random(1, 37, 53, 3), "gone")
    depth_models(tmp_path)
    said = check(model="none installed")
    assert "no depth model is installed: " in said and "gets depth_anything_v2_vits_fp16.safetensors" in said
    assert "weights fetch depth" in said and "models/refocus" in said
    assert {i.id: i for i in RefocusDepth.define_schema().inputs}["model"].options == ["none installed"]


def test_the_host_is_told_the_memory_of_what_the_network_sees(depth_folder, monkeypatch):
    told, load = [], mm.load_models_gpu
    monkeypatch.setattr(mm, "load_models_gpu", lambda models, **given: told.append(given) or load(models, **given))
    depth(random(2, 37, 53, 3))
    height, width = load_depth_model(str(depth_folder / "relative")).pixels.target(37, 53)
    assert told == [{"memory_required": height * width * BYTES_PER_PIXEL}]


def test_wrong_pictures_are_said():
    with pytest.raises(RefocusError, match="latent"):
        depth({"samples": 0})


def test_one_bar_for_all_frames_and_cancel(monkeypatch):
    seen = []

    class Bar:
        def __init__(self, total):
            self.total = total

        def update_absolute(self, value, total=None, preview=None):
            seen.append((value, total))
            if value > 250:
                mm.interrupt_current_processing()

    monkeypatch.setattr(comfy.utils, "ProgressBar", Bar)
    with pytest.raises(mm.InterruptProcessingException):
        depth(random(4, 37, 53, 3))
    values = [v for v, _ in seen]
    assert values == sorted(values) and 250 < values[-1] < 400 and {t for _, t in seen} == {400}
    assert {v // 100 for v in values} == {0, 1, 2}
