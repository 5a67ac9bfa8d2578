"""/rackfocus/aperture: the opening that ApertureShapeMask makes, drawn for the page; anything odd is one sentence."""

import asyncio
import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from aiohttp.test_utils import make_mocked_request
from PIL import Image

from rackfocus.nodes import routes
from rackfocus.pipelines.optics import SHAPES, aperture_mask
from rackfocus.tests.nodes.scenes import BY_ID

WIDGETS = {"blades": 5, "roundness": 0.3, "rotation": 20.0, "squeeze": 1.6, "inner": 0.8, "offset": 0.7}


def ask(query):
    return asyncio.run(routes.aperture(make_mocked_request("GET", f"/rackfocus/aperture?{query}")))


def drawn(answer):
    assert answer.status == 200 and answer.content_type == "image/png" and answer.headers["Cache-Control"] == "no-store"
    return np.asarray(Image.open(io.BytesIO(answer.body)))


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_mask_of_the_node_in_the_greys_of_its_preview(shape):
    made = drawn(ask("&".join(f"{k}={v}" for k, v in {"shape": shape, **WIDGETS}.items())))
    assert made.shape == (256, 256)
    assert (made == (255 * aperture_mask(shape=shape, **WIDGETS)[0].numpy()).astype(np.uint8)).all()


def test_what_is_not_named_has_its_default():
    assert (drawn(ask("")) == (255 * aperture_mask()[0].numpy()).astype(np.uint8)).all()
    assert (drawn(ask("blades=7.0")) == (255 * aperture_mask(blades=7)[0].numpy()).astype(np.uint8)).all()


@pytest.mark.parametrize(
    "query, said",
    [
        ("shape=square", "shape is 'square'"),
        ("shape=", "shape is ''"),
        ("blades=two", "blades is 'two'"),
        ("blades=2", "blades is 2"),
        ("blades=5.5", "blades is 5.5"),
        ("blades=65", "blades is 65"),
        ("blades=" + "9" * 5000, "blades is"),
        ("roundness=nan", "roundness is nan"),
        ("roundness=1.01", "roundness is 1.01"),
        ("rotation=1e400", "rotation is inf"),
        ("squeeze=0.01", "squeeze is 0.01"),
        ("squeeze=", "squeeze is ''"),
        ("size=100000", "a widget of ApertureShapeMask is 'size'"),
        ("image=x.png", "a widget of ApertureShapeMask is 'image'"),
        ("shape=iris&%3Cscript%3E=1", "a widget of ApertureShapeMask is '<script>'"),
    ],
)
def test_anything_else_is_one_sentence(query, said):
    answer = ask(query)
    assert answer.status == 400 and answer.content_type == "text/plain"
    assert said in answer.text and answer.text.endswith(".") and "\n" not in answer.text and len(answer.text) < 400


def test_who_accepts_text_is_answered_in_text():
    """Browsers write every 400 into their console."""
    request = make_mocked_request("GET", "/rackfocus/aperture?blades=2", headers={"Accept": "image/png, text/plain"})
    answer = asyncio.run(routes.aperture(request))
    assert (answer.status, answer.content_type) == (200, "text/plain") and "blades is 2" in answer.text


def test_every_widget_of_the_node_may_be_asked_for():
    shown = [i for i in BY_ID["ApertureShapeMask"].GET_SCHEMA().inputs if getattr(i, "default", None) is not None]
    assert {i.id for i in shown} == {"shape", *WIDGETS}
    assert ask("&".join(f"{i.id}={i.default}" for i in shown)).status == 200


def test_a_hundred_at_once_are_drawn_one_at_a_time_beside_the_servers_loop(monkeypatch):
    import threading

    at_work, most, threads = 0, 0, set()

    def draw(widgets):
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        threads.add(threading.get_ident())
        at_work -= 1
        return b"png"

    async def flood():
        request = make_mocked_request("GET", "/rackfocus/aperture")
        return await asyncio.gather(*(routes.aperture(request) for _ in range(100)))

    monkeypatch.setattr(routes, "_opening", draw)
    answers = asyncio.run(flood())
    assert {a.status for a in answers} == {200} and most == 1 and threading.get_ident() not in threads


def test_the_addresses_are_added_where_there_is_a_server(monkeypatch):
    added = {}
    server = SimpleNamespace(PromptServer=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "server", server)
    routes.listen()  # a library: no server has been made
    keep = SimpleNamespace(get=lambda path: lambda handler: added.update({path: handler}))
    server.PromptServer.instance = SimpleNamespace(routes=keep)
    routes.listen()
    assert added["/rackfocus/aperture"] is routes.aperture
