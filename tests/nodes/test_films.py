"""What RefocusRack leaves behind for its view: a still at full, of a clip some frames on one sheet; nothing unseen."""

import itertools
import os

import folder_paths
import numpy as np
import pytest
import torch
from PIL import Image

from rackfocus.nodes import views
from rackfocus.nodes.films import MOST_FRAMES, MOST_PIXELS, MOST_SIDE, cell_size, frames_shown
from rackfocus.nodes.lens import RefocusRack
from rackfocus.pipelines.optics import to_disparity
from rackfocus.tests.pictures import ramp, random, stripes

H, W = 37, 53
USUAL = {"keyframes": "0: 0.3, 0.6\n1: 0.8, 0.4", "frames": 0, "easing": "linear", "strength": 30.0}
USUAL |= {"scene_near": 1.0, "scene_far": 10.0, "near_factor": 1.0, "far_factor": 1.0, "in_focus_range": 0.0}


@pytest.fixture(autouse=True)
def seen(monkeypatch):
    """As if a page could look."""
    monkeypatch.setattr(views, "running_server", lambda: object())


def left(depth, kind="disparity", image=None, **changes):
    """The entry that a run leaves behind."""
    (entry,) = RefocusRack.execute(depth, kind, image=image, **{**USUAL, **changes}).ui["rackfocus"]
    return entry


def pixels(entry):
    path = os.path.join(folder_paths.get_temp_directory(), entry["filename"])
    made = np.asarray(Image.open(path)).astype(float)
    assert made.shape == (entry["height"], entry["width"], 3)
    return torch.from_numpy(made)


def values(entry):
    """A plane, as the page decodes it."""
    red, green, _ = pixels(entry).unbind(-1)
    return entry["low"] + (entry["high"] - entry["low"]) * (256 * red + green) / 65535


