"""The view of RefocusPhoto: the manners of RefocusLens's, the result beside it, a depth only where there is one."""

import io

import numpy as np
import pytest
from PIL import Image

from rackfocus.dev.workflows.build import Flow
from rackfocus.tests.browser.graphs import ASPECTS, LENS, depth, picture
from rackfocus.tests.browser.seen import drawn, error, run_anew, says, seen

RENDERER = "canvas"  # FocusView, of which this is one, is tried in both
SIZE = ASPECTS["wide"]
RATIO = SIZE[0] / SIZE[1]
MARK = {"focus_x": 0.437, "focus_y": 0.561}
HANDS = "Click: focus. Wheel or Shift + drag: blur."


def photo_flow(client, with_depth=True, **widgets):
    flow = Flow(client.object_info())
    image = flow.node("LoadImage", image=client.upload(picture(*SIZE), "view_photo.png"))
    image.at = (-700, 0)
    given = {"image": image["IMAGE"], "quality": "fast", **widgets}
    if with_depth:
        far = flow.node("LoadImage", image=client.upload(depth(*SIZE), "view_photo_depth.png"))
        far.at, given["depth"] = (-700, 500), far["IMAGE"]
    node = flow.node("RefocusPhoto", **given)
    node.at, node.size = (0, 0), LENS
    return flow.to_dict()


def opened(page, **given):
    page.load(photo_flow(page.client, **given))
    node = page.node("RefocusPhoto")
    page.show(node, 1.0, "picture")
    says(page, node, HANDS)
    return node


def value(page, node, name, how):
    got = "app.graph.getNodeById(id).widgets.find(w => w.name === name).value"
    page.page.wait_for_function(f"([id, name]) => {got} {how}", arg=[node, name])


def pressed(page, node, look):
    page.page.wait_for_function(
        "button => button.getAttribute('aria-pressed') === 'true'", arg=page.part(node, f"button-{look}")
    )


def test_hands_do_what_they_do_in_the_lens(page):
    """A click and a drag set the focus in one step of undo; wheel and Shift set the blur; arrows move the point."""
    node = opened(page, blur=30.0, **MARK)
    canvas = page.part(node, "picture")
    page.click(canvas, 0.25, 0.75, RATIO)
    page.until(node, focus_x=0.25, focus_y=0.75, blur=30.0)
    page.drag(canvas, (0.2, 0.2), (0.6, 0.7), RATIO, steps=12)
    page.until(node, focus_x=0.6, focus_y=0.7)
    page.undo()
    page.until(node, focus_x=0.25, focus_y=0.75)
    canvas = page.part(node, "picture")
    page.click(canvas, 0.5, 0.5, RATIO)
    page.page.keyboard.press("ArrowRight")
    page.until(node, focus_x=0.505, focus_y=0.5)
    page.page.mouse.move(*page.point(canvas, 0.5, 0.5))
    page.page.mouse.wheel(0, -100)
    value(page, node, "blur", "> 30")
    page.assign(node, blur=30.0)
    page.drag(canvas, (0.5, 0.8), (0.5, 0.3), RATIO, held=["Shift"])
    value(page, node, "blur", "> 40")
    page.until(node, focus_x=0.505, focus_y=0.5)
    assert not page.prompts


@pytest.mark.parametrize("with_depth", [True, False])
def test_the_result_is_shown_until_one_points_elsewhere(page, with_depth):
    node = opened(page, with_depth=with_depth, blur=80.0 if with_depth else 0.0, focus_x=0.9)
    run = run_anew(page)
    pressed(page, node, "result")
    says(page, node, "Click: another focus, then run.")
    left = run.outputs[node]["rackfocus"][0]
    made, before = (
        np.asarray(Image.open(io.BytesIO(page.client.fetch(left[name]))).convert("RGB"), np.float32) / 255
        for name in ("after", "picture")
    )
    assert (left["plane"] is not None) == with_depth
    drawn(page, node)
    shown = seen(page, node, *SIZE)
    assert error(shown, made) < 0.004
    page.click(page.part(node, "picture"), 0.1, 0.5, RATIO)
    page.until(node, focus_x=0.1)
    pressed(page, node, "live")
    says(page, node, HANDS)
    drawn(page, node)
    shown = seen(page, node, *SIZE)
    if with_depth:  # the lens, or the overlay where the browser has no WebGL: at the left nothing changes by either
        assert error(shown, made) > 0.004
    else:
        assert error(shown, before) < 0.004
    page.part(node, "button-result").click()
    drawn(page, node)
    assert error(seen(page, node, *SIZE), made) < 0.004


def test_the_samples_photo_is_shown_where_it_is_connected(page):
    """Not the picture of the sample that is sharp everywhere."""
    flow = Flow(page.client.object_info())
    sample = flow.node("RefocusSample")
    node = flow.node("RefocusPhoto", image=sample["photo"], depth=sample["depth"])
    sample.at, node.at, node.size = (-700, 0), (0, 0), LENS
    page.load(flow.to_dict())
    node = page.node("RefocusPhoto")
    page.show(node, 1.0, "picture")
    says(page, node, HANDS)
    page.part(node, "button-photo").click()
    drawn(page, node)
    scenes = []
    for output in ("photo", "image"):
        scene = page.client.get(f"/rackfocus/sample?output={output}")
        picture_ = Image.open(io.BytesIO(page.client.fetch(scene["picture"]))).convert("RGB").resize((288, 192))
        scenes.append(np.asarray(picture_, np.float32) / 255)
    shown = seen(page, node, 288, 192)
    assert error(shown, scenes[0]) < 0.5 * error(shown, scenes[1])
