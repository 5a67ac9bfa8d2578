"""The view of RefocusLens: a click in the picture sets the focus, at any zoom and in one step of undo."""

import json
import re

import pytest

from rackfocus.dev.workflows.convert import to_prompt
from rackfocus.tests.browser.graphs import ASPECTS, lens_flow

READY = "Click on what should be sharp"
LEFT = re.compile(r"/view\?.*rackfocus_.*type=temp")  # files that runs leave behind
MARK = {"focus_x": 0.437, "focus_y": 0.561}  # numbers that nothing else in the page has


# Put a copy apart from the first node, and feed it the same picture.
BESIDE = """([from, to]) => {
  const [old, fresh] = [from, to].map(id => app.graph.getNodeById(id));
  fresh.pos = [old.pos[0], old.pos[1] + 1300];
  const load = app.graph.nodes.find(n => n.type === 'LoadImage');
  for (const name of ['image', 'depth']) load.connect(0, fresh, fresh.inputs.findIndex(i => i.name === name));
}"""

INTO_A_SUBGRAPH = """id => {
  const { subgraph } = app.graph.convertToSubgraph(new Set([app.graph.getNodeById(id)]));
  app.canvas.setGraph(subgraph);
}"""


@pytest.fixture
def lens(page):
    """The page with a wide picture in RefocusLens, in the middle at zoom 1; the lens's id."""
    return opened(page)


def opened(page, aspect="wide", zoom=1.0, **widgets):
    page.load(lens_flow(page.client, ASPECTS[aspect], **widgets))
    lens = page.node("RefocusLens")
    page.show(lens, zoom, "picture")
    page.shows(lens, READY)
    return lens


def wait_widget(page, lens, name, how):
    """Wait until a widget is "> 30", for example."""
    value = "app.graph.getNodeById(id).widgets.find(w => w.name === name).value"
    page.page.wait_for_function(f"([id, name]) => {value} {how}", arg=[lens, name])


def draws(page, lens):
    return int(page.part(lens, "picture").get_attribute("data-draws") or 0)


def ratio(aspect):
    width, height = ASPECTS[aspect]
    return width / height


@pytest.mark.parametrize("aspect", ASPECTS)
def test_a_click_sets_the_focus_at_every_zoom(page, aspect):
    lens = opened(page, aspect, focus_by="automatic")
    for zoom in (0.5, 1.0, 2.0):
        page.assign(lens, focus_by="automatic", focus_x=0.9, focus_y=0.1)
        page.show(lens, zoom, "picture")
        page.click(page.part(lens, "picture"), 0.25, 0.75, ratio(aspect))
        page.until(lens, focus_by="point", focus_x=0.25, focus_y=0.75)


def test_a_click_beside_the_picture_sets_nothing(page):
    lens = opened(page, "tall", **MARK)
    page.click(page.part(lens, "picture"), -0.08, 0.5, ratio("tall"))
    page.click(page.part(lens, "picture"), 0.25, 0.75, ratio("tall"))
    page.until(lens, focus_x=0.25, focus_y=0.75)
    page.undo()  # one step: the first click was none
    page.until(lens, **MARK)


def test_a_click_where_no_picture_is_shown_sets_nothing(page):
    flow = lens_flow(page.client, **MARK)
    flow["links"], flow["nodes"] = [], [node for node in flow["nodes"] if node["type"] == "RefocusLens"]
    for socket in flow["nodes"][0]["inputs"] + flow["nodes"][0]["outputs"]:
        socket.update({"link": None} if "link" in socket else {"links": []})
    page.load(flow)
    lens = page.node("RefocusLens")
    page.show(lens, 1.0, "picture")
    page.shows(lens, "Connect a picture")
    page.click(page.part(lens, "picture"), 0.25, 0.75)
    page.settle(5)
    page.until(lens, **MARK)


def test_undo_brings_it_back_and_redo_forth(page):
    lens = opened(page, focus_by="automatic", **MARK)
    page.click(page.part(lens, "picture"), 0.25, 0.75, ratio("wide"))
    page.until(lens, focus_by="point", focus_x=0.25, focus_y=0.75)
    page.click(page.part(lens, "picture"), 0.5, 0.5, ratio("wide"))
    page.until(lens, focus_x=0.5, focus_y=0.5)
    page.undo()
    page.until(lens, focus_by="point", focus_x=0.25, focus_y=0.75)
    page.undo()
    page.until(lens, focus_by="automatic", **MARK)
    page.page.keyboard.press("Control+y")
    page.until(lens, focus_by="point", focus_x=0.25, focus_y=0.75)
    # The view of the node that undo made anew works as the first did.
    page.shows(lens, READY)
    page.click(page.part(lens, "picture"), 0.75, 0.25, ratio("wide"))
    page.until(lens, focus_x=0.75, focus_y=0.25)


