"""The pack's own addresses on the host's server, and what a run leaves for its page."""

import io

import numpy as np
import pytest
import requests
from PIL import Image

from rackfocus.pipelines.optics import aperture_mask


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_the_opening_is_drawn_over_http(host, prefix):
    given = {"shape": "star", "blades": 6, "rotation": 10.0}
    answer = requests.get(f"{host.url}{prefix}/rackfocus/aperture", params=given, timeout=60)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "image/png"
    made = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert (made == (255 * aperture_mask(**given)[0].numpy()).astype(np.uint8)).all()


@pytest.mark.parametrize("query", ["shape=square", "blades=2", "squeeze=nan", "size=4096", "rotation=%00"])
def test_anything_odd_is_one_sentence(host, query):
    answer = requests.get(f"{host.url}/rackfocus/aperture?{query}", timeout=60)
    assert answer.status_code == 400 and answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text.endswith(".") and "\n" not in answer.text and "Traceback" not in answer.text


def test_a_stack_leaves_a_film_that_the_page_can_fetch(client):
    prompt = {
        "1": {"class_type": "RefocusSample", "inputs": {}},
        "2": {"class_type": "SelectFocusFrame", "inputs": {
            "stack": ["1", 3], "select_by": "point", "position": 0.5, "focus_x": 0.3, "focus_y": 0.6, "blend": True}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }  # fmt: skip
    run = client.run(prompt)
    film = run.outputs["2"]["rackfocus"][0]["film"]
    assert (film["frames"], film["kept"]) == (9, 9)
    for name in ("sheet", "map"):
        entry = film[name]
        given = {k: entry[k] for k in ("filename", "subfolder", "type")}
        answer = requests.get(f"{client.url}/view", params=given, timeout=60)
        assert Image.open(io.BytesIO(answer.content)).size == (entry["width"], entry["height"])
