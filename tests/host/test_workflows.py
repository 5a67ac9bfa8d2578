"""The shipped workflows of the optical engine, as their file is, in a host that holds no picture and no model."""

import io
import json
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageSequence

from rackfocus.dev.host.errors import RunError
from rackfocus.dev.host.paths import COMFY, COMFY_VERSION, version
from rackfocus.dev.pictures.demo import by_type, wake
from rackfocus.dev.pictures.photo import motorcycle, pages
from rackfocus.dev.workflows.convert import load, to_prompt
from rackfocus.dev.workflows.optical import OPTICAL
from rackfocus.dev.workflows.write import WORKFLOWS
from rackfocus.tests.host.graphs import slope

REFOCUS, STACK, FUSE, RACK, APERTURE, PHOTO = OPTICAL


@pytest.fixture(scope="module")
def sample(root):
    """(sharp picture [H, W, 3] 0..255, the nine frames, disparity [H, W] 0..1)."""
    with Image.open(root / "samples" / "chess_stack.webp") as file:
        frames = [np.asarray(frame.convert("RGB"), float) for frame in ImageSequence.Iterator(file)]
    sharp = np.asarray(Image.open(root / "samples" / "chess.jpg").convert("RGB"), float)
    depth = np.asarray(Image.open(root / "samples" / "chess_depth.png"), float) / 65535
    return sharp, frames, depth


def read(root, name):
    return load(root / "workflows" / f"{name}.json")


def shipped(root, client, name):
    """(prompt, run) of a workflow as it is shipped."""
    prompt = to_prompt(read(root, name), client.object_info())
    return prompt, client.run(prompt)


def saved(client, prompt, run):
    """{end of the file's name: pictures} of every SaveImage."""
    nodes = {i: n["inputs"]["filename_prefix"] for i, n in prompt.items() if n["class_type"] == "SaveImage"}
    return {prefix.split("/")[-1]: client.pictures(run, i) for i, prefix in nodes.items()}


def gradients(picture) -> np.ndarray:
    """How much neighbouring columns differ: sharpness."""
    return np.abs(np.diff(np.asarray(picture.convert("L"), float)))


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
    flow = read(root, name)
    packs = {n["properties"]["cnr_id"] for n in flow["nodes"] if n["type"] != "MarkdownNote"}
    assert packs == {"rackfocus", "comfy-core"}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_square_thumbnail(root, name):
    with Image.open(root / "workflows" / f"{name}.jpg") as thumbnail:
        assert thumbnail.size == (480, 480) and np.asarray(thumbnail, float).std() > 10


def test_the_browser_lists_and_serves_them(root, client):
    """Spaces in the names: the page asks for them quoted."""
    assert set(client.get("/workflow_templates")["rackfocus"]) == set(WORKFLOWS)
    for ending in ("json", "jpg"):
        answer = client.session.get(f"{client.url}/api/workflow_templates/rackfocus/1%20Refocus%20a%20photo.{ending}")
        assert answer.status_code == 200 and len(answer.content) > 5000


def test_refocus_photo(root, client, sample):
    """The king stays as he is, the books behind him blur."""
    sharp, _, _ = sample
    prompt, run = shipped(root, client, REFOCUS)
    made = np.asarray(saved(client, prompt, run)["refocused"][0], float)
    assert made.shape == sharp.shape
    lens = prompt[by_type(prompt, "RefocusLens")]["inputs"]
    x, y = round(lens["focus_x"] * sharp.shape[1]), round(lens["focus_y"] * sharp.shape[0])
    king, books = np.s_[y - 4 : y + 4, x - 4 : x + 4], np.s_[60:110, 300:500]
    assert np.abs(made[king] - sharp[king]).max() <= 2
    detail = [np.abs(np.diff(p[books], axis=1)).mean() for p in (made, sharp)]
    assert detail[0] < 0.4 * detail[1]


def test_focal_stack(root, client, sample):
    prompt, run = shipped(root, client, STACK)
    made = saved(client, prompt, run)
    assert len(made["stack"]) == 9

    def error(p):
        return np.square(np.asarray(p, float) - sample[0]).mean()

    assert error(made["fused"][0]) < 0.5 * min(map(error, made["stack"]))