def test_a_drag_is_one_step_and_queues_nothing(page, lens):
    page.assign(lens, **MARK)
    before = draws(page, lens)
    page.drag(page.part(lens, "picture"), (0.2, 0.2), (0.6, 0.7), ratio("wide"), steps=20)
    page.until(lens, focus_x=0.6, focus_y=0.7)
    assert draws(page, lens) > before
    page.drag(page.part(lens, "picture"), (0.5, 0.5), (1.4, -0.3), ratio("wide"))  # beyond its edge
    page.until(lens, focus_x=1.0, focus_y=0.0)
    page.undo()
    page.until(lens, focus_x=0.6, focus_y=0.7)
    assert not page.prompts


def test_shift_and_a_drag_change_the_blur_alone(page, lens):
    page.assign(lens, strength=30.0, **MARK)
    page.drag(page.part(lens, "picture"), (0.5, 0.8), (0.5, 0.3), ratio("wide"), held=["Shift"])
    wait_widget(page, lens, "strength", "> 40")
    page.until(lens, **MARK)
    page.assign(lens, lens="camera", f_number=4.0)
    page.drag(page.part(lens, "picture"), (0.5, 0.8), (0.5, 0.3), ratio("wide"), held=["Shift"])
    wait_widget(page, lens, "f_number", "< 3")
    page.until(lens, **MARK)


def test_the_wheel_changes_the_blur_once_the_picture_was_clicked(page, lens):
    picture = page.part(lens, "picture")
    page.assign(lens, strength=30.0)
    x, y = page.point(picture, 0.5, 0.5)
    page.click(picture, 0.5, 0.5)
    page.page.mouse.move(x, y)
    zoom = page.page.evaluate("app.canvas.ds.scale")
    page.page.mouse.wheel(0, -100)
    wait_widget(page, lens, "strength", "> 30")
    assert page.page.evaluate("app.canvas.ds.scale") == zoom
    page.page.mouse.wheel(0, 100)
    page.page.mouse.wheel(0, 100)
    wait_widget(page, lens, "strength", "< 30")


def test_arrow_keys_move_the_point(page, lens):
    page.click(page.part(lens, "picture"), 0.5, 0.5)
    page.until(lens, focus_x=0.5, focus_y=0.5)
    start = page.values(lens)
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowDown", "Shift+ArrowLeft"):
        page.page.keyboard.press(key)
    moved = page.values(lens)
    assert moved["focus_x"] - start["focus_x"] == pytest.approx(2 * 0.005 - 0.05, abs=1e-6)
    assert moved["focus_y"] - start["focus_y"] == pytest.approx(0.05 - 0.005, abs=1e-6)


def test_reload_keeps_it(page, lens):
    page.click(page.part(lens, "picture"), 0.25, 0.75, ratio("wide"))
    page.until(lens, focus_x=0.25, focus_y=0.75)
    page.assign(lens, **MARK)
    page.click(page.part(lens, "picture"), 0.437, 0.561, ratio("wide"))
    page.until(lens, **MARK)
    page.kept(str(page.values(lens)["focus_x"]))
    page.reload()
    lens = page.node("RefocusLens")
    page.until(lens, focus_by="point", **MARK)
    page.show(lens, 1.0, "picture")
    page.shows(lens, READY)
    page.click(page.part(lens, "picture"), 0.25, 0.75, ratio("wide"))
    page.until(lens, focus_x=0.25, focus_y=0.75)


def test_the_last_run_is_shown_after_a_reload_and_the_input_once_its_files_are_gone(page, lens):
    page.run()
    page.shows(lens, "Arrows: move")  # a run has left the depth behind
    page.reload()
    lens = page.node("RefocusLens")
    page.show(lens, 1.0, "picture")
    page.shows(lens, "Arrows: move")
    page.page.route(LEFT, lambda route: route.fulfill(status=404))  # as of a host that was started anew
    try:
        page.reload()
        lens = page.node("RefocusLens")
        page.show(lens, 1.0, "picture")
        page.shows(lens, READY)
        page.click(page.part(lens, "picture"), 0.25, 0.75, ratio("wide"))
        page.until(lens, focus_x=0.25, focus_y=0.75)
    finally:
        page.page.unroute(LEFT)


