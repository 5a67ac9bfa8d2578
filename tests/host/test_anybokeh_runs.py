"""AnyBokeh in a real host on the CPU, with tiny models from a pack of its own."""

import numpy as np
import pytest

from rackfocus.dev.host.errors import RunError
from rackfocus.dev.pictures.photo import pages
from rackfocus.tests.host.graphs import LENS, cancel, picture, slope

SIZE = (333, 250)
STAGE = "AnyBokeh/{}/pytorch_lora_weights.safetensors"


@pytest.fixture
def client(genfocus_host):
    with genfocus_host.client() as client:
        yield client


def graph(client, frames=2, steps=1, seed=11):
    """Photo -> DeblurAiF (save: 5); with a lens BokehSynthesize (save: 9)."""
    photo = client.upload(pages([picture(*SIZE, s) for s in range(frames)]), "photos.png")
    depth = client.upload(slope(*SIZE), "slope.png")
    node = lambda kind, **inputs: {"class_type": kind, "inputs": inputs}  # noqa: E731
    run = {"model": ["3", 0], "steps": steps, "seed": seed}
    return {
        "1": node("LoadImage", image=photo),
        "2": node("TinyFillModels"),
        "3": node(
            "LoadRefocusModel",
            engine="anybokeh",
            stage1_lora=STAGE.format("stage1"),
            stage2_lora=STAGE.format("stage2"),
            prompt_embeds="AnyBokeh/prompts.safetensors",
            flux=["2", 0],
            vae=["2", 1],
        ),
        "4": node("DeblurAiF", image=["1", 0], strength=1.0, **run),
        "5": node("SaveImage", images=["4", 0], filename_prefix="aif"),
        "6": node("LoadImage", image=depth),
        "7": node("RefocusLens", depth=["6", 0], image=["1", 0], **LENS),
        "8": node("BokehSynthesize", image=["1", 0], defocus=["7", 0], quality="fast", highlights=8.0, **run),
        "9": node("SaveImage", images=["8", 0], filename_prefix="bokeh"),
    }


def test_the_whole_graph(client):
    """A batch of two at 333 x 250: size and count kept, and one bar over stage 1 and all tiles."""
    progress = {}
    run = client.run(graph(client), on_progress=lambda node, *at: progress.setdefault(node, []).append(at))
    made = {node: client.pictures(run, node) for node in ("5", "9")}
    for pictures in made.values():
        assert [p.size for p in pictures] == [SIZE] * 2
        assert np.abs(np.subtract(*(np.asarray(p, dtype=int) for p in pictures))).max() > 1
        assert np.asarray(pictures[0])[0].max() > 20  # no black frame
    assert made["5"][0].tobytes() != made["9"][0].tobytes()  # the tiny model makes little of a blur
    # Stage 1 of two photos and four tiles of each, once; what it said it says again to the second node.
    tops = {node: {top for _, top in progress[node]} for node in ("4", "8")}
    assert {10, 8} == tops["4"] | tops["8"] and all(len(top) == 1 for top in tops.values())


def test_cancel_is_heard_and_the_next_run_is_as_before(client):
    prompt = {k: v for k, v in graph(client, frames=1).items() if k in ("1", "2", "3", "4", "5")}
    before = client.pictures(client.run(prompt), "5")[0]
    prompt["4"]["inputs"].update(seed=12, steps=200)
    cancel(client, prompt, "4", 200)
    prompt["4"]["inputs"].update(seed=11, steps=1, strength=0.5)
    client.run(prompt)
    prompt["4"]["inputs"]["strength"] = 1.0
    again = client.pictures(client.run(prompt), "5")[0]
    assert again.tobytes() == before.tobytes()


@pytest.mark.parametrize(
    "node, chosen, said",
    [
        ("3", {"stage1_lora": "none"}, "no stage1_lora is chosen"),
        ("3", {"flux": ["10", 0], "vae": ["10", 2]}, "plain FLUX.1-dev), but AnyBokeh paints with FLUX.1-Fill-dev"),
        ("3", {"prompt_embeds": "gone.safetensors"}, "models/refocus has no such file"),
    ],
)
def test_one_sentence(client, node, chosen, said):
    prompt = {k: v for k, v in graph(client, frames=1).items() if k in ("1", "2", "3", "4", "5")}
    prompt["10"] = {"class_type": "TinyGenfocusModels", "inputs": {}}
    prompt[node]["inputs"].update(chosen)
    with pytest.raises(RunError) as error:
        client.run(prompt)
    assert said in str(error.value) and "Traceback" not in str(error.value)
