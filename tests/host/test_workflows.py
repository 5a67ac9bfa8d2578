"""The shipped workflows, posted to a real host as their API form."""

import json
from itertools import combinations, pairwise

import numpy as np
import pytest
from PIL import Image, ImageSequence

from rackfocus.dev.bench.truth import scenes
from rackfocus.dev.host.paths import COMFY, COMFY_VERSION, version
from rackfocus.dev.pictures.demo import by_type
from rackfocus.dev.pictures.photo import motorcycle, pages
from rackfocus.dev.workflows.convert import load, to_prompt
from rackfocus.dev.workflows.write import WORKFLOWS


@pytest.fixture(scope="module")
def inputs(host, truth_frames):
    """The pictures that the workflows name, in the host's input folder."""
    with host.client() as client:
        photo, depth = motorcycle()
        client.upload(photo.resize((371, 250)), "motorcycle.png")
        client.upload(depth.resize((370, 251)), "motorcycle_depth.png")
        client.upload(pages(truth_frames), "focal_stack.tiff")


@pytest.mark.skipif(version(COMFY) != COMFY_VERSION, reason="workflow files are written on the ComfyUI they name")
def test_files_are_what_their_script_writes(root, object_info):
    assert {p.stem for p in (root / "workflows").glob("*.json")} == set(WORKFLOWS)
    for name, make in WORKFLOWS.items():
        written = json.loads((root / "workflows" / f"{name}.json").read_text(encoding="utf-8"))
        assert written == json.loads(json.dumps(make(object_info).to_dict())), (
            f"{name}: run python -m dev.workflows write"
        )


@pytest.mark.parametrize("name", WORKFLOWS)
def test_only_this_pack_and_core_nodes(root, name):
    flow = load(root / "workflows" / f"{name}.json")
    packs = {n["properties"]["cnr_id"] for n in flow["nodes"] if n["type"] != "MarkdownNote"}
    assert packs == {"rackfocus", "comfy-core"}
    with Image.open(root / "workflows" / f"{name}.jpg") as thumbnail:
        assert min(thumbnail.size) >= 200


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_node_lies_on_another(root, name):
    boxes = [(*n["pos"], *n["size"]) for n in load(root / "workflows" / f"{name}.json")["nodes"]]
    for (x, y, w, h), (x2, y2, w2, h2) in combinations(boxes, 2):  # a title of 30 lies above each
        assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 - 30 or y2 + h2 <= y - 30


def test_refocus_photo(root, client, inputs):
    prompt = to_prompt(load(root / "workflows" / "refocus_photo.json"), client.object_info())
    made = client.pictures(client.run(prompt), by_type(prompt, "SaveImage"))
    sharp = motorcycle()[0].resize((371, 250))
    assert made[0].size == (371, 250)
    assert np.abs(np.asarray(made[0], float) - np.asarray(sharp, float)).mean() > 3


def test_focal_stack(root, client, inputs):
    prompt = to_prompt(load(root / "workflows" / "focal_stack.json"), client.object_info())
    run = client.run(prompt)
    made = {
        prompt[i]["inputs"]["filename_prefix"]: client.pictures(run, i)
        for i in prompt
        if prompt[i]["class_type"] == "SaveImage"
    }
    assert len(made["rackfocus/stack"]) == 9
    sharp = np.asarray(motorcycle()[0].resize((371, 250)), float)

    def error(p):
        return np.square(np.asarray(p, float) - sharp).mean()

    assert error(made["rackfocus/fused"][0]) < 0.5 * min(map(error, made["rackfocus/stack"]))


def test_fuse_focal_stack(root, client, inputs, truth_frames):
    prompt = to_prompt(load(root / "workflows" / "fuse_focal_stack.json"), client.object_info())
    run = client.run(prompt)
    made = client.pictures(run, by_type(prompt, "SaveImage"))
    assert made[0].size == truth_frames[0].size
    order = np.asarray(client.pictures(run, by_type(prompt, "PreviewImage"))[0].convert("L"), float)
    assert order.std() > 20


def gradients(picture) -> np.ndarray:
    """How much neighbouring columns differ: sharpness."""
    return np.abs(np.diff(np.asarray(picture.convert("L"), float)))


def test_rack_focus(root, client, inputs):
    prompt = to_prompt(load(root / "workflows" / "rack_focus.json"), client.object_info())
    run = client.run(prompt)
    (film,) = client.pictures(run, by_type(prompt, "SaveAnimatedWEBP"))
    assert film.n_frames == 16 and film.size == (371, 250)
    frames = [gradients(f.copy()) for f in ImageSequence.Iterator(film)]
    wheel, wall = np.s_[160:220, 310:360], np.s_[20:80, 5:60]
    for near, far in pairwise(frames[::5]):
        assert near[wheel].mean() > far[wheel].mean() and near[wall].mean() < far[wall].mean()
    assert frames[0][wheel].mean() > 2 * frames[-1][wheel].mean()
    assert frames[-1][wall].mean() > 2 * frames[0][wall].mean()


def test_stack_new_aperture(root, client, inputs):
    prompt = to_prompt(load(root / "workflows" / "stack_new_aperture.json"), client.object_info())
    run = client.run(prompt)
    sharp = np.asarray(scenes()[0].png[0])
    made = np.asarray(client.pictures(run, by_type(prompt, "SaveImage"))[0], float) / 255
    assert made.shape == sharp.shape and np.abs(made - sharp).mean() > 0.02
    # The order map has the far end at 1: taken the wrong way round, what is behind the focus would be tinted blue.
    disparity = 1 / scenes()[0].depth[0].numpy()
    far = disparity < 0.5 * disparity[96, 192]
    tint = np.asarray(client.pictures(run, by_type(prompt, "PreviewImage"))[0], float)
    assert (tint[..., 0] > tint[..., 2] + 20)[far].mean() > 0.8
