"""DiffCamera in a real host on the CPU, with tiny models from a pack of its own."""

import numpy as np
import pytest

from rackfocus.dev.host.errors import RunError
from rackfocus.dev.pictures.photo import pages
from rackfocus.dev.workflows.convert import load, to_prompt
from rackfocus.dev.workflows.diffcamera import DIFFCAMERA
from rackfocus.tests.host.graphs import LENS, cancel, picture, slope

SIZE = (333, 250)
PHOTO = {"focus_x": 0.2, "focus_y": 0.6, "blur": 40.0, "keep": False, "finish": "model", "depth_kind": "auto"}
OPTICAL = {"quality": "fast", "highlights": 8.0}


@pytest.fixture
def client(genfocus_host):
    with genfocus_host.client() as client:
        yield client


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def graph(client, frames=2, kind="defocus", steps=3, seed=11):
    """RefocusPhoto (save: 5), DeblurAiF (save: 6), BokehSynthesize (save: 8) and a stack fused (save: 11)."""
    photo = client.upload(pages([picture(*SIZE, s) for s in range(frames)]), "photos.png")
    depth = client.upload(slope(*SIZE), "slope.png")
    drawn = {"model": ["3", 0], "steps": steps, "seed": seed}
    saved = {"5": "4", "6": "12", "8": "13", "11": "10"}
    prompt = {
        "1": node("LoadImage", image=photo),
        "2": node("TinyGenfocusModels"),
        "3": node(
            "LoadRefocusModel",
            engine="diffcamera",
            diffcamera_checkpoint=f"diffcamera_{kind}.safetensors",
            flux=["2", 0],
            vae=["2", 2],
        ),
        "4": node("RefocusPhoto", image=["1", 0], depth=["9", 0], **PHOTO, **OPTICAL, **drawn),
        "7": node("RefocusLens", depth=["9", 0], image=["1", 0], **LENS),
        "9": node("LoadImage", image=depth),
        "10": node("StackFuse", stack=["14", 0], method="average", first=0, last=-1, align=False),
        "12": node("DeblurAiF", image=["1", 0], strength=1.0, **drawn),
        "13": node("BokehSynthesize", image=["1", 0], defocus=["7", 0], **OPTICAL, **drawn),
        "14": node(
            "FocalStackGenerate",
            image=["1", 0],
            depth=["9", 0],
            frames=2,
            strength=30.0,
            depth_kind="auto",
            **OPTICAL,
            **drawn,
        ),
    }
    for save, source in saved.items():
        prompt[save] = node("SaveImage", images=[source, 0], filename_prefix=f"diffcamera{save}")
    return prompt


def only(prompt, *wanted):
    """What the wanted nodes need."""
    found, asked = {}, list(wanted)
    while asked:
        name = asked.pop()
        found[name] = prompt[name]
        asked += [v[0] for v in prompt[name]["inputs"].values() if isinstance(v, list)]
    return found


def test_the_whole_graph(client):
    """A batch of two at 333 x 250: sizes and counts kept, progress told, no text encoder."""
    progress = {}
    run = client.run(graph(client), on_progress=lambda at, *told: progress.setdefault(at, []).append(told))
    made = {save: client.pictures(run, save) for save in ("5", "6", "8", "11")}
    for save, pictures in made.items():
        assert [p.size for p in pictures] == [SIZE] * 2, save
        assert pictures[0].tobytes() != pictures[1].tobytes()
    first = [np.asarray(pictures[0], dtype=int) for pictures in made.values()]
    assert all(np.abs(a - b).max() > 1 for i, a in enumerate(first) for b in first[:i])
    for at, total in (("4", 6), ("12", 6), ("13", 6), ("14", 12)):
        assert (total, total) in progress[at] and {v for v, top in progress[at] if top == total} >= {1, 3, total}


def test_cancel_is_heard_and_the_next_run_is_as_before(client):
    prompt = only(graph(client, frames=1), "5")
    before = client.pictures(client.run(prompt), "5")[0]
    prompt["4"]["inputs"].update(seed=12, steps=200)
    cancel(client, prompt, "4", 200)
    prompt["4"]["inputs"].update(seed=11, steps=3, blur=50.0)
    client.run(prompt)
    prompt["4"]["inputs"]["blur"] = 40.0
    assert client.pictures(client.run(prompt), "5")[0].tobytes() == before.tobytes()


