"""RefocusDepth beside the pipeline call it stands for, with a tiny model in the host's refocus folder."""

import pytest
import torch

from rackfocus.dev.host.library import use_comfy

use_comfy()
import comfy.model_management as mm  # noqa: E402
import comfy.utils  # noqa: E402
import folder_paths  # noqa: E402

from rackfocus.dev.tiny import depth as tiny_depth  # noqa: E402
from rackfocus.nodes.depth import RefocusDepth  # noqa: E402
from rackfocus.pipelines.depth import estimate_depth, load_depth_model  # noqa: E402
from rackfocus.pipelines.image.checks import RefocusError  # noqa: E402
from rackfocus.tests.pictures import random  # noqa: E402


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refocus")
    tiny_depth.save("anything", folder / "relative")
    tiny_depth.save("anything_metric", folder / "sub" / "metric")
    return folder


@pytest.fixture(autouse=True)
def folder(monkeypatch, installed, tmp_path):
    """use(path) makes it the only refocus folder; the one with models at first."""

    def use(path):
        monkeypatch.setitem(folder_paths.folder_names_and_paths, "refocus", ([str(path)], set()))
        folder_paths.filename_list_cache.pop("refocus", None)

    use(installed)
    with torch.inference_mode():
        yield use
    folder_paths.filename_list_cache.pop("refocus", None)


def depth(image, model="relative", meaning="auto", nearest_m=0.0):
    return RefocusDepth.execute(image, model, meaning, nearest_m).args


@pytest.mark.parametrize(
    ("name", "settings", "kind"),
    [
        ("relative", {}, "disparity"),
        ("relative", {"nearest_m": 0.5}, "inverse_metres"),
        ("relative", {"meaning": "metres"}, "metres"),
        ("sub/metric", {}, "metres"),
    ],
)
def test_the_node_gives_what_the_pipeline_gives(installed, name, settings, kind):
    clip = random(2, 37, 53, 3)
    made, said, info = depth(clip, name, **settings)
    expected = estimate_depth(load_depth_model(str(installed / name), name), clip, **settings)
    assert said == expected.kind == kind and info == expected.info and info.startswith(f"{name} (depth_anything)")
    assert made.shape == (2, 37, 53) and torch.allclose(made, expected.depth, rtol=1e-5)


def test_every_model_is_offered_by_its_folder():
    options = {i.id: i for i in RefocusDepth.define_schema().inputs}["model"].options
    assert options == ["relative", "sub/metric"]


def test_a_model_that_is_not_there_is_said_before_anything_runs(folder, tmp_path):
    check = RefocusDepth.validate_inputs
    assert check(model="relative") is True and check() is True  # over a link: not known yet
    assert "'gone' is not in models/refocus, but one of relative, sub/metric" in check(model="gone")
    with pytest.raises(RefocusError, match="'gone' is not in models/refocus"):
        depth(random(1, 37, 53, 3), "gone")
    folder(tmp_path)
    said = check(model="none installed")
    assert "no depth model is installed: get depth_anything_v2_vits_fp16.safetensors" in said
    assert "49,595,202 bytes" in said and "models/refocus" in said
    assert {i.id: i for i in RefocusDepth.define_schema().inputs}["model"].options == ["none installed"]


def test_wrong_pictures_are_said(folder):
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
