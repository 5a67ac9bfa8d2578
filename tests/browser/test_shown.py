"""Only what acts is shown, in both renderers; and nothing that is saved or queued is any other for it."""

import json
from itertools import product

import pytest

from rackfocus.dev.host.page import Page
from rackfocus.dev.workflows.convert import load
from rackfocus.dev.workflows.shown import acts_with
from rackfocus.dev.workflows.write import FOLDER, WORKFLOWS

LOADER, TASKS = "LoadRefocusModel", ("BokehSynthesize", "DeblurAiF", "FocalStackGenerate")
KINDS = ["auto", "disparity", "inverted", "metres", "inverse_metres"]
# For each node: what is combined with what.
COMBINATIONS = {
    "RefocusLens": {
        "focus_by": ["point", "mask", "distance", "automatic"],
        "lens": ["artist", "camera"],
        "depth_kind": KINDS,
    },
    "RefocusRack": {"depth_kind": KINDS, "keyframes": ["0: 0.3, 0.6", "0: 0.3, 0.6; 9 : 2.5 m", "0: 0.3, 0.6 # 9: 2m"]},
    "ApertureShapeMask": {"shape": ["iris", "ring", "heart", "star", "cats_eye"], "blades": [0, 5]},
    "SelectFocusFrame": {"select_by": ["position", "point"]},
    "RefocusDepth": {"meaning": ["auto", "disparity", "metres"]},
}
# Of every engine; the others in the long run.
SOME = ["1 Refocus a photo", "Genfocus 2 Refocus and compare", "learn2refocus 1 Focus slider"]
REST = [name for name in WORKFLOWS if name not in SOME]
ADD = """([kinds, x]) => kinds.map((kind, i) => {
  const node = LiteGraph.createNode(kind);
  app.graph.add(node);
  node.pos = [x + 450 * i, 80];
  return String(node.id);
})"""
CONNECT = """([from, to, input]) => {
  const node = app.graph.getNodeById(to);
  app.graph.getNodeById(from).connect(0, node, node.inputs.findIndex(each => each.name === input));
}"""
# Names of the rows that a node shows. A text has none in Vue, and is left out of both; so is what has no value.
ROWS = """(id) => {
  const node = app.graph.getNodeById(id);
  const listed = (node.widgets ?? []).filter(w => w.serialize !== false && w.type !== 'customtext');
  if (!LiteGraph.vueNodesMode) return listed.filter(w => node.isWidgetVisible(w)).map(w => w.name);
  const rows = [...document.querySelectorAll(`[data-node-id="${id}"] .lg-node-widget`)].filter(row => row.offsetHeight);
  const names = rows.map(row => row.dataset.widgetName ?? row.innerText.split('\\n')[0].trim());
  return listed.map(w => w.name).filter(name => names.includes(name));
}"""
SETTLES = f"""([id, shown, ignored]) => {{
  const keep = name => !ignored.includes(name);
  return JSON.stringify(({ROWS})(id).filter(keep)) === JSON.stringify(shown.filter(keep));
}}"""
# The right bottom of a node, in the window.
CORNER = """id => {
  const box = document.querySelector(`[data-node-id="${id}"]`)?.getBoundingClientRect();
  if (box) return [box.right, box.bottom];
  const node = app.graph.getNodeById(id), ds = app.canvas.ds, page = app.canvas.canvas.getBoundingClientRect();
  const at = [0, 1].map(i => (node.pos[i] + node.size[i] + ds.offset[i]) * ds.scale);
  return [page.left + at[0], page.top + at[1]];
}"""
# Resolves when the page has drawn what was changed.
FRAMES = """() => new Promise(done => {
  const next = left => (left ? requestAnimationFrame(() => next(left - 1)) : done());
  next(4);
})"""
HEIGHT = "id => app.graph.getNodeById(id).size[1]"


@pytest.fixture
def info(page):
    return page.client.object_info()


def options_of(info, kind):
    """{name: options} of a node's widgets."""
    listed = {**info[kind]["input"].get("required", {}), **info[kind]["input"].get("optional", {})}
    return {
        n: o[0] for n, (t, *o) in listed.items() if o and (isinstance(t, list) or "default" in o[0] or t == "COMBO")
    }


def expected(info, kind, values):
    """The rows of a node that is not linked: those that act; all of them where the values are None. A seed brings one
    more on the canvas."""
    shown = []
    for name, options in options_of(info, kind).items():
        if options.get("multiline"):
            continue
        rows = options.get("rackfocus", {}).get("acts", [{}])
        if values is None or acts_with(rows, values.get):
            shown += [name, "control_after_generate"] if name == "seed" else [name]
    return shown


def rare(info, kind):
    return [name for name, options in options_of(info, kind).items() if options.get("advanced")]


