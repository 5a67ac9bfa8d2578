"""web/docs: a page of help for every node, its tables as the schema has them, its pictures there and small."""

import re
from copy import deepcopy

import pytest

from rackfocus.dev.host.tables import END, FOLDER, START, filled, page, tables
from rackfocus.dev.host.texts import ours
from rackfocus.dev.pictures.help import LARGEST, PICTURES, file

PICTURE = re.compile(r"!\[(.+?)\]\((.+?)\)")
LEARNED = {"LoadRefocusModel", "RefocusDepth", "GenfocusConditioning", "RefocusPositionSweep"}


@pytest.fixture
def pages(object_info):
    return {node: page(node).read_text(encoding="ascii") for node in ours(object_info)}


def test_every_node_has_a_page_and_every_page_a_node(pages):
    assert {path.stem for path in FOLDER.glob("*.md")} == set(pages)


def test_tables_are_the_schemas(pages, object_info):
    """Else: python -m dev.host schema."""
    drifted = [node for node, text in pages.items() if filled(text, object_info[node]) != text]
    assert not drifted


def test_a_changed_tooltip_or_limit_shows(pages, object_info):
    for change in ({"tooltip": "Another."}, {"max": 7.0}, {"default": 3.0}):
        info = deepcopy(object_info["RefocusLens"])
        info["input"]["required"]["strength"][1].update(change)
        assert filled(pages["RefocusLens"], info) != pages["RefocusLens"]


@pytest.mark.parametrize(
    "rows, told",
    [
        ([{"focus_by": ["point", "mask"]}], "focus_by is point or mask"),
        (
            [{"lens": {"not": ["artist"]}, "image": [None]}, {"a": [1]}],
            "lens is not artist and image is not connected; or a is 1",
        ),
        ([{"model.engine": ["optical", None]}], "engine of model is optical or model is not connected"),
        ([{"image": {"not": [None]}}], "image is connected"),
        ([{"keyframes": {"match": "x"}}], "keyframes asks for it"),
    ],
)
def test_where_an_input_acts_is_told(object_info, rows, told):
    info = deepcopy(object_info["RefocusLens"])
    info["input"]["required"]["strength"][1]["rackfocus"] = {"acts": rows}
    info["input"]["required"]["focal_mm"][1].update(
        tooltip="genfocus: x", rackfocus={"acts": [{"engine": ["genfocus"]}]}
    )
    assert f"<br>*Acts where {told}.* |" in tables(info)
    assert "genfocus: x |" in tables(info), "told already"


def test_a_page_says_what_to_do_and_what_goes_wrong(pages, object_info):
    for node, text in pages.items():
        own = text.split(START)[0] + text.split(END)[1]
        assert text.startswith(f"# {object_info[node]['display_name']}\n\n"), node
        assert "\n## Recipe\n\n1. " in own and "\n## What goes wrong, and why\n\n- **" in own, node
        assert "`" not in own, "code cannot be read in every renderer"


def test_pictures_are_there_small_and_made_by_the_command(pages):
    used = {name for text in pages.values() for _, name in PICTURE.findall(text)}
    assert used == {path.name for path in FOLDER.iterdir() if path.suffix != ".md"} == {f"{n}.jpg" for n in PICTURES}
    assert all(file(name).stat().st_size <= LARGEST for name in PICTURES)


def test_no_picture_is_shown_of_what_no_weights_have_made(pages):
    assert {node for node, text in pages.items() if not PICTURE.search(text)} == LEARNED
    assert all("There is no picture on this page: " in " ".join(pages[node].split()) for node in LEARNED)


def test_the_host_serves_pages_and_pictures(client, pages):
    """From where the page looks for them."""
    for name in [f"{node}.md" for node in pages] + [f"{name}.jpg" for name in PICTURES]:
        assert client.session.get(f"{client.url}/extensions/rackfocus/docs/{name}").status_code == 200
