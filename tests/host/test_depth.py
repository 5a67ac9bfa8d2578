"""RefocusDepth in a host of its own whose models folder holds tiny depth models."""

import threading

import pytest

from rackfocus.dev.host.errors import RunError
from rackfocus.dev.host.server import Host
from rackfocus.dev.pictures.photo import pages
from rackfocus.dev.tiny import depth as tiny_depth
from rackfocus.dev.workflows.build import Flow
from rackfocus.dev.workflows.convert import to_prompt
from rackfocus.tests.host.graphs import LENS, picture


@pytest.fixture(scope="module")
def depth_host(tmp_path_factory):
    base = tmp_path_factory.mktemp("depth_host")
    tiny_depth.save("anything", base / "models" / "refocus" / "relative")
    tiny_depth.save("anything_metric", base / "more" / "metric")
    (base / "more.yaml").write_text(f"artist:\n  base_path: {base}\n  refocus: more\n")
    with Host(base, args=["--extra-model-paths-config", str(base / "more.yaml")]) as host:
        yield host


@pytest.fixture
def client(depth_host):
    with depth_host.client() as client:
        yield client


def estimate(image: str, model="relative", **widgets) -> dict:
    """LoadImage -> RefocusDepth -> RefocusLens, with depth_kind linked, -> BokehSynthesize -> SaveImage; texts."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {
            "class_type": "RefocusDepth",
            "inputs": {"image": ["1", 0], "model": model, "meaning": "auto", "nearest_m": 0.0, **widgets},
        },
        "3": {
            "class_type": "RefocusLens",
            "inputs": {**LENS, "depth": ["2", 0], "depth_kind": ["2", 1], "image": ["1", 0], "strength": 400.0},
        },
        "4": {
            "class_type": "BokehSynthesize",
            "inputs": {"image": ["1", 0], "defocus": ["3", 0], "quality": "fast", "highlights": 1.0},
        },
        "5": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "filename_prefix": "depth"}},
        "6": {"class_type": "PreviewAny", "inputs": {"source": ["2", 1]}},
        "7": {"class_type": "PreviewAny", "inputs": {"source": ["2", 2]}},
        "8": {"class_type": "StringConcatenate", "inputs": {"string_a": ["2", 1], "string_b": "", "delimiter": ""}},
        "9": {"class_type": "PreviewAny", "inputs": {"source": ["8", 0]}},
    }


def text(run, node):
    return run.outputs[node]["text"][0]


@pytest.mark.parametrize("model, kind", [("relative", "disparity"), ("metric", "metres")])
def test_a_batch_from_picture_to_bokeh_with_the_kind_linked(client, model, kind):
    image = client.upload(pages([picture(133, 75, s) for s in range(3)]), "clip.png")
    steps = []
    run = client.run(estimate(image, model), on_progress=lambda node, value, top: steps.append((node, value, top)))
    made = client.pictures(run, "5")
    assert len(made) == 3 and {p.size for p in made} == {(133, 75)} and len({p.tobytes() for p in made}) == 3
    assert [p.size for p in client.pictures(run, "2")] == [(133, 75)] * 3  # shown in the node
    assert text(run, "6") == text(run, "9") == kind and text(run, "7").startswith(f"{model} (depth_anything)")
    values = [value for node, value, top in steps if node == "2"]
    assert values == sorted(values) and values[0] < 100 and values[-1] == 300  # newer hosts leave some of them out


def test_a_workflow_may_link_the_kind(client):
    flow = Flow(client.object_info())
    photo = flow.node("LoadImage", (0, 0), image=client.upload(picture(64, 48), "small.png"))
    depth = flow.node("RefocusDepth", (300, 0), image=photo["IMAGE"], model="metric")
    lens = flow.node("RefocusLens", (600, 0), depth=depth["depth"], depth_kind=depth["depth_kind"])
    flow.node("PreviewImage", (900, 0), images=lens["overlay"])
    prompt = to_prompt(flow.to_dict(), client.object_info())
    assert prompt[str(lens.id)]["inputs"]["depth_kind"] == [str(depth.id), 1]
    assert client.run(prompt)


def test_the_info_text_cannot_be_taken_for_a_kind(client):
    """A plain STRING is refused by the host's combos; that is why depth_kind has a type of its own."""
    prompt = estimate(client.upload(picture(64, 48), "small.png"))
    prompt["3"]["inputs"]["depth_kind"] = ["2", 2]
    with pytest.raises(RunError, match="STRING"):
        client.run(prompt)


def test_models_of_extra_paths_are_offered_and_others_refused_in_a_sentence(client):
    options = client.object_info()["RefocusDepth"]["input"]["required"]["model"][1]["options"]
    assert options == ["metric", "relative"]
    with pytest.raises(RunError, match="'gone' is not in models/refocus, but one of metric, relative"):
        client.run(estimate(client.upload(picture(64, 48), "small.png"), "gone"))


def test_with_nothing_installed_the_node_says_what_to_get(host):
    with host.client() as client, pytest.raises(RunError, match=r"weights fetch depth gets .*vits_fp16\.safetensors"):
        client.run(estimate(client.upload(picture(64, 48), "small.png"), "none installed"))


def test_cancel_between_frames_and_the_next_run_works(client):
    image = client.upload(pages([picture(600, 400, s) for s in range(60)]), "long.png")
    pressed = []
    lock = threading.Lock()

    def on_progress(node, value, top):
        with lock:
            if node == "2" and value < top and not pressed:
                pressed.append(value)
                client.interrupt()

    with pytest.raises(RunError) as error:
        client.run(estimate(image), on_progress=on_progress)
    assert error.value.kind == "interrupted" and pressed
    assert client.pictures(client.run(estimate(client.upload(picture(64, 48), "small.png"))), "5")