def settle(page, node, shown, ignored):
    """Wait until a node shows these rows, leaving aside those that are folded."""
    try:
        page.page.wait_for_function(SETTLES, arg=[node, shown, ignored], timeout=20_000)
    except Exception as error:
        raise AssertionError(f"{shown} are to be shown, and {page.page.evaluate(ROWS, node)} are") from error


def ignored(page, info, kind):
    """Rare rows are folded away, by Vue itself where it does; the helper of a seed is no row of Vue's."""
    return [*rare(info, kind), *(["control_after_generate"] if page.vue else [])]


def add(page, *kinds, x=100):
    return page.page.evaluate(ADD, [list(kinds), x])


def hides(page):
    """Vue of 1.27, an experiment there, shows everything."""
    if page.vue and tuple(map(int, page.version().split(".")[:2])) < (1, 30):
        pytest.skip("This front end's Vue cannot be told what to hide.")


@pytest.mark.parametrize("kind", COMBINATIONS)
def test_the_rows_are_those_that_act(page, info, kind):
    hides(page)
    (node,) = add(page, kind)
    choices = COMBINATIONS[kind]
    for chosen in product(*choices.values()):
        values = dict(zip(choices, chosen, strict=True))
        page.assign(node, **values)
        settle(page, node, expected(info, kind, values), ignored(page, info, kind))


def test_the_loader_and_the_nodes_behind_it_show_what_the_engine_reads(page, info):
    """Nothing connected is the first engine; an engine that comes from elsewhere may be any."""
    hides(page)
    loader, *nodes = add(page, LOADER, *TASKS)

    def look(values, **task_values):
        settle(page, loader, expected(info, LOADER, values), ignored(page, info, LOADER))
        for node, kind in zip(nodes, TASKS, strict=True):
            settle(page, node, expected(info, kind, task_values), ignored(page, info, kind))

    more = {"input_position": "automatic"}
    look({"engine": "optical"}, **more)
    for node in nodes:
        page.page.evaluate(CONNECT, [loader, node, "model"])
    for engine in info[LOADER]["input"]["required"]["engine"][1]["options"]:
        page.assign(loader, engine=engine)
        look({"engine": engine}, **{"model.engine": engine}, **more)
    page.page.mouse.click(page.size[0] * 0.6, page.size[1] * 0.9)  # keys go to the canvas from now on
    page.page.evaluate("id => { app.canvas.selectNode(app.graph.getNodeById(id)); }", loader)
    page.page.keyboard.press("Control+b")  # bypassed: what comes cannot be told
    for node, kind in zip(nodes, TASKS, strict=True):
        settle(page, node, expected(info, kind, None), ignored(page, info, kind))
    page.page.keyboard.press("Control+m")  # muted: the node runs without it
    for node, kind in zip(nodes, TASKS, strict=True):
        settle(page, node, expected(info, kind, more), ignored(page, info, kind))


def test_a_linked_row_is_shown_and_a_picture_takes_the_shapes_place(page, info):
    hides(page)
    position, select, image, shape = add(
        page, "SelectFocusFrame", "SelectFocusFrame", "RefocusSample", "ApertureShapeMask"
    )
    page.assign(select, select_by="point")
    folded = ignored(page, info, "SelectFocusFrame")
    settle(page, select, ["select_by", "focus_x", "focus_y", "blend"], folded)
    page.page.evaluate(
        """([a, b]) => { const node = app.graph.getNodeById(b);
          app.graph.getNodeById(a).connect(2, node, node.inputs.findIndex(i => i.name === 'position')); }""",
        [position, select],
    )
    linked = ["position"] if page.version() < "1.5" else []  # newer front ends show a linked row as a label
    settle(page, select, ["select_by", "position", "focus_x", "focus_y", "blend"], [*folded, "position"][:99])
    assert linked == [] or "position" in page.page.evaluate(ROWS, select)
    page.page.evaluate(CONNECT, [image, shape, "image"])
    settle(page, shape, ["rotation", "squeeze"], [])


def test_a_workflow_that_is_loaded_again_shows_what_acts(page, info):
    hides(page)
    (lens,) = add(page, "RefocusLens")
    page.assign(lens, lens="camera")
    saved = page.saved()
    page.assign(lens, lens="artist")
    settle(
        page, lens, expected(info, "RefocusLens", {"focus_by": "point", "lens": "artist"}), rare(info, "RefocusLens")
    )
    page.load(saved)
    shown = expected(info, "RefocusLens", {"focus_by": "point", "lens": "camera", "depth_kind": "auto"})
    settle(page, page.node("RefocusLens"), shown, rare(info, "RefocusLens"))