@pytest.mark.parametrize(
    ("save", "chosen", "said"),
    [
        ("5", {"diffcamera_checkpoint": "none"}, "no diffcamera_checkpoint is chosen"),
        ("5", {"diffcamera_checkpoint": "deblurNet.safetensors"}, "deblurNet.safetensors is no DiffCamera checkpoint"),
        ("8", {"diffcamera_checkpoint": "diffcamera_depth.safetensors"}, "gives a DEFOCUS_MAP alone: use RefocusPhoto"),
    ],
)
def test_a_wrong_checkpoint_is_one_error_before_a_model_is_loaded(client, save, chosen, said):
    prompt = only(graph(client, frames=1, steps=1), save)
    prompt["2"]["inputs"]["fresh"] = said  # the cache has none of it
    prompt["3"]["inputs"].update(chosen)
    queued = client.queue(prompt)
    with pytest.raises(RunError, match=said) as error:
        client.wait(queued)
    assert [(kind, len(message) <= 400) for _, kind, message in error.value.errors] == [("LoadRefocusModel", True)]
    (failed,) = [data for kind, data in client.history(queued)["status"]["messages"] if kind == "execution_error"]
    assert "2" not in failed["executed"] and failed["exception_type"] == "rackfocus.RefocusError"


def test_an_aperture_needs_the_optical_engine_to_finish(client):
    prompt = only(graph(client, frames=1, kind="depth", steps=1), "5")
    prompt["20"] = node("SolidMask", value=1.0, width=24, height=24)
    prompt["4"]["inputs"]["aperture"] = ["20", 0]
    with pytest.raises(RunError, match="finish is model, but diffcamera knows no shape of the opening"):
        client.run(prompt)
    prompt["4"]["inputs"]["finish"] = "optical"
    assert [p.size for p in client.pictures(client.run(prompt), "5")] == [SIZE]


# The workflows as they are shipped


def tiny(prompt):
    """The prompt with the tiny models in place of the loaders', the tiny checkpoint, and few steps and frames."""
    loaders = {"UNETLoader": 0, "VAELoader": 2}
    gone = {i: loaders[n["class_type"]] for i, n in prompt.items() if n["class_type"] in loaders}
    assert sorted(gone.values()) == [0, 2]
    out = {i: {**n, "inputs": dict(n["inputs"])} for i, n in prompt.items() if i not in gone}
    for made in out.values():
        for name, value in made["inputs"].items():
            if isinstance(value, list) and value[0] in gone:
                made["inputs"][name] = ["tiny", gone[value[0]]]
        for name, value in (("steps", 1), ("diffcamera_checkpoint", "diffcamera_defocus.safetensors")):
            if name in made["inputs"]:
                made["inputs"][name] = value
        if made["class_type"] == "RefocusSample":
            made["inputs"].update(image=["small", 0], depth=["flat", 0])
        if made["class_type"] == "RefocusRack":
            made["inputs"]["keyframes"] = "0: 0.2, 0.5 strength=4\n2: 0.2, 0.5 strength=80"
    return {**out, "tiny": node("TinyGenfocusModels")}


@pytest.mark.parametrize("name", DIFFCAMERA)
def test_the_workflows_run(root, client, name):
    """With this pack and core nodes alone; what they name that is no file of the host is the models."""
    flow = load(root / "workflows" / f"{name}.json")
    offered = {m["name"] for n in flow["nodes"] for m in n.get("properties", {}).get("models", [])}
    assert offered == {"flux1-dev.safetensors", "ae.safetensors"}
    prompt = tiny(to_prompt(flow, client.object_info()))
    prompt["small"] = node("LoadImage", image=client.upload(picture(90, 65), "small.png"))
    prompt["flat"] = node("LoadImage", image=client.upload(slope(90, 65), "small_depth.png"))
    done = client.run(prompt)
    for i, made in prompt.items():
        if made["class_type"] == "SaveImage":
            assert [p.size for p in client.pictures(done, i)] == [(90, 65)]
        if made["class_type"] == "SaveAnimatedWEBP":
            (film,) = client.pictures(done, i)
            assert film.size == (90, 65) and film.n_frames == 3
