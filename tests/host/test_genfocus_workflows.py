"""The Genfocus workflows as they are shipped, in a real host with tiny models in place of the files they name."""

import numpy as np
import pytest
from PIL import Image

from rackfocus.dev.workflows.convert import NEVER, load, to_prompt
from rackfocus.dev.workflows.genfocus import GENFOCUS
from rackfocus.dev.workflows.thumbnails import drawing
from rackfocus.tests.host.graphs import picture
from rackfocus.weights.manifest import weight_files

DEBLUR, REFOCUS, GENERATE, SAMPLER = GENFOCUS
SIZE = (90, 65)  # sides that are not in whole tokens
LOADERS = {"UNETLoader": 0, "DualCLIPLoader": 1, "VAELoader": 2}  # what TinyGenfocusModels gives in their place


@pytest.fixture
def client(genfocus_host):
    with genfocus_host.client() as client:
        client.upload(picture(*SIZE), "photo.png")
        yield client


def read(root, name):
    """A workflow with its Load Image awake, as the note tells, at a small photo."""
    flow = load(root / "workflows" / f"{name}.json")
    for node in flow["nodes"]:
        if node["type"] == "LoadImage":
            node["mode"], node["widgets_values"][0] = 0, "photo.png"
    return flow


def tiny(prompt):
    """The prompt with the loaders' outputs from the tiny models, the tiny depth model, and few steps."""
    gone = {i: LOADERS[n["class_type"]] for i, n in prompt.items() if n["class_type"] in LOADERS}
    assert sorted(gone.values()) == [0, 1, 2]
    out = {i: {**n, "inputs": dict(n["inputs"])} for i, n in prompt.items() if i not in gone}
    for node in out.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] in gone:
                node["inputs"][name] = ["tiny", gone[value[0]]]
        if "steps" in node["inputs"]:
            node["inputs"]["steps"] = 3
    out["tiny"] = {"class_type": "TinyGenfocusModels", "inputs": {}}
    return with_depth(out)


def with_depth(prompt):
    """The random depth model is nearly flat: more strength makes up for it."""
    for node in prompt.values():
        if node["class_type"] == "RefocusLens":
            node["inputs"]["strength"] = 1000.0
        if node["class_type"] == "RefocusDepth":
            node["inputs"]["model"] = "relative"
    return prompt


def run(client, prompt) -> dict:
    """{the end of its file's name: its one picture as an array} of every SaveImage."""
    done, found = client.run(prompt), {}
    for i, node in prompt.items():
        if node["class_type"] == "SaveImage":
            (one,) = client.pictures(done, i)
            found[node["inputs"]["filename_prefix"].removeprefix("rackfocus/")] = np.asarray(one, int)
    return found


def shape(size):
    return size[1], size[0], 3


def test_deblur_and_the_sampler_make_the_same_picture(root, client):
    """The photo's size is kept; the core's sampler at the same seed and steps gives what the node gives."""
    node, sampler = (run(client, tiny(to_prompt(read(root, n), client.object_info()))) for n in (DEBLUR, SAMPLER))
    (a,), (b,) = node.values(), sampler.values()
    assert a.shape == b.shape == shape(SIZE) and np.abs(a - b).max() <= 1
    assert np.abs(a - np.asarray(picture(*SIZE), int)).mean() > 3


def test_refocus_saves_both_engines_side_by_side(root, client):
    made = run(client, tiny(to_prompt(read(root, REFOCUS), client.object_info())))
    learned, optical, both = (made[f"refocused_{n}"] for n in ("genfocus", "optical", "compared"))
    assert learned.shape == optical.shape == shape(SIZE)
    assert np.abs(learned - optical).mean() > 3
    assert np.array_equal(both[:, : SIZE[0]], learned) and np.array_equal(both[:, -SIZE[0] :], optical)
    assert both.shape[1] == 2 * SIZE[0] + 8


def test_the_optical_engine_alone_needs_no_flux(root, client):
    """As its note says: Genfocus muted and the deblurring bypassed, it runs where none of FLUX's files is."""
    flow = read(root, REFOCUS)
    for node in flow["nodes"]:
        if node.get("title") in ("Bokeh by Genfocus", "Genfocus"):
            node["mode"] = NEVER
        if node["type"] == "DeblurAiF":
            node["mode"] = 4
    made = run(client, with_depth(to_prompt(flow, client.object_info())))
    assert set(made) == {"refocused_optical", "refocused_compared"}
    assert np.array_equal(made["refocused_optical"], made["refocused_compared"])
    assert np.abs(made["refocused_optical"] - np.asarray(picture(*SIZE), int)).mean() > 3


def test_generate_deblur_enlarge_refocus(root, client):
    prompt = tiny(to_prompt(read(root, GENERATE), client.object_info()))
    for node in prompt.values():
        if node["class_type"] == "EmptySD3LatentImage":
            node["inputs"].update(width=64, height=48)
    made = run(client, prompt)
    assert made["generated"].shape == (48, 64, 3) and made["generated_refocused"].shape == (72, 96, 3)
    assert made["generated"].std() > 3 and made["generated_refocused"].std() > 3


@pytest.mark.parametrize("name", GENFOCUS)
def test_every_file_a_loader_names_is_in_the_manifest(root, name):
    """A name that the manifest does not know would leave the page with nothing to offer for a missing file."""
    known = {f.path: {"name": f.path, "url": f.url, "directory": f.folder} for f in weight_files()}
    used = set()
    for node in read(root, name)["nodes"]:
        named = [v for v in node["widgets_values"] if str(v).endswith(".safetensors")]
        assert node["properties"].get("models", []) == [known[v] for v in named], node["type"]
        used |= {node["type"]} if named else set()
    assert used >= {*LOADERS, "LoadRefocusModel"}


@pytest.mark.parametrize("name", GENFOCUS)
def test_the_thumbnail_is_a_drawing_of_the_graph_as_it_is(root, name):
    """Nothing is claimed that was not computed; a workflow changed without its drawing would show."""
    with Image.open(root / "workflows" / f"{name}.jpg") as file:
        shipped = file.convert("RGB")

    def error(workflow):
        return np.abs(np.subtract(*(np.asarray(p.reduce(2), int) for p in (drawing(workflow), shipped)))).max()

    flow = load(root / "workflows" / f"{name}.json")
    assert drawing(flow).size == shipped.size and error(flow) < 30
    flow["nodes"][1]["pos"][0] += 60
    assert error(flow) > 35
    flow["nodes"][1]["pos"][0] -= 60
    flow["links"].pop(0)
    assert error(flow) > 35