def test_the_height_follows_unless_the_artist_chose_it(page):
    """What was made taller by hand stays; a fresh node is as tall as what it shows, and back again."""
    hides(page)
    (loader,) = add(page, LOADER)
    page.page.wait_for_function(f"id => ({HEIGHT})(id) < 200", arg=loader)
    least = page.page.evaluate(HEIGHT, loader)
    page.assign(loader, engine="genfocus")
    page.page.wait_for_function(f"([id, low]) => ({HEIGHT})(id) > low + 40", arg=[loader, least])
    page.assign(loader, engine="optical")
    page.page.wait_for_function(f"([id, low]) => ({HEIGHT})(id) < low + 10", arg=[loader, least])
    page.page.evaluate(FRAMES)
    x, y = page.page.evaluate(CORNER, loader)
    page.page.mouse.move(x - 4, y - 4)
    page.page.mouse.down()
    page.page.mouse.move(x - 4, y + 296, steps=5)
    page.page.mouse.up()
    page.page.wait_for_function(f"([id, low]) => ({HEIGHT})(id) > low + 250", arg=[loader, least])
    by_hand = page.page.evaluate(HEIGHT, loader)
    for engine in ("genfocus", "optical"):
        page.assign(loader, engine=engine)
        page.page.evaluate(FRAMES)
        assert page.page.evaluate(HEIGHT, loader) == pytest.approx(by_hand, abs=1)


def test_the_canvas_has_a_row_that_opens_the_rare_ones(page, info):
    if page.vue:
        pytest.skip("Vue has one of its own.")
    (lens,) = add(page, "RefocusLens")
    page.page.evaluate(FRAMES)
    hidden = rare(info, "RefocusLens")
    assert hidden and not set(hidden) & set(page.page.evaluate(ROWS, lens))
    tall = page.page.evaluate(HEIGHT, lens)
    press = "id => app.graph.getNodeById(id).widgets.find(w => w.name === 'rackfocus_more').callback()"
    page.page.evaluate(press, lens)
    assert set(hidden) <= set(page.page.evaluate(ROWS, lens)) and page.page.evaluate(HEIGHT, lens) > tall + 60
    page.page.evaluate(press, lens)
    assert not set(hidden) & set(page.page.evaluate(ROWS, lens)) and page.page.evaluate(HEIGHT, lens) == tall


@pytest.fixture(scope="module")
def plain(host, browser, renderer_page):
    """The page with everything of ours but the hiding."""
    with Page(host, vue=renderer_page.vue, browser=browser) as page:
        page.page.route("**/view/shown.js*", lambda route: route.fulfill(
            body="export function showWhatActs() {}", content_type="text/javascript"))  # fmt: skip
        page.reload()
        yield page


@pytest.mark.parametrize("names", [SOME, pytest.param(REST, marks=pytest.mark.slow)], ids=["some", "rest"])
def test_what_is_saved_and_queued_is_the_same_without_the_hiding(page, plain, names):
    """Byte for byte, but for what is the page's: the size of a node and, where Vue lays out anew, its place."""
    changes = {"RefocusLens": {"focus_by": "distance", "lens": "camera", "focus_x": 0.123456789}}
    for name in names:
        made = []
        for each in (page, plain):
            each.load(load(FOLDER / f"{name}.json"))
            for kind, values in changes.items():
                for node in each.nodes(kind):
                    each.assign(node, **values)
            made.append(json.dumps([without_sizes(each.saved(), page.vue), each.prompt()]))
        assert made[0] == made[1], name


def without_sizes(workflow, vue):
    for node in workflow["nodes"]:
        del node["size"]
        if vue:
            del node["pos"]
    if vue:
        for group in workflow["groups"]:
            del group["bounding"]
    workflow.get("extra", {}).pop("ds", None)
    return workflow


def test_a_workflow_opens_as_it_was_saved(page):
    """Sizes too: hiding rows makes no node smaller or larger than its file says, where it fits."""
    if page.vue:
        pytest.skip("Vue makes nodes as tall as their rows, whatever a file says.")
    for name in WORKFLOWS:
        workflow = load(FOLDER / f"{name}.json")
        page.load(workflow)
        sizes = {node["id"]: node["size"] for node in page.saved()["nodes"]}
        other = [n["type"] for n in workflow["nodes"] if n["type"] != "MarkdownNote" and n["size"] != sizes[n["id"]]]
        assert not other, name


def test_a_slider_keeps_the_value_that_a_workflow_holds(page, info):
    add(page, "RefocusLens")
    saved = page.saved()
    at = list(options_of(info, "RefocusLens")).index("focus_x")
    saved["nodes"][0]["widgets_values"][at] = 0.1234567891234
    page.load(saved)
    assert page.values(page.node("RefocusLens"))["focus_x"] == 0.1234567891234
    assert page.saved()["nodes"][0]["widgets_values"][at] == 0.1234567891234
