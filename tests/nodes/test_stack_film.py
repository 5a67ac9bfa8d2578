"""What the nodes of a focal stack leave behind for the page: the film and the map of where it is sharp."""

import os

import folder_paths
import numpy as np
import pytest
import torch
from PIL import Image

from rackfocus.nodes import stack_film as film
from rackfocus.nodes import views
from rackfocus.pipelines.optical.focal_stack import sharpest_map
from rackfocus.tests.nodes.scenes import BY_ID, depth, image, run
from rackfocus.tests.pictures import psnr, random, texture


@pytest.fixture
def page(monkeypatch):
    """A server runs, so that a page may look."""
    monkeypatch.setattr(views, "running_server", lambda: object())


def pixels(entry):
    path = os.path.join(folder_paths.get_temp_directory(), entry["filename"])
    with Image.open(path) as file:
        assert file.size == (entry["width"], entry["height"])
        return torch.from_numpy(np.asarray(file.convert("RGB")).astype(np.float32))


def frame_of(made, i):
    """The frame of a film that a page would draw."""
    row, column = divmod(i, made["columns"])
    y, x = row * made["height"], column * made["width"]
    return pixels(made["sheet"])[y : y + made["height"], x : x + made["width"]] / 255


def positions_of(made):
    red, green, blue = pixels(made["map"]).movedim(-1, 0)
    assert not blue.any() and (made["map"]["low"], made["map"]["high"]) == (0.0, 1.0)
    return (256 * red + green) / 65535


def left(node_id, **inputs):
    node = BY_ID[node_id]
    values = {i.id: i.default for i in node.GET_SCHEMA().inputs if getattr(i, "default", None) is not None}
    ui = node.execute(**{**values, **inputs}).ui
    return None if ui is None else ui["rackfocus"][0]


def test_the_frames_lie_in_the_sheet_in_their_order_and_the_map_is_exact():
    stack = torch.cat([texture(37, 53, seed=i) for i in range(5)])
    made = film.film_of(stack)
    assert {k: made[k] for k in ("frames", "kept", "columns", "width", "height")} == {
        "frames": 5, "kept": 5, "columns": 5, "width": 53, "height": 37,
    }  # fmt: skip
    told = [[psnr(frame_of(made, i), stack[j]) for j in range(5)] for i in range(5)]
    assert all((told[i][j] > 30) == (i == j) for i in range(5) for j in range(5))
    assert torch.allclose(positions_of(made), sharpest_map(stack), atol=1e-5)


def test_a_cell_alone_keeps_its_frame():
    """In 16 bits of a depth, specks lose theirs to the others."""
    stack = torch.full((3, 96, 96, 3), 0.5)
    stack[1] += 0.01 * (random(96, 96, 3) - 0.5)
    stack[2, 50, 40] = 1.0
    made = positions_of(film.film_of(stack))
    assert torch.allclose(made, sharpest_map(stack), atol=1e-5)
    assert (made > 0.99).sum() == 81 and made.median() == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("n, h, w", [(30, 30, 900), (100, 400, 300), (250, 20, 10), (2, 900, 1300)])
def test_a_film_is_bounded(n, h, w):
    stack = torch.linspace(0, 1, n)[:, None, None, None].expand(n, h, w, 3)
    made = film.film_of(stack)
    sheet = made["sheet"]
    assert made["frames"] == n and made["kept"] == min(n, 100)
    assert max(made["height"], made["width"]) <= min(640, max(h, w))
    assert sheet["width"] * sheet["height"] <= 1.1 * film.PIXELS and sheet["width"] <= 4096
    assert made["width"] / made["height"] == pytest.approx(w / h, rel=0.06)
    ends = frame_of(made, 0).mean(), frame_of(made, made["kept"] - 1).mean()
    assert ends == pytest.approx((0, 1), abs=0.02)


def test_a_stack_has_one_film_wherever_it_goes_until_it_is_gone(monkeypatch, page):
    stack = texture(37, 53).repeat(3, 1, 1, 1)
    made = left("SelectFocusFrame", stack=stack)
    with monkeypatch.context() as patch:
        patch.setattr(film, "sharpest_map", None)  # not made again
        assert left("SelectFocusFrame", stack=stack, position=0.9) == made
    os.remove(os.path.join(folder_paths.get_temp_directory(), made["film"]["sheet"]["filename"]))
    assert left("SelectFocusFrame", stack=stack) == made and pixels(made["film"]["sheet"]).any()
    before = len(film._known)
    del stack
    assert len(film._known) == before - 1


def test_select_focus_frame_finds_the_film_of_focal_stack_generate(monkeypatch, page):
    given = {"image": image(), "depth": depth(), "frames": 3, "strength": 200.0}
    stacks = run("FocalStackGenerate", **given)[0]
    made = film.film_of(stacks[0])
    monkeypatch.setattr(film, "sharpest_map", None)
    assert left("SelectFocusFrame", stack=stacks[0])["film"] == made and made["frames"] == 3


def test_of_several_stacks_the_first_is_left_and_their_number(page):
    batch = torch.cat([texture(37, 53), texture(37, 53, seed=1)])
    seen = left("FocalStackGenerate", image=batch, depth=random(1, 37, 53), frames=2, strength=200.0)
    assert seen["of"] == 2
    assert psnr(frame_of(seen["film"], 0), batch[0]) > psnr(frame_of(seen["film"], 0), batch[1]) + 3


def test_alpha_and_half_precision_are_no_hindrance(page):
    stack = random(3, 37, 53, 4)
    made = left("SelectFocusFrame", stack=stack.half())["film"]
    assert torch.allclose(positions_of(made), sharpest_map(stack.half().float()[..., :3]), atol=1e-5)


def test_without_a_server_nothing_is_left():
    assert left("SelectFocusFrame", stack=random(3, 37, 53, 3)) is None
    assert not os.listdir(folder_paths.get_temp_directory())


def test_a_full_disk_costs_the_film_and_not_the_run(monkeypatch, page, caplog):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert left("SelectFocusFrame", stack=random(3, 37, 53, 3)) is None
    assert "No space left" in caplog.text