def test_fuse_focal_stack(root, client, sample):
    """Sharper than any of its frames, and the order map follows the depth."""
    _, frames, depth = sample
    prompt, run = shipped(root, client, FUSE)
    made = saved(client, prompt, run)["all_in_focus"][0]
    assert made.size == frames[0].shape[1::-1]
    detail = gradients(made).mean()
    assert detail > 1.05 * max(gradients(Image.fromarray(f.astype(np.uint8))).mean() for f in frames)
    order = np.asarray(client.pictures(run, by_type(prompt, "MaskPreview"))[0].convert("L"))
    near = np.asarray(Image.fromarray(depth).resize(made.size))
    assert np.corrcoef(255 - order.ravel().astype(float), near.ravel())[0, 1] > 0.6


def test_rack_focus(root, client, sample):
    prompt, run = shipped(root, client, RACK)
    (film,) = client.pictures(run, by_type(prompt, "SaveAnimatedWEBP"))
    assert film.n_frames == 16 and film.size == sample[0].shape[1::-1]
    frames = [gradients(f.copy()) for f in ImageSequence.Iterator(film)]
    pawn, books = np.s_[400:480, 90:160], np.s_[60:110, 300:500]
    for near, far in pairwise(frames[::5]):
        assert near[pawn].mean() > far[pawn].mean() and near[books].mean() < far[books].mean()
    assert frames[0][pawn].mean() > 1.5 * frames[-1][pawn].mean()
    assert frames[-1][books].mean() > 2 * frames[0][books].mean()


def test_stack_new_aperture(root, client, sample):
    _, frames, depth = sample
    prompt, run = shipped(root, client, APERTURE)
    made = saved(client, prompt, run)["new_aperture"][0]
    assert made.size == frames[0].shape[1::-1]
    # The order map has the far end at 1: the lens must get it the other way round.
    near = np.asarray(Image.fromarray(depth).resize(made.size))
    (left,) = run.outputs[by_type(prompt, "RefocusLens")]["rackfocus"]
    red, green, _ = np.moveaxis(np.asarray(Image.open(io.BytesIO(client.fetch(left["plane"]))), float), -1, 0)
    assert np.corrcoef((256 * red + green).ravel(), near.ravel())[0, 1] > 0.6


def test_refocus_any_photo(root, client, sample):
    """Focused on the books; now the king is sharper than he was, and they are not."""
    _, frames, _ = sample
    prompt, run = shipped(root, client, PHOTO)
    made = gradients(saved(client, prompt, run)["refocused"][0])
    before = gradients(Image.fromarray(frames[-1].astype(np.uint8)))
    assert made.shape == before.shape
    given = prompt[by_type(prompt, "RefocusPhoto")]["inputs"]
    x, y = round(given["focus_x"] * made.shape[1]), round(given["focus_y"] * made.shape[0])
    king, books = np.s_[y - 50 : y + 30, x - 12 : x + 12], np.s_[60:110, 300:500]
    assert made[king].mean() > 1.2 * before[king].mean() and made[books].mean() < 0.55 * before[books].mean()


def test_ones_own_photo_and_depth_take_the_samples_place(root, client):
    photo, depth = motorcycle()[0].resize((150, 101)), slope(150, 101)
    client.upload(photo, "photo.png")
    client.upload(depth, "depth.png")
    prompt = to_prompt(read(root, REFOCUS), client.object_info())
    run = client.run(wake(prompt, image="photo.png", depth="depth.png"))
    assert saved(client, prompt, run)["refocused"][0].size == (150, 101)
    with pytest.raises(RunError, match="connect a depth map of the photo"):
        client.run(wake(prompt, image="photo.png"))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_ones_own_stack_comes_whole_from_one_file(root, client, sample, kind):
    """What the notes say of animated PNG and lossless WebP: every frame arrives, as it was."""
    frames = [Image.fromarray(f.astype(np.uint8)).resize((96, 64)) for f in sample[1]]
    name = client.upload(pages(frames, kind), f"stack.{kind.lower()}")
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "RefocusSample", "inputs": {"stack": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 3], "filename_prefix": "frames"}},
    }
    back = client.pictures(client.run(prompt), "3")
    assert len(back) == 9 and all(np.array_equal(a, b) for a, b in zip(back, frames, strict=True))


def test_a_file_of_frames_is_lossless():
    frames = [Image.fromarray(np.full((8, 9, 3), v, np.uint8)) for v in (0, 100, 101)]
    for kind in ("PNG", "WEBP"):
        with Image.open(io.BytesIO(pages(frames, kind))) as file:
            back = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(file)]
        assert all(np.array_equal(a, b) for a, b in zip(back, frames, strict=True))
