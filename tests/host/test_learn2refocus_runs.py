"""learn2refocus in a real host on the CPU, with tiny models from a pack of its own."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from rackfocus.dev.host.errors import RunError
from rackfocus.dev.host.server import Host
from rackfocus.dev.pictures.photo import pages
from rackfocus.dev.workflows.convert import load, to_prompt
from rackfocus.dev.workflows.learn2refocus import LEARN2REFOCUS, UNET
from rackfocus.tests.host.graphs import cancel, picture

SIZE = (333, 250)
GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "learn2refocus"


@pytest.fixture(scope="module")
def svd_host(tmp_path_factory):
    base = tmp_path_factory.mktemp("svd-host")
    for name in ("refocus.safetensors", UNET):
        (base / "models" / "diffusion_models" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(GOLDEN / "unet.safetensors", base / "models" / "diffusion_models" / name)
    (base / "custom_nodes").mkdir()
    (base / "custom_nodes" / "tiny").symlink_to(Path(__file__).parent / "tiny_pack", target_is_directory=True)
    host = Host(base, args=["--preview-method", "latent2rgb"]).start()
    yield host
    host.stop()


@pytest.fixture
def client(svd_host):
    with svd_host.client() as client:
        yield client


def graph(client, photos=1, **stack) -> dict:
    """Photo -> FocalStackGenerate (save: 5) -> SelectFocusFrame (save: 7) and StackFuse (save: 9)."""
    image = client.upload(pages([picture(*SIZE, s) for s in range(photos)]), "photos.png")
    node = lambda kind, **inputs: {"class_type": kind, "inputs": inputs}  # noqa: E731
    return {
        "1": node("LoadImage", image=image),
        "2": node("TinySvdModels"),
        "3": node(
            "LoadRefocusModel",
            engine="learn2refocus",
            refocus_unet="refocus.safetensors",
            clip_vision=["2", 1],
            vae=["2", 2],
        ),
        "4": node(
            "FocalStackGenerate",
            image=["1", 0],
            frames=9,
            strength=30.0,
            depth_kind="auto",
            quality="fast",
            highlights=8.0,
            model=["3", 0],
            **{"input_position": "4", "steps": 3, "max_megapixels": 0.02, "keep_input": True, **stack},
        ),
        "5": node("SaveImage", images=["4", 0], filename_prefix="stack"),
        "6": node(
            "SelectFocusFrame", stack=["4", 0], select_by="position", position=0.5, focus_x=0.5, focus_y=0.5, blend=True
        ),
        "7": node("SaveImage", images=["6", 0], filename_prefix="selected"),
        "8": node("StackFuse", stack=["4", 0], method="pyramid", first=0, last=-1, align=False),
        "9": node("SaveImage", images=["8", 0], filename_prefix="fused"),
        "10": node("PreviewAny", source=["4", 2]),
    }


def test_the_whole_graph(client):
    """Photo 333 x 250 -> nine frames -> one selected, all fused; size kept, previews and progress arrive."""
    client._connect()
    previews, progress, receive = [], {}, client._socket.recv

    def recv():
        message = receive()
        if not isinstance(message, str):
            previews.append(message)
        return message

    client._socket.recv = recv
    run = client.run(graph(client), on_progress=lambda node, *at: progress.setdefault(node, []).append(at))
    stack, selected, fused = (client.pictures(run, node) for node in ("5", "7", "9"))
    assert len(stack) == 9 and len(selected) == len(fused) == 1
    assert {p.size for p in stack + selected + fused} == {SIZE}
    assert len({p.tobytes() for p in stack}) == 9
    photo = np.asarray(picture(*SIZE, 0), dtype=int)
    for kept in (stack[4], selected[0]):  # keep_input: the photo at its own position
        assert np.array_equal(np.asarray(kept.convert("RGB"), dtype=int), photo)
    assert fused[0].tobytes() not in {p.tobytes() for p in stack}
    assert run.outputs["10"]["text"] == ["input position 4 (focused at about 10 cm)"]
    assert len(previews) >= 3 and all(b"\xff\xd8" in p[:200] for p in previews)  # JPEG
    assert {v for v, top in progress["4"] if top == 12} >= {1, 2, 3, 12}


def test_a_batch_makes_one_stack_each(client):
    prompt = graph(client, photos=2, steps=1)
    run = client.run(prompt)
    assert len(client.pictures(run, "5")) == 18 and len(client.pictures(run, "7")) == 2
    assert {p.size for p in client.pictures(run, "9")} == {SIZE}


def test_a_part_of_the_stack_is_fused(client):
    prompt = graph(client, steps=1)
    whole = client.pictures(client.run(prompt), "9")[0]
    prompt["8"]["inputs"].update(first=4, last=6)
    assert client.pictures(client.run(prompt), "9")[0].tobytes() != whole.tobytes()


def test_cancel_is_heard_and_the_next_run_is_as_before(client):
    prompt = {k: v for k, v in graph(client, max_megapixels=0.01).items() if k in "12345"}
    before = client.pictures(client.run(prompt), "5")[0]
    prompt["4"]["inputs"].update(seed=12, steps=200)
    cancel(client, prompt, "4", 200)
    prompt["4"]["inputs"].update(seed=0, steps=2)
    client.run(prompt)
    prompt["4"]["inputs"]["steps"] = 3
    again = client.pictures(client.run(prompt), "5")[0]
    assert again.tobytes() == before.tobytes()


def test_a_missing_vae_is_one_sentence(client):
    prompt = graph(client)
    prompt["3"]["inputs"].pop("vae")
    with pytest.raises(RunError, match="no VAE is connected"):
        client.run(prompt)


@pytest.mark.parametrize("name", LEARN2REFOCUS)
def test_workflows(root, client, name):
    """The shipped workflows, with the tiny models in the checkpoint loader's place, few pixels and one step."""
    prompt = to_prompt(load(root / "workflows" / f"{name}.json"), client.object_info())
    for node in prompt.values():
        if node["class_type"] == "ImageOnlyCheckpointLoader":
            node.update(class_type="TinySvdModels", inputs={})
        if node["class_type"] == "FocalStackGenerate":
            node["inputs"].update(steps=1, max_megapixels=0.01)
    run = client.run(prompt)
    saved = [p for i, node in prompt.items() if node["class_type"].startswith("Save") for p in client.pictures(run, i)]
    assert {p.size for p in saved} == {(576, 384)} and len(saved) == (2 if "All in focus" in name else 1)
    if "Focus pull" in name:
        assert saved[0].n_frames == 9
