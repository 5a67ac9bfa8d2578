"""The boxes of subgraphs/, from the page's node library: they run to a picture, their widgets move the inner ones."""

import pytest

from rackfocus.dev.workflows.blueprints import BLUEPRINTS

# Feed the box from a fresh sample, and show what it makes.
RENDERER = "canvas"
CONNECT = """id => {
  const graph = app.graph, box = graph.getNodeById(id), make = type => {
    const node = LiteGraph.createNode(type);
    graph.add(node);
    return node;
  };
  const sample = make('RefocusSample'), shown = make('PreviewImage');
  for (const name of ['image', 'depth']) {
    const slot = box.inputs.findIndex(input => input.name === name);
    if (slot >= 0) sample.connect(sample.outputs.findIndex(output => output.name === name), box, slot);
  }
  box.connect(0, shown, 0);
}"""
WIDGETS = {"focus_x": 0.615, "focus_y": 0.67, "strength": 20.0, "shape": "heart", "blades": 5, "highlights": 3.0}
PLACES = {"shape": "ApertureShapeMask", "blades": "ApertureShapeMask", "highlights": "BokehSynthesize"}


def inner(page, kind):
    (found,) = (node["inputs"] for node in page.prompt().values() if node["class_type"] == kind)
    return found


@pytest.fixture
def box(page):
    if page.client.session.get(f"{page.host.url}/global_subgraphs").status_code == 404:
        pytest.skip("This host has no blueprints.")

    def take(name):
        node = page.take_from_library(name)
        page.page.evaluate(CONNECT, node)
        return node

    return take


def test_a_photo_and_its_depth_become_a_picture(page, box):
    node = box("Refocus a photo")
    page.assign(node, quality="fast")
    run = page.run()
    assert any(output.get("images") for key, output in run.outputs.items() if not output.get("rackfocus"))


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_the_boxs_widgets_are_those_of_its_nodes(page, box, name):
    node = box(name)
    shown = page.values(node)
    assert set(WIDGETS) | {"quality"} <= set(shown)
    assert shown["strength"] == 60.0 == inner(page, "RefocusLens")["strength"]
    page.assign(node, **WIDGETS, quality="fast")
    for widget, value in {**WIDGETS, "quality": "fast"}.items():
        kind = "BokehSynthesize" if widget == "quality" else PLACES.get(widget, "RefocusLens")
        assert inner(page, kind)[widget] == pytest.approx(value) if isinstance(value, float) else value, widget


def test_depth_that_is_estimated_brings_its_kind(page, box):
    box("Depth and refocus")
    depth = inner(page, "RefocusLens")["depth"]
    assert inner(page, "RefocusLens")["depth_kind"] == [depth[0], 1] and depth[1] == 0