def test_a_copy_has_its_point_and_a_view_of_its_own(page, lens):
    page.click(page.part(lens, "picture"), 0.25, 0.75, ratio("wide"))
    page.until(lens, focus_x=0.25, focus_y=0.75)
    page.page.evaluate("id => app.canvas.selectNode(app.graph.getNodeById(id))", lens)
    page.page.evaluate("app.canvas.copyToClipboard(); app.canvas.pasteFromClipboard()")
    page.page.wait_for_function("app.graph.nodes.filter(n => n.type === 'RefocusLens').length === 2")
    (copy,) = set(page.nodes("RefocusLens")) - {lens}
    page.until(copy, focus_by="point", focus_x=0.25, focus_y=0.75)
    page.page.evaluate(BESIDE, [lens, copy])
    page.show(copy, 1.0, "picture")
    page.shows(copy, READY)
    page.click(page.part(copy, "picture"), 0.75, 0.25, ratio("wide"))
    page.until(copy, focus_x=0.75, focus_y=0.25)
    page.until(lens, focus_x=0.25, focus_y=0.75)


def test_it_works_within_a_subgraph(page, lens):
    page.page.evaluate(INTO_A_SUBGRAPH, lens)
    lens = page.node("RefocusLens")
    page.show(lens, 1.0, "picture")
    page.shows_not(lens, "Run this node to see it")
    page.assign(lens, **MARK)
    page.page.mouse.click(*page.point(page.part(lens, "picture"), 0.25, 0.75))
    page.settle(5)
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("ArrowLeft")
    inner = page.values(lens)
    page.page.evaluate("app.canvas.setGraph(app.rootGraph ?? app.graph)")
    (made,) = [e["inputs"] for e in page.prompt().values() if e["class_type"] == "RefocusLens"]
    assert {name: made[name] for name in MARK} == {name: inner[name] for name in MARK}


def test_what_the_page_queues_is_what_a_workflow_file_says_without_it(page, lens):
    """The prompt of the page, that of the pack's converter, and a run through the API without the page's scripts."""
    page.click(page.part(lens, "picture"), 0.25, 0.75, ratio("wide"))
    page.until(lens, focus_x=0.25, focus_y=0.75)
    saved, made = page.saved(), page.prompt()
    converted = to_prompt(json.loads(json.dumps(saved)), page.client.object_info())
    assert {n: e["inputs"] for n, e in made.items()} == {n: e["inputs"] for n, e in converted.items()}
    values = converted[lens]["inputs"]
    assert (values["focus_by"], values["focus_x"], values["focus_y"]) == (
        "point",
        pytest.approx(0.25, abs=0.005),
        pytest.approx(0.75, abs=0.005),
    )
    assert page.client.run(converted).outputs


def test_nothing_is_drawn_when_nothing_changes(page, lens):
    page.click(page.part(lens, "picture"), 0.25, 0.75, ratio("wide"))
    page.until(lens, focus_x=0.25, focus_y=0.75)
    page.settle()
    before = draws(page, lens)
    page.page.mouse.move(300, 500)
    page.settle(60)
    assert draws(page, lens) == before
    page.assign(lens, focus_x=0.4)
    page.page.wait_for_function("([e, n]) => Number(e.dataset.draws) > n", arg=[page.part(lens, "picture"), before])
    page.settle()
    assert draws(page, lens) <= before + 2


def test_nothing_is_drawn_off_the_screen(page, lens):
    view = page.page.evaluate_handle("e => e", page.part(lens, "picture")).as_element()
    count = "e => Number(e.dataset.draws)"
    page.page.evaluate("app.canvas.ds.offset[0] += 9000; app.canvas.setDirty(true, true)")
    page.settle()
    before = view.evaluate(count)
    for x in (0.1, 0.2, 0.3):
        page.assign(lens, focus_x=x)
        page.settle(5)
    assert view.evaluate(count) == before
    page.show(lens, 1.0, "picture")
    page.page.wait_for_function("([e, n]) => Number(e.dataset.draws) > n", arg=[page.part(lens, "picture"), before])