def cells(sheet, entry):
    """The frames of a sheet, as the page cuts them."""
    columns, rows = entry["columns"], -(-entry["cells"] // entry["columns"])
    h, w = entry["height"] // rows, entry["width"] // columns
    assert (h * rows, w * columns) == (entry["height"], entry["width"])
    at = [divmod(i, columns) for i in range(entry["cells"])]
    return [sheet[r * h : (r + 1) * h, c * w : (c + 1) * w] for r, c in at]


def test_a_still_is_left_as_it_is():
    picture, depth = random(1, H, W, 3), random(1, H, W)
    entry = left(depth, image=picture)
    assert (entry["at"], entry["clip"], entry["kind"], entry["depth_kind"]) == ([0], 0, "disparity", "disparity")
    assert (pixels(entry["picture"]) / 255 - picture[0]).abs().max() < 0.51 / 255
    assert (values(entry["plane"]) - depth[0]).abs().max() < 1e-4
    assert "cells" not in entry["picture"] and "cells" not in entry["plane"]


def test_a_clip_is_left_as_a_sheet_of_its_frames():
    picture, depth = random(7, H, W, 3), random(7, H, W, seed=3)
    entry = left(depth, image=picture)
    assert (entry["at"], entry["clip"]) == ([0, 1, 2, 3, 4, 5, 6], 7)
    for i, (seen, plane) in enumerate(
        zip(
            cells(pixels(entry["picture"]), entry["picture"]),
            cells(values(entry["plane"]), entry["plane"]),
            strict=True,
        )
    ):
        assert (seen / 255 - picture[i]).abs().max() < 0.51 / 255
        assert (plane - depth[i]).abs().max() < 1e-4


@pytest.mark.parametrize("pictures, maps", [(5, 1), (1, 5)])
def test_a_clip_over_a_still_and_a_still_over_a_clip(pictures, maps):
    entry = left(random(maps, H, W), image=random(pictures, H, W, 3))
    assert (entry["clip"], "cells" in entry["picture"], "cells" in entry["plane"]) == (5, pictures > 1, maps > 1)
    assert entry["at"] == [0, 1, 2, 3, 4]


def test_a_long_clip_leaves_few_and_small_frames():
    """Told apart by their grey: frame i of 200 is i / 200."""
    count = 200
    grey = (torch.arange(count) / count)[:, None, None]
    picture = grey[..., None].expand(count, 60, 1000, 3)
    entry = left(grey.expand(count, 20, 30) + 0.01, image=picture)
    assert entry["clip"] == count and entry["at"] == frames_shown(count)
    assert len(entry["at"]) == MOST_FRAMES and (entry["at"][0], entry["at"][-1]) == (0, count - 1)
    for film, made, offset in (
        (entry["picture"], pixels(entry["picture"]) / 255, 0),
        (entry["plane"], values(entry["plane"]), 0.01),
    ):
        shown = cells(made, film)
        assert [float(s.mean()) for s in shown] == pytest.approx([i / count + offset for i in entry["at"]], abs=0.003)
        assert max(shown[0].shape[:2]) == MOST_SIDE and film["width"] * film["height"] <= 1.1 * MOST_PIXELS


@pytest.mark.parametrize("count", [1, 2, 47, 48, 49, 1000, 9999])
def test_frames_are_spread_evenly_from_the_first_to_the_last(count):
    at = frames_shown(count)
    steps = {b - a for a, b in itertools.pairwise(at)}
    assert len(at) == min(count, MOST_FRAMES) and (at[0], at[-1]) == (0, count - 1)
    assert not steps or max(steps) - min(steps) <= 1


@pytest.mark.parametrize("height, width", [(2160, 3840), (4000, 3000), (37, 53), (10, 9000), (9000, 10), (1, 1)])
@pytest.mark.parametrize("count", [2, 48])
def test_a_sheet_is_bounded(height, width, count):
    h, w = cell_size(height, width, count)
    assert 1 <= max(h, w) <= MOST_SIDE and h <= height and w <= width
    assert h * w * count <= 1.02 * MOST_PIXELS + count * max(h, w)


def test_metres_are_left_as_disparity():
    metres = stripes(H, W, 2.0, 8.0)
    for depth, kind in ((metres, "metres"), (metres, "auto"), (1 / metres, "inverse_metres")):
        entry = left(depth, kind)
        assert (entry["kind"], entry["depth_kind"]) == ("inverse_metres", kind)
        assert (values(entry["plane"]) - to_disparity(metres, "metres")[0]).abs().max() < 1e-4


def test_auto_is_one_kind_for_the_whole_clip():
    """One frame alone looks like a relative map."""
    metres = torch.cat([stripes(H, W, 0.5, 0.8), stripes(H, W, 2.0, 8.0)])
    entry = left(metres, "auto", keyframes="0: 2m")
    shown = cells(values(entry["plane"]), entry["plane"])
    assert entry["kind"] == "inverse_metres"
    assert (shown[0] - 1 / metres[0]).abs().max() < 1e-3 > (shown[1] - 1 / metres[1]).abs().max()


def test_an_inverted_map_keeps_its_kind():
    entry = left(ramp(H, W), "inverted")
    assert entry["kind"] == "inverted" and (values(entry["plane"]) - ramp(H, W)[0]).abs().max() < 1e-4


@pytest.mark.parametrize("frames", [1, 3])
def test_without_a_picture_the_depth_is_shown_in_grey(frames):
    """Near is white, on one scale for all frames."""
    depth = torch.cat([ramp(H, 600, 0.1 * i, 0.5 + 0.1 * i) for i in range(frames)])
    entry = left(depth)
    shown = pixels(entry["picture"]) / 255
    seen = cells(shown, entry["picture"]) if frames > 1 else [shown]
    means = [float(s.mean()) for s in seen]
    assert len(seen) == frames and means == sorted(means) and len(set(means)) == frames
    assert all(s[:, -10:].mean() > s[:, :10].mean() + 0.4 for s in seen)


def test_a_map_as_a_mask_and_in_colours_of_jpeg():
    grey = ramp(H, W)[0]
    speckled = grey[None, :, :, None] + torch.tensor([0.08, 0.0, 0.0])
    speckled[:, 1:] = grey[None, 1:, :, None]
    for depth in (grey, speckled):
        assert left(depth)["kind"] == "disparity"


def test_a_run_that_changes_nothing_writes_nothing():
    picture, depth = random(3, H, W, 3), random(3, H, W)
    first = left(depth, image=picture)
    folder = folder_paths.get_temp_directory()
    before = {name: os.stat(os.path.join(folder, name)).st_mtime_ns for name in os.listdir(folder)}
    assert left(depth, image=picture, strength=60.0) == first and len(before) == 2
    assert before == {name: os.stat(os.path.join(folder, name)).st_mtime_ns for name in os.listdir(folder)}


def test_nobody_looks_and_nothing_is_written(monkeypatch):
    monkeypatch.setattr(views, "running_server", lambda: None)
    assert RefocusRack.execute(random(1, H, W), "disparity", **USUAL).ui is None
    assert os.listdir(folder_paths.get_temp_directory()) == []
