"""What BokehSynthesize, DeblurAiF, StackFuse and ApertureShapeMask leave behind for the page."""

import os

import folder_paths
import numpy as np
import pytest
import torch
from PIL import Image

from rackfocus.nodes import views
from rackfocus.pipelines.optics import DefocusMap
from rackfocus.tests.nodes.scenes import BASE, BY_ID, run, two_halves
from rackfocus.tests.pictures import random, texture

H, W = 37, 53


@pytest.fixture
def page(monkeypatch):
    """A server runs, so that a page may look."""
    monkeypatch.setattr(views, "running_server", lambda: object())


def executed(node_id, **inputs):
    """(outputs, what is left behind, the whole ui message)."""
    node = BY_ID[node_id]
    values = {i.id: i.default for i in node.GET_SCHEMA().inputs if getattr(i, "default", None) is not None}
    values.update((name, value() if callable(value) else value) for name, value in inputs.items())
    made = node.execute(**values)
    return made.args, None if made.ui is None else made.ui.get("rackfocus", [None])[0], made.ui


def seen(entry):
    with Image.open(os.path.join(folder_paths.get_temp_directory(), entry["filename"])) as file:
        return np.asarray(file.convert("RGB")).astype(int)


def shown(picture):
    return (picture.numpy() * 255).round().astype(int)


def test_bokeh_leaves_the_first_picture_before_and_after(page):
    image = torch.cat([texture(H, W), texture(H, W, seed=1)])
    defocus = DefocusMap(torch.full((1, H, W), 4.0))
    (made,), left, _ = executed("BokehSynthesize", image=image, defocus=defocus, quality="fast")
    assert left["of"] == 2
    assert (seen(left["before"]) == shown(image[0])).all() and (seen(left["after"]) == shown(made[0])).all()


def test_an_animation_of_one_picture_counts_its_frames(page):
    defocus = DefocusMap(torch.stack([torch.full((H, W), r) for r in (0.0, 3.0, 6.0)]))
    (made,), left, _ = executed("BokehSynthesize", image=texture(H, W), defocus=defocus, quality="fast")
    assert left["of"] == len(made) == 3 and (seen(left["after"]) == shown(made[0])).all()


def test_deblurring_leaves_the_first_picture_before_and_after(page):
    image = texture(H, W)
    (made, _), left, _ = executed("DeblurAiF", image=image, defocus=DefocusMap(torch.full((1, H, W), 1.5)))
    assert left["of"] == 1
    assert (seen(left["before"]) == shown(image[0])).all() and (seen(left["after"]) == shown(made[0])).all()


def test_fusing_leaves_picture_order_and_confidence(page):
    (fused, order, confidence), left, _ = executed("StackFuse", stack=two_halves())
    assert left["frames"] == 3
    assert (seen(left["fused"]) == shown(fused[0])).all()
    for name, mask in (("order", order), ("confidence", confidence)):
        assert (seen(left[name]) == shown(mask[0])[..., None]).all(), name


def test_an_opening_leaves_the_hosts_own_preview_of_it(page):
    _, left, ui = executed("ApertureShapeMask", shape="heart")
    assert left["mask"] == dict(ui["images"][0]) and seen(left["mask"]).shape == (256, 256, 3)
    assert set(ui) == {"images", "animated", "rackfocus"}


@pytest.mark.parametrize("node_id", ["BokehSynthesize", "DeblurAiF", "StackFuse", "SelectFocusFrame"])
def test_what_is_left_is_small_and_changes_no_output(node_id, page, monkeypatch):
    given = {name: value() if callable(value) else value for name, value in BASE[node_id].items()}
    outputs, left, _ = executed(node_id, **given)
    monkeypatch.setattr(views, "running_server", lambda: None)
    without, nothing, _ = executed(node_id, **given)
    assert left and nothing is None
    for a, b in zip(outputs, without, strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else isinstance(a, DefocusMap) or a == b


def test_a_large_picture_is_left_small(page):
    image = random(1, 30, 3000, 3)
    defocus = DefocusMap(torch.zeros(1, 30, 3000))
    _, left, _ = executed("BokehSynthesize", image=image, defocus=defocus, quality="fast")
    assert (left["before"]["width"], left["before"]["height"]) == (1024, 10)


def test_without_a_server_an_opening_has_its_preview_alone():
    _, left, ui = executed("ApertureShapeMask")
    assert left is None and set(ui) == {"images", "animated"}
    assert run("ApertureShapeMask")[0].shape == (1, 256, 256)
