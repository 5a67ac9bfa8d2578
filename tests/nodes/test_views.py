"""What RefocusLens leaves behind for the page: picture, depth in 16 bits, and where it would focus by itself."""

import asyncio
import json
import os
from types import SimpleNamespace

import folder_paths
import numpy as np
import pytest
import torch
from PIL import Image

from rackfocus.nodes import routes, views
from rackfocus.pipelines.optics import focus_at_mask, focus_automatic, resize_depth, to_disparity
from rackfocus.tests.nodes.scenes import BY_ID, corner, depth, image
from rackfocus.tests.pictures import random

DEFAULTS = {
    i.id: i.default for i in BY_ID["RefocusLens"].GET_SCHEMA().inputs if getattr(i, "default", None) is not None
}


@pytest.fixture
def page(monkeypatch):
    """A server runs, so that a page may look."""
    monkeypatch.setattr(views, "running_server", lambda: object())


def left(**inputs):
    ui = BY_ID["RefocusLens"].execute(**{**DEFAULTS, **inputs}).ui
    return None if ui is None else ui["rackfocus"][0]


def pixels(entry):
    path = os.path.join(folder_paths.get_temp_directory(), entry["filename"])
    return np.asarray(Image.open(path).convert("RGB")).astype(np.int64)


def plane_of(entry):
    """The numbers of a plane's file, as the page reads them."""
    red, green, blue = np.moveaxis(pixels(entry), -1, 0)
    assert not blue.any()
    return entry["low"] + (entry["high"] - entry["low"]) * (256 * red + green) / 65535


def test_without_a_server_nothing_is_left():
    assert left(depth=depth()) is None
    assert not os.listdir(folder_paths.get_temp_directory())


def test_the_picture_and_the_depth_are_left_exactly(page):
    seen = left(depth=depth(), image=image())
    assert (pixels(seen["picture"]) == (image()[0].numpy() * 255).round()).all()
    assert np.abs(plane_of(seen["plane"]) - depth()[0].numpy()).max() < 1e-4
    assert (seen["kind"], seen["depth_kind"], seen["width"]) == ("disparity", "auto", 64)
    assert seen["automatic"] == pytest.approx(float(focus_automatic(depth())), abs=1e-6)
    assert seen["mask"] is None


def test_metres_are_left_as_disparity_and_an_inverted_map_as_it_is(page):
    metres = 1 / depth()
    seen = left(depth=metres, image=image())
    assert seen["kind"] == "inverse_metres"
    assert np.abs(plane_of(seen["plane"]) - depth()[0].numpy()).max() < 1e-4
    seen = left(depth=depth(), depth_kind="inverted")
    assert seen["kind"] == "inverted"
    assert np.abs(plane_of(seen["plane"]) - depth()[0].numpy()).max() < 1e-4


def test_a_mask_says_where_it_would_focus(page):
    seen = left(depth=depth(), image=image(), focus_mask=corner())
    assert seen["mask"] == pytest.approx(float(focus_at_mask(depth(), corner())), abs=1e-6)


def test_the_light_that_clipped_lamps_lost_is_left_beside_the_depth(page):
    """A lamp of 12 times white in the hue of its rim; nothing elsewhere, and no file where nothing clips."""
    lamp = torch.full((1, 48, 64, 3), 0.1)
    lamp[:, 19:23, 29:33] = torch.tensor([0.4, 0.2, 0.1])
    lamp[:, 20:22, 30:32] = 1.0
    seen = left(depth=depth(), image=lamp)
    lost = (pixels(seen["shine"]) / 255) ** 2 * seen["shine"]["gain"]
    assert lost[20:22, 30:32, 0] == pytest.approx(11.0, rel=0.02)
    assert (lost[20:22, 30:32, 1] < 4).all() and lost.sum() == lost[20:22, 30:32].sum()
    assert np.abs(plane_of(seen["plane"]) - depth()[0].numpy()).max() < 1e-4
    assert left(depth=depth(), image=0.9 * lamp)["shine"] is None


def test_a_large_picture_is_left_small_and_its_depth_unmixed(page):
    wide = random(1, 700, 2100, 3)
    two = torch.full((1, 700, 2100), 0.2)
    two[:, :, 1001:] = 0.9
    seen = left(depth=two, image=wide)
    assert (seen["picture"]["width"], seen["picture"]["height"], seen["width"]) == (1024, 341, 2100)
    plane = plane_of(seen["plane"])
    assert plane.shape == (341, 1024)
    assert set(np.unique(plane.round(3))) == {0.2, 0.9}
    mean = torch.nn.functional.interpolate(wide.permute(0, 3, 1, 2), (341, 1024), mode="area")[0].permute(1, 2, 0)
    assert (torch.from_numpy(pixels(seen["picture"]) / 255) - mean).abs().mean() < 0.04


def test_one_speck_does_not_cost_the_others_their_digits(page):
    metres = torch.linspace(1, 5, 120)[None, None].repeat(1, 80, 1)
    metres[0, 3, 7] = 1e-6
    plane = plane_of(left(depth=metres, depth_kind="metres")["plane"])
    expected = to_disparity(metres, "metres")[0].numpy()
    expected[3, 7] = plane[3, 7]
    assert np.abs(plane - expected).max() < 1e-4
    assert plane[3, 7] == plane.max()


def test_a_run_that_changes_nothing_writes_nothing(page):
    left(depth=depth(), image=image())
    files = set(os.listdir(folder_paths.get_temp_directory()))
    left(depth=depth(), image=image(), strength=90.0)
    assert set(os.listdir(folder_paths.get_temp_directory())) == files and len(files) == 3


def test_outputs_are_those_without_a_page(monkeypatch):
    without = BY_ID["RefocusLens"].execute(**{**DEFAULTS, "depth": depth(), "image": image()})
    monkeypatch.setattr(views, "running_server", lambda: object())
    seen = BY_ID["RefocusLens"].execute(**{**DEFAULTS, "depth": depth(), "image": image()})
    assert torch.equal(without.args[0].radius, seen.args[0].radius) and torch.equal(without.args[1], seen.args[1])


def test_the_sample_is_there_before_anything_ran():
    seen, photo = (
        json.loads(asyncio.run(routes.sample_scene(SimpleNamespace(query=query))).text)
        for query in ({}, {"output": "photo"})
    )
    assert photo["picture"]["filename"] != seen["picture"]["filename"], "the photo has a focus of its own"
    assert (photo["picture"]["width"], photo["width"]) == (576, 576)
    assert (seen["picture"]["width"], seen["picture"]["height"]) == (768, 512)
    assert plane_of(seen["plane"]).max() == pytest.approx(1.0, abs=0.02)
    assert 0.002 < pixels(seen["shine"]).any(-1).mean() < 0.02  # its fairy lights


def test_maps_of_another_size_fit_the_picture(page):
    seen = left(depth=resize_depth(depth(), 24, 32), image=image())
    assert (seen["plane"]["width"], seen["plane"]["height"]) == (64, 48)
