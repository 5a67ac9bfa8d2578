"""The pack's scripts are good guests of the page: nothing of theirs is left in it, and they harm nothing."""

import json

import pytest

from rackfocus.dev.host.page import Page
from rackfocus.dev.workflows.convert import load
from rackfocus.dev.workflows.optical import OPTICAL
from rackfocus.dev.workflows.write import FOLDER
from rackfocus.tests.browser.conftest import watched
from rackfocus.tests.browser.graphs import lens_flow, picture

SCRIPTS = "**/extensions/rackfocus/**"
# Keeps count of the listeners that the pack's scripts have on the window, the document and its body.
COUNTING = """
window.listening = [];
for (const [name, step] of [['addEventListener', 1], ['removeEventListener', -1]]) {
  const before = EventTarget.prototype[name];
  EventTarget.prototype[name] = function (type, ...rest) {
    const shared = [window, document, document.documentElement, document.body].includes(this);
    if (shared && new Error().stack.includes('/extensions/rackfocus/')) window.listening.push([type, step]);
    return before.call(this, type, ...rest);
  };
}
"""
# What a page shows of itself: names of the window, and every function and value of the prototypes that all nodes share.
SHARED = """() => {
  const of = (o) => Object.getOwnPropertyNames(o ?? {}).sort().map(name => {
    const d = Object.getOwnPropertyDescriptor(o, name);
    return [name, String(d.value ?? ''), String(d.get ?? ''), String(d.set ?? '')];
  });
  return {
    window: Object.getOwnPropertyNames(window).sort(),
    prototypes: [LGraph, LGraphNode, LGraphCanvas, LLink, LiteGraph.LGraphNode, EventTarget, Node, Element, HTMLElement,
      HTMLCanvasElement, CanvasRenderingContext2D, Array, Object, Promise].map(c => of(c.prototype)),
    functions: [Object.keys(LiteGraph), of(Object.getPrototypeOf(app)), of(Object.getPrototypeOf(app.api))],
  };
}"""


@pytest.fixture(scope="module")
def bare(host, browser):
    """A page of the same host without the pack's scripts."""
    with Page(host, browser=browser, without=SCRIPTS) as page:
        yield page


@pytest.fixture(scope="module")
def dressed(host, browser):
    """The page with them, and a count of listeners."""
    with Page(host, browser=browser, script=COUNTING) as page:
        yield page


def exercise(page):
    """Every optical template opened, a view clicked and dragged, and all nodes taken away."""
    for name in OPTICAL:
        page.load(load(FOLDER / f"{name}.json"))
    page.load(lens_flow(page.client))
    lens = page.node("RefocusLens")
    page.show(lens, 1.0, "picture")
    page.drag(page.part(lens, "picture"), (0.3, 0.4), (0.6, 0.7), 1.5)
    page.until(lens, focus_x=0.6, focus_y=0.7)
    page.page.evaluate("app.graph.clear()")


def test_no_listener_of_ours_is_left_on_the_page(request, dressed):
    for _ in watched(request, dressed):
        exercise(dressed)
        left = {}
        for kind, step in dressed.page.evaluate("window.listening"):
            left[kind] = left.get(kind, 0) + step
        assert not {kind: count for kind, count in left.items() if count > 0}


def test_no_global_and_no_prototype_is_changed(request, host, browser, bare):
    with Page(host, browser=browser) as page:
        for _ in watched(request, page):
            ours = page.page.evaluate(SHARED)
            theirs = bare.page.evaluate(SHARED)
            assert set(ours["window"]) - set(theirs["window"]) == set()
            assert ours["prototypes"] == theirs["prototypes"]
            assert ours["functions"] == theirs["functions"]


