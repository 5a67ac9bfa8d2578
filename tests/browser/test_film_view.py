"""The film of FocalStackGenerate and SelectFocusFrame: it scrubs without a run, a click finds what is sharp."""

from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from rackfocus.dev.workflows.build import Flow
from rackfocus.pipelines.optical import render_stack, stack_disparities
from rackfocus.pipelines.optical.focal_stack import sharpest_position
from rackfocus.tests.browser.seen import drawn, error, run_anew, says, seen
from rackfocus.tests.pictures import ramp, texture

W, H, FRAMES, STRENGTH = 180, 120, 30, 130.0
RENDERER = "canvas"
PLACES = [(0.15, 0.3), (0.52, 0.7), (0.9, 0.45)]


@cache
def photo():
    """(picture, disparity) in 8 bits, near at the right."""
    return tuple((255 * t).round() / 255 for t in (texture(H, W), ramp(H, W)))


@cache
def stack():
    """The frames that FocalStackGenerate makes of it."""
    image, depth = photo()
    planes = stack_disparities(depth, FRAMES)
    return render_stack(image, depth, planes, STRENGTH * W / 1000, quality="fast", highlights=1)


def as_file(picture):
    array = (255 * picture[0].numpy()).round().astype(np.uint8)
    return Image.fromarray(array if array.ndim == 3 else np.repeat(array[..., None], 3, -1))


def flow(client, images=1, frames=FRAMES):
    """Load Image -> FocalStackGenerate -> SelectFocusFrame -> PreviewImage."""
    made, (image, depth) = Flow(client.object_info()), photo()
    picture = made.node("LoadImage", image=client.upload(as_file(image), "film_picture.png"))
    far = made.node("LoadImage", image=client.upload(as_file(depth), "film_depth.png"))
    given = picture["IMAGE"]
    for _ in range(images - 1):
        given = made.node("ImageBatch", image1=given, image2=picture["IMAGE"])["IMAGE"]
    generate = made.node(
        "FocalStackGenerate", image=given, depth=far["IMAGE"], frames=frames, strength=STRENGTH, highlights=1.0
    )
    select = made.node("SelectFocusFrame", stack=generate["stack"])
    shown = made.node("PreviewImage", images=select["IMAGE"])
    picture.at, far.at, generate.at, select.at, shown.at = (-500, 0), (-500, 500), (0, 0), (500, 0), (1000, 0)
    return made.to_dict()


@pytest.fixture
def select(page):
    """SelectFocusFrame after a run, in the middle; what the page asked for is counted from here on."""
    page.load(flow(page.client))
    run_anew(page)
    node = page.node("SelectFocusFrame")
    page.show(node, 1.0, "picture")
    says(page, node, f"of {FRAMES}")
    page.prompts.clear()
    page.requests.clear()
    return node


def frame_seen(page, node):
    """The number of the frame that looks most like what the view shows."""
    drawn(page, node)
    shown = torch.from_numpy(seen(page, node, W, H))
    return int((stack() - shown).abs().mean((1, 2, 3)).argmin())


def test_every_frame_scrubs_into_view_and_nothing_is_queued(page, select):
    page.click(page.part(select, "picture"), 0.5, 0.5, W / H)
    page.page.keyboard.press("Home")
    for i in range(FRAMES):
        says(page, select, f"Frame {i + 1} of {FRAMES}")
        page.until(select, position=i / (FRAMES - 1), select_by="position")
        if i in (0, 11, 20, FRAMES - 1):
            assert frame_seen(page, select) == i
        page.page.keyboard.press("ArrowRight")
    page.drag(page.part(select, "picture"), (0.9, 0.5), (0.4, 0.5), W / H)
    page.until(select, position=0.5)
    page.undo()  # a drag is one step
    page.until(select, position=1.0)
    says(page, select, f"Frame {FRAMES} of {FRAMES}")
    page.page.mouse.move(*page.point(page.part(select, "picture"), 0.5, 0.5, W / H))
    page.part(select, "picture").focus()
    page.page.mouse.wheel(0, 100)
    says(page, select, f"Frame {FRAMES - 1} of {FRAMES}")
    page.click(page.part(select, "strip"), 0.5, 0.5)
    page.until(select, position=0.5)
    assert not page.prompts and not [path for method, path in page.requests if method == "POST" and "prompt" in path]


def test_a_blend_is_seen_as_the_node_blends(page):
    page.load(flow(page.client, frames=2))
    run_anew(page)
    node = page.node("SelectFocusFrame")
    page.assign(node, position=0.4, blend=True)
    page.show(node, 1.0, "picture")
    says(page, node, "Frame 1 of 2")
    drawn(page, node)
    near, far, shown = stack()[0], stack()[-1], seen(page, node, W, H)
    told = {share: error(shown, torch.lerp(near, far, share)) for share in (0.0, 0.2, 0.4, 0.6, 1.0)}
    assert min(told, key=told.get) == 0.4, told


def test_a_click_chooses_the_frame_that_is_sharpest_there(page, select):
    for x, y in PLACES:
        page.click(page.part(select, "picture"), x, y, W / H)
        expected = sharpest_position(stack(), x, y)
        says(page, select, f"Frame {round(expected * (FRAMES - 1)) + 1} of {FRAMES}")
        page.until(select, select_by="position", position=expected)
    page.undo()
    page.until(select, position=sharpest_position(stack(), *PLACES[1]))
    says(page, select, f"of {FRAMES}")  # the node that undo made anew has its film
    page.assign(select, select_by="point", position=0.123)
    for x, y in PLACES:
        page.click(page.part(select, "picture"), x, y, W / H)
        page.until(select, select_by="point", focus_x=x, focus_y=y, position=0.123)
        says(page, select, f"Frame {round(sharpest_position(stack(), x, y) * (FRAMES - 1)) + 1} of {FRAMES}")
    assert not page.prompts


def test_a_fresh_node_shows_the_film_of_the_node_before_and_that_scrubs_by_itself(page, select):
    page.add_in_place_of("SelectFocusFrame")
    fresh, generate = page.node("SelectFocusFrame"), page.node("FocalStackGenerate")
    assert fresh != select
    page.show(fresh, 1.0, "picture")
    says(page, fresh, f"of {FRAMES}")
    page.show(generate, 1.0, "picture")
    before = page.values(generate)
    x, y = PLACES[2]
    page.click(page.part(generate, "picture"), x, y, W / H)
    frame = round(sharpest_position(stack(), x, y) * (FRAMES - 1))
    says(page, generate, f"Frame {frame + 1} of {FRAMES}")
    assert abs(frame_seen(page, generate) - frame) <= 1
    assert page.values(generate) == before and not page.prompts


def test_of_several_stacks_the_first_is_shown_and_it_says_so(page):
    page.load(flow(page.client, images=2, frames=2))
    run_anew(page)
    for kind in ("FocalStackGenerate", "SelectFocusFrame"):
        node = page.node(kind)
        page.show(node, 1.0, "picture")
        says(page, node, "The first of 2 stacks. Frame 2 of 2")
