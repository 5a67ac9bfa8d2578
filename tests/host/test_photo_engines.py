"""RefocusPhoto by AnyBokeh on a real host with tiny models: its own depth, and the optical engine to finish."""

import numpy as np
import pytest

from rackfocus.dev.pictures.photo import pages
from rackfocus.tests.host.graphs import picture
from rackfocus.tests.host.test_photo_runs import SIZE, WIDGETS

STAGE = "AnyBokeh/{}/pytorch_lora_weights.safetensors"


@pytest.fixture
def client(genfocus_host):
    with genfocus_host.client() as client:
        yield client


def graph(client, **widgets):
    photo = client.upload(pages([picture(*SIZE, s) for s in range(2)]), "engine_photos.png")
    loader = {"stage1_lora": STAGE.format("stage1"), "stage2_lora": STAGE.format("stage2")}
    loader |= {"prompt_embeds": "AnyBokeh/prompts.safetensors", "flux": ["2", 0], "vae": ["2", 1]}
    asked = {"image": ["1", 0], "model": ["3", 0], "steps": 1, "seed": 5, **WIDGETS, **widgets}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": photo}},
        "2": {"class_type": "TinyFillModels", "inputs": {}},
        "3": {"class_type": "LoadRefocusModel", "inputs": {"engine": "anybokeh", **loader}},
        "4": {"class_type": "RefocusPhoto", "inputs": asked},
        "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "engine_photo"}},
    }


def test_a_batch_of_odd_size_without_a_depth_map(client):
    """By the model, and by the lens on what the model made sharp, with the depth that the model finds."""
    made = []
    for finish in ("model", "optical"):
        run = client.run(graph(client, finish=finish))
        pictures = client.pictures(run, "5")
        assert [p.size for p in pictures] == [SIZE] * 2
        assert run.outputs["4"]["rackfocus"][0]["plane"] is not None
        made.append(np.asarray(pictures[0], dtype=int))
    assert np.abs(made[0] - made[1]).max() > 1