def test_nothing_is_asked_of_another_host(request, dressed, bare):
    """Beyond what the page itself asks for, from its start."""
    asked = []
    for page in (dressed, bare):
        for _ in watched(request, page):
            page.start()
            if page is dressed:
                exercise(page)
            for name in OPTICAL:
                page.load(load(FOLDER / f"{name}.json"))
            asked.append({address.split("?")[0] for _, address in page.requests if not address.startswith("blob:")})
    ours, theirs = ({a for a in some if not a.startswith((page.host.url, "data:"))} for some in asked)
    assert len(asked[0]) > 20 and ours <= theirs


def test_a_workflow_keeps_its_values_and_links_with_and_without_the_scripts(dressed, bare):
    for name in OPTICAL:
        saved = []
        for page in (dressed, bare):
            page.load(load(FOLDER / f"{name}.json"))
            saved.append(page.saved())
        with_scripts, without = (ours_of(workflow) for workflow in saved)
        assert json.dumps(with_scripts) == json.dumps(without)


def ours_of(workflow):
    """Apart from the heights that nodes need for their widgets, and the files that Load Image finds."""
    for node in workflow["nodes"]:
        node.pop("size")
        if node["type"] == "LoadImage":
            node.pop("widgets_values")
    return {key: workflow[key] for key in ("nodes", "links", "groups", "version")}


@pytest.mark.parametrize("name", ['"><img src=x onerror=window.hurt=1>.png', "it's 100% <b>bold & #1?.png"])
def test_a_name_with_quotes_and_angle_brackets_does_no_harm(page, name):
    picture(480, 320).save(page.host.base / "input" / name, format="PNG")
    page.load(lens_flow(page.client, name=name))
    lens = page.node("RefocusLens")
    page.show(lens, 1.0, "picture")
    page.shows(lens, "Click on what should be sharp")
    page.click(page.part(lens, "picture"), 0.25, 0.75, 1.5)
    page.until(lens, focus_x=0.25, focus_y=0.75)
    assert page.page.evaluate("window.hurt") is None
    view = page.part(lens, "view")
    assert view.evaluate("e => e.querySelectorAll('img, b').length") == 0


@pytest.fixture(params=["canvas", "vue"])
def finger_page(request, host, browser):
    """A page for fingers."""
    with Page(host, vue=request.param == "vue", browser=browser, touch=True) as page:
        yield from watched(request, page)


def test_fingers_and_a_pen_set_the_focus(finger_page):
    page = finger_page
    page.load(lens_flow(page.client))
    lens = page.node("RefocusLens")
    page.show(lens, 1.0, "picture")
    page.shows(lens, "Click on what should be sharp")
    canvas = page.part(lens, "picture")
    chrome = page.context.new_cdp_session(page.page)

    def at(x, y):
        return dict(zip("xy", page.point(canvas, x, y, 1.5), strict=True))

    def touch(kind, *points):
        chrome.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [at(*point) for point in points]})

    view = "[app.canvas.ds.scale, ...app.canvas.ds.offset]"
    before = page.page.evaluate(view)
    touch("touchStart", (0.25, 0.75))
    touch("touchEnd")
    page.until(lens, focus_x=0.25, focus_y=0.75)
    touch("touchStart", (0.3, 0.3))
    for step in range(1, 6):
        touch("touchMove", (0.3 + 0.06 * step, 0.3 + 0.08 * step))
    touch("touchEnd")
    page.until(lens, focus_x=0.6, focus_y=0.7)
    assert page.page.evaluate(view) == before  # the page did not move below the finger
    pen = {"button": "left", "buttons": 1, "clickCount": 1, "pointerType": "pen"}
    chrome.send("Input.dispatchMouseEvent", {"type": "mousePressed", **at(0.75, 0.25), **pen})
    chrome.send("Input.dispatchMouseEvent", {"type": "mouseMoved", **at(0.8, 0.35), **pen})
    chrome.send("Input.dispatchMouseEvent", {"type": "mouseReleased", **at(0.8, 0.35), **pen, "buttons": 0})
    page.until(lens, focus_x=0.8, focus_y=0.35)
    page.undo()
    page.until(lens, focus_x=0.6, focus_y=0.7)
