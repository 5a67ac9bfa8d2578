"""`make demo`, the first command of the README: each of its parts gives its pictures on a running host."""

import pytest
from PIL import ImageChops

from rackfocus.dev.pictures import demo
from rackfocus.dev.pictures.photo import motorcycle


@pytest.fixture
def client(client):
    for name, picture in zip(("motorcycle.png", "motorcycle_depth.png"), motorcycle(), strict=True):
        client.upload(picture.resize((96, 65)), name)
    return client


def differ(a, b):
    return ImageChops.difference(a.convert("RGB"), b.convert("RGB")).getbbox() is not None


def test_a_photo_refocused(client):
    made = {name: picture for name, _, picture in demo.refocus(client)}
    assert set(made) == {*(name for name, _, _ in demo.SHOTS), "overlay"}
    assert {p.size for p in made.values()} == {(96, 65)}
    assert differ(made["near"], made["far"]) and differ(made["middle"], made["overlay"])


def test_a_stack_one_of_it_and_all(client):
    made = {name: picture for name, _, picture in demo.focal_stack(client)}
    assert set(made) == {"stack", "selected", "fused", "order"}
    assert differ(made["selected"], made["fused"]) and len(made["order"].convert("L").getcolors()) > 2
