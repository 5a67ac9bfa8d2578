"""RefocusPhoto: what an engine is asked, what becomes of its answer, and the optical engine beside its functions."""

import pytest
import torch

from rackfocus.nodes import photo, views
from rackfocus.nodes.host import Refocused, RefocusModel
from rackfocus.pipelines.optical import refocus, render_bokeh
from rackfocus.pipelines.optics import DefocusMap, defocus_from_disparity, from_1000
from rackfocus.tests.nodes.scenes import H, W, depth, half, image, run, same
from rackfocus.tests.pictures import random, texture

FOCUS = {"focus_x": 0.9, "focus_y": 0.5}
FAST = {"quality": "fast", "highlights": 1.0}


class Engine:
    """Stands for an engine on a model: notes what it is asked, and answers with a picture of one grey."""

    def __init__(self, **answer):
        self.asked, self.answer = [], answer

    def __call__(self, image, **asked):
        self.asked.append({"image": image, **asked})
        return Refocused(**{"image": 0 * image + 0.25, "defocus": None, "info": "toy: own weights", **self.answer})

    def model(self, finds_depth=False):
        return RefocusModel("genfocus", {"refocus": self}, finds_depth=finds_depth)


def refocused(engine, finds_depth=False, **given):
    return run("RefocusPhoto", **{"image": image, "keep": False, **FAST, **given}, model=engine.model(finds_depth))


def test_an_engine_is_asked_for_a_point_a_blur_and_the_disparity():
    engine = Engine()
    pictures = torch.cat([image(), 1 - image()])
    metres = 1 / depth()[:, ::2, ::2]
    made, defocus, overlay, info = refocused(engine, image=pictures, depth=metres, depth_kind="metres", **FOCUS)
    (asked,) = engine.asked
    assert asked["focus"] == (0.9, 0.5) and asked["blur"] == 60.0 and asked["aperture"] is None
    assert asked["depth"].shape == (2, H, W) and torch.equal(asked["image"], pictures)
    assert torch.allclose(asked["depth"][1], depth()[0], atol=0.05)
    assert set(asked) == {"image", "focus", "blur", "depth", "aperture"}  # nothing of the lens's own
    assert (made == 0.25).all() and made.shape == overlay.shape == (2, H, W, 3)
    lens = defocus_from_disparity(asked["depth"], asked["depth"][:, H // 2, round(0.9 * W)], from_1000(60.0, W))
    assert torch.allclose(defocus.radius, lens.radius, atol=0.2) and defocus.focus_point == (0.9, 0.5)
    assert info == "focus 0.9, 0.5; blur 60; depth map given\ntoy: own weights"


def test_finish_optical_photographs_what_the_model_made_sharp():
    sharp, own = texture(H, W), 1 - depth()
    for given, found in ({"depth": depth}, None), ({}, own):
        engine = Engine(image=sharp, disparity=found)
        args = {**FOCUS, "blur": 150.0, "finish": "optical", "aperture": half, **given}
        made, defocus, _, info = refocused(engine, finds_depth=found is not None, **args)
        (asked,) = engine.asked
        assert asked["blur"] == 0 and asked["aperture"] is None
        plane = depth() if found is None else own
        lens = defocus_from_disparity(plane, plane[:, H // 2, round(0.9 * W)], from_1000(150.0, W))
        assert torch.allclose(defocus.radius, lens.radius, atol=0.3)
        assert torch.equal(made, render_bokeh(sharp, defocus, aperture=half(), **FAST))
        assert "blur made by the optical engine" in info


def test_where_no_depth_is_known_the_map_is_the_engines_or_estimated():
    own = DefocusMap(torch.full((1, H, W), 3.0))
    assert same(refocused(Engine(defocus=own))[1], own)
    assert refocused(Engine())[1].max_radius == 0  # of a grey picture
    assert "no depth map given" in refocused(Engine())[3]


def test_what_does_not_change_is_kept_of_a_models_result():
    before = DefocusMap(torch.zeros(1, H, W))
    after = torch.zeros(1, H, W)
    after[:, :, W // 2 :] = 6.0
    made = refocused(Engine(defocus=DefocusMap(after), source=before), keep=True)[0]
    assert torch.equal(made[:, :, : W // 2 - 8], image()[:, :, : W // 2 - 8])
    assert (made[:, :, W // 2 + 8 :] == 0.25).all()
    assert (refocused(Engine(defocus=DefocusMap(after), source=before), keep=False)[0] == 0.25).all()


def test_the_optical_engine_is_its_function():
    pictures, maps = torch.cat([image(), texture(H, W)]), torch.cat([depth(), depth().flip(2)])
    given = {"image": pictures, "depth": maps, "blur": 120.0, "aperture": half, "keep": False, **FOCUS, **FAST}
    made, defocus, overlay, info = run("RefocusPhoto", **given)
    blur = from_1000(120.0, W)
    expected = refocus(pictures, maps, focus=(0.9, 0.5), blur=blur, aperture=half(), **FAST)
    assert same(made, expected.image) and same(defocus, expected.defocus)
    assert overlay.shape == made.shape == (2, H, W, 3)
    assert info.endswith("\noptical: no weights; " + expected.describe())
    assert same(run("RefocusPhoto", **given, model=run("LoadRefocusModel")[0])[0], made)


def test_of_a_sharp_picture_it_is_the_lens_and_the_bokeh():
    lens = run("RefocusLens", depth=depth, image=image, strength=120.0, **FOCUS)[0]
    bokeh = run("BokehSynthesize", image=image, defocus=lens, **FAST)[0]
    made = run("RefocusPhoto", image=image, depth=depth, blur=120.0, keep=False, **FOCUS, **FAST)
    assert same(made[1], lens) and same(made[0], bokeh)


def test_blur_0_needs_no_depth():
    made, defocus, _, info = run("RefocusPhoto", image=image, blur=0.0)
    assert same(made, image()) and defocus.max_radius == 0
    assert info.startswith("focus 0.5, 0.5; blur 0 (everything in focus); no depth map given\n")


@pytest.mark.parametrize("size", [(1, 1), (33, 47), (48, 65)])
def test_odd_sizes(size):
    made, defocus, overlay, _ = run("RefocusPhoto", image=random(2, *size, 3), depth=random(1, 9, 14), **FAST)
    assert made.shape == overlay.shape == (2, *size, 3) and defocus.radius.shape == (2, *size)


def test_what_is_left_for_the_page(monkeypatch, tmp_path):
    monkeypatch.setattr(views, "running_server", lambda: True)
    monkeypatch.setattr(views.folder_paths, "get_temp_directory", lambda: str(tmp_path))

    def left(**given):
        values = {i.id: i.default for i in photo.RefocusPhoto.GET_SCHEMA().inputs if hasattr(i, "default")}
        values = {k: v for k, v in values.items() if v is not None}
        return photo.RefocusPhoto.execute(**{**values, "image": image(), **FAST, **given}).ui["rackfocus"][0]

    one = left(depth=depth())
    assert one["depth_kind"] == "auto" and one["kind"] == "disparity" and one["width"] == W and one["of"] == 1
    assert {one[name]["width"] for name in ("picture", "plane", "after")} == {W}
    assert one["picture"]["filename"] != one["after"]["filename"]
    assert left(blur=0.0)["plane"] is None
    own = left(model=Engine(disparity=depth()).model())
    assert own["depth_kind"] is None and own["plane"]["filename"] == one["plane"]["filename"]
