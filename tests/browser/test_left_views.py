"""Before and after, fused / order / confidence, and the opening while its widgets change."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from rackfocus.dev.workflows.build import Flow
from rackfocus.pipelines.optical import fuse_stack
from rackfocus.pipelines.optics import SHAPES, aperture_mask
from rackfocus.tests.browser.graphs import depth
from rackfocus.tests.browser.seen import drawn, error, run_anew, says, seen
from rackfocus.tests.pictures import texture

W, H = 300, 200


RENDERER = "canvas"


@pytest.fixture
def bokeh(page):
    """BokehSynthesize of two pictures after a run: (its node, before, after) of the first."""
    flow = Flow(page.client.object_info())
    photo = Image.fromarray((255 * texture(H, W)[0].numpy()).round().astype(np.uint8))
    one = flow.node("LoadImage", image=page.client.upload(photo, "wipe.png"))
    two = flow.node("ImageBatch", image1=one["IMAGE"], image2=one["IMAGE"])
    far = flow.node("LoadImage", image=page.client.upload(depth(W, H), "wipe_depth.png"))
    lens = flow.node("RefocusLens", image=two["IMAGE"], depth=far["IMAGE"], strength=200.0)
    made = flow.node("BokehSynthesize", image=two["IMAGE"], defocus=lens["defocus"], quality="fast", highlights=1.0)
    shown = flow.node("PreviewImage", images=made["IMAGE"])
    one.at, far.at, two.at, lens.at = (-900, 0), (-900, 500), (-600, 0), (-300, 0)
    made.at, shown.at = (200, 0), (700, 0)
    page.load(flow.to_dict())
    run = run_anew(page)
    node = page.node("BokehSynthesize")
    page.show(node, 1.0, "picture")
    says(page, node, "The first of 2 pictures. Drag the edge.")
    left = run.outputs[node]["rackfocus"][0]
    files = (Image.open(io.BytesIO(page.client.fetch(left[name]))) for name in ("before", "after"))
    return node, *(np.asarray(file.convert("RGB"), np.float32) / 255 for file in files)


def test_the_edge_is_dragged_between_before_and_after(page, bokeh):
    node, before, after = bokeh
    assert error(before, after) > 0.01
    for edge in (0.25, 0.8):
        page.drag(page.part(node, "picture"), (0.5, 0.3), (edge, 0.3), W / H)
        drawn(page, node)
        shown, at = seen(page, node, W, H), round(edge * W)
        rows, left, right = slice(0, 70), slice(0, at - 8), slice(at + 8, W)  # above the arrows and the words
        assert is_like(shown[rows, left], before[rows, left], after[rows, left])
        assert is_like(shown[rows, right], after[rows, right], before[rows, right])
    for name, whole, other in (("before", before, after), ("after", after, before)):
        page.part(node, f"button-{name}").click()
        drawn(page, node)
        assert is_like(seen(page, node, W, H)[:150], whole[:150], other[:150])
    page.page.mouse.move(*page.point(page.part(node, "picture"), 0.5, 0.5, W / H))
    page.page.mouse.down()  # hold: the other
    drawn(page, node)
    assert is_like(seen(page, node, W, H)[:150], before[:150], after[:150])
    page.page.mouse.up()
    drawn(page, node)
    assert is_like(seen(page, node, W, H)[:150], after[:150], before[:150])


def is_like(shown, one, other):
    """Whether it is the one picture, and not the other."""
    return error(shown, one) < 0.5 * error(shown, other)


def test_a_fused_stack_has_three_tabs_and_a_click_tells_the_frame(page):
    sharp = (texture(H, W)[0] * 255).round() / 255
    frames = torch.full((3, H, W, 3), 128 / 255)
    frames[0, :, : W // 3], frames[1, :, W // 3 : 2 * W // 3] = sharp[:, : W // 3], sharp[:, W // 3 : 2 * W // 3]
    frames[2, :, 2 * W // 3 :] = sharp[:, 2 * W // 3 :]
    expected = fuse_stack(frames)
    flow = Flow(page.client.object_info())
    files = [Image.fromarray((255 * f.numpy()).round().astype(np.uint8)) for f in frames]
    loads = [flow.node("LoadImage", image=page.client.upload(f, f"tabs_{i}.png")) for i, f in enumerate(files)]
    pair = flow.node("ImageBatch", image1=loads[0]["IMAGE"], image2=loads[1]["IMAGE"])
    three = flow.node("ImageBatch", image1=pair["IMAGE"], image2=loads[2]["IMAGE"])
    fuse = flow.node("StackFuse", stack=three["IMAGE"])
    shown = flow.node("PreviewImage", images=fuse["IMAGE"])
    for i, node in enumerate((*loads, pair, three, fuse, shown)):
        node.at = (350 * i, 0)
    page.load(flow.to_dict())
    run_anew(page)
    node = page.node("StackFuse")
    page.show(node, 1.0, "picture")
    says(page, node, "Click: which frame")
    maps = {"fused": expected.image[0]}
    maps.update({name: getattr(expected, name)[0][..., None] for name in ("order", "confidence")})
    for name in maps:
        page.part(node, f"button-{name}").click()
        drawn(page, node)
        told = {k: error(seen(page, node, W, H), v.expand(H, W, 3)) for k, v in maps.items()}
        assert told[name] == min(told.values()) and told[name] < 0.75 * sorted(told.values())[1], (name, told)
    for x, frame in ((0.15, 1), (0.5, 2), (0.85, 3)):
        page.click(page.part(node, "picture"), x, 0.5, W / H)
        says(page, node, f"Sharp in frame {frame} of 3")
    assert len(page.prompts) == 1


@pytest.fixture
def aperture(page):
    flow = Flow(page.client.object_info())
    opening = flow.node("ApertureShapeMask")
    shown = flow.node("MaskPreview", mask=opening["aperture"])
    opening.at, shown.at = (0, 0), (600, 0)
    page.load(flow.to_dict())
    node = page.node("ApertureShapeMask")
    page.show(node, 1.0, "picture")
    says(page, node, "As seen from the front")
    return node


def shape_seen(page, node):
    """[64, 64]: the opening in the view."""
    drawn(page, node)
    return seen(page, node, 64, 64)[..., 0]


def small(mask):
    return torch.nn.functional.avg_pool2d(mask[None], 4)[0, 0].numpy()


def waits_for(page, node, mask):
    """Until the view shows this opening."""
    for _ in range(400):
        if error(shape_seen(page, node), small(mask)) < 0.01:
            return
    raise AssertionError("the view shows another opening")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_opening_is_drawn_while_its_widgets_change_by_the_nodes_own_function(page, aperture, shape):
    widgets = {
        "blades": 5,
        "roundness": 0.3,
        "rotation": 20,
        "squeeze": 1.6,
        "inner": 0.8,
        "offset": 0.7,
        "shape": shape,
    }
    page.assign(aperture, **widgets)
    waits_for(page, aperture, aperture_mask(**widgets))
    assert not page.prompts


def test_of_many_changes_the_newest_is_drawn_and_one_at_a_time_is_asked_for(page, aperture):
    open_, most = [], []

    def asked(request):
        if "/rackfocus/aperture" in request.url:
            open_.append(request)
            most.append(len(open_))

    def answered(request):
        if request in open_:
            open_.remove(request)

    page.page.on("request", asked)
    page.page.on("requestfinished", answered)
    try:
        for rotation in range(0, 91, 2):
            page.assign(aperture, shape="star", rotation=rotation)
        waits_for(page, aperture, aperture_mask(shape="star", rotation=90))
    finally:
        page.page.remove_listener("request", asked)
        page.page.remove_listener("requestfinished", answered)
    assert 1 <= len(most) <= 46 and max(most) == 1


def test_what_the_node_would_refuse_is_told(page, aperture):
    page.assign(aperture, blades=2)
    says(page, aperture, "blades is 2")
    page.assign(aperture, blades=6)
    waits_for(page, aperture, aperture_mask(blades=6))


def test_a_picture_as_the_opening_is_that_of_the_last_run(page):
    flow = Flow(page.client.object_info())
    white = Image.new("RGB", (90, 60), "white")
    load = flow.node("LoadImage", image=page.client.upload(white, "opening.png"))
    opening = flow.node("ApertureShapeMask", image=load["IMAGE"])
    shown = flow.node("MaskPreview", mask=opening["aperture"])
    load.at, opening.at, shown.at = (-500, 0), (0, 0), (600, 0)
    page.load(flow.to_dict())
    node = page.node("ApertureShapeMask")
    page.show(node, 1.0, "picture")
    says(page, node, "Run the workflow")
    run_anew(page)
    says(page, node, "As in the last run")
    made = shape_seen(page, node)
    assert made[32].min() > 0.95 and made[3].max() < 0.05  # a broad white bar
    assert not [path for _, path in page.requests if "/rackfocus/aperture" in path]
