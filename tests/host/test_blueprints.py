"""The files of subgraphs/: what their script writes, listed by the host, whole."""

import pytest

from rackfocus.dev.host.paths import COMFY, COMFY_VERSION, version
from rackfocus.dev.workflows.blueprints import BLUEPRINTS, FOLDER, INSIDE, OUTSIDE
from rackfocus.dev.workflows.convert import compatible, load


@pytest.fixture(params=BLUEPRINTS)
def blueprint(request):
    return load(FOLDER / f"{request.param}.json")


@pytest.mark.skipif(version(COMFY) != COMFY_VERSION, reason="they are written on the ComfyUI that they name")
def test_files_are_what_their_script_writes(object_info):
    """Else: python -m dev.workflows write."""
    assert {path.stem for path in FOLDER.glob("*.json")} == set(BLUEPRINTS)
    for name, make in BLUEPRINTS.items():
        assert load(FOLDER / f"{name}.json") == make(object_info).to_dict(), name


def test_the_host_lists_them(client):
    answer = client.session.get(f"{client.url}/global_subgraphs")
    if answer.status_code == 404:
        pytest.skip("This host has no blueprints.")
    ours = {b["name"] for b in answer.json().values() if b["info"]["node_pack"] == "custom_nodes.rackfocus"}
    assert ours == set(BLUEPRINTS)


def test_both_ends_of_every_link_know_it(blueprint):
    (inside,) = blueprint["definitions"]["subgraphs"]
    nodes = {node["id"]: node for node in inside["nodes"]}
    for link in inside["links"]:
        if link["origin_id"] == INSIDE:
            origin = inside["inputs"][link["origin_slot"]]
            assert link["id"] in origin["linkIds"]
        else:
            origin = nodes[link["origin_id"]]["outputs"][link["origin_slot"]]
            assert link["id"] in origin["links"]
        if link["target_id"] == OUTSIDE:
            target = inside["outputs"][link["target_slot"]]
            assert target["linkIds"] == [link["id"]]
        else:
            target = nodes[link["target_id"]]["inputs"][link["target_slot"]]
            assert target["link"] == link["id"]
        assert compatible(origin["type"], target["type"]) and link["type"] == origin["type"]
    assert all(slot["linkIds"] for slot in inside["inputs"] + inside["outputs"])


def test_the_box_has_the_sockets_of_its_inside(blueprint):
    (box,), (inside,) = blueprint["nodes"], blueprint["definitions"]["subgraphs"]
    assert box["type"] == inside["id"] and box["title"] == inside["name"]
    for side in ("inputs", "outputs"):
        assert [(s["name"], s["type"]) for s in box[side]] == [(s["name"], s["type"]) for s in inside[side]]
    promoted = [socket["name"] for socket in box["inputs"] if "widget" in socket]
    assert promoted == [name for _, name in box["properties"]["proxyWidgets"]]
    assert len(box["title"]) <= 20, "older node libraries break a longer name within a word"
