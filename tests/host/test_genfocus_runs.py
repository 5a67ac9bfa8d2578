"""Genfocus in a real host on the CPU, with tiny models from a pack of its own."""

import numpy as np
import pytest

from rackfocus.dev.host.errors import RunError
from rackfocus.dev.pictures.photo import pages
from rackfocus.tests.host.graphs import LENS, cancel, picture, slope

SIZE = (333, 250)


@pytest.fixture
def client(genfocus_host):
    with genfocus_host.client() as client:
        yield client


def graph(client, frames=2, size=SIZE, steps=3, seed=11):
    """Photo -> DeblurAiF (save: 5) and, with its depth, BokehSynthesize (save: 9); KSampler's deblur (save: 14)."""
    photo = client.upload(pages([picture(*size, s) for s in range(frames)]), "photos.png")
    depth = client.upload(slope(*size), "slope.png")
    node = lambda kind, **inputs: {"class_type": kind, "inputs": inputs}  # noqa: E731
    return {
        "1": node("LoadImage", image=photo),
        "2": node("TinyGenfocusModels"),
        "3": node(
            "LoadRefocusModel",
            engine="genfocus",
            deblur_lora="deblurNet.safetensors",
            bokeh_lora="bokehNet.safetensors",
            flux=["2", 0],
            clip=["2", 1],
            vae=["2", 2],
        ),
        "4": node("DeblurAiF", image=["1", 0], strength=1.0, model=["3", 0], steps=steps, seed=seed, defocus=["7", 0]),
        "5": node("SaveImage", images=["4", 0], filename_prefix="aif"),
        "6": node("LoadImage", image=depth),
        "7": node("RefocusLens", depth=["6", 0], image=["1", 0], **LENS),
        "8": node(
            "BokehSynthesize",
            image=["1", 0],
            defocus=["7", 0],
            quality="fast",
            highlights=8.0,
            model=["3", 0],
            steps=steps,
            seed=seed,
        ),
        "9": node("SaveImage", images=["8", 0], filename_prefix="bokeh"),
        "10": node("GenfocusConditioning", model=["3", 0], image=["1", 0], task="deblur", prompt="", guidance=0.0),
        "11": node(
            "KSampler",
            model=["10", 0],
            positive=["10", 1],
            negative=["10", 2],
            latent_image=["10", 3],
            seed=seed,
            steps=steps,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        ),
        "12": node("VAEDecode", samples=["11", 0], vae=["2", 2]),
        "13": node("ImageCrop", image=["12", 0], width=size[0], height=size[1], x=0, y=0),
        "14": node("SaveImage", images=["13", 0], filename_prefix="ksampler"),
    }


def test_the_whole_graph(client):
    """A batch of two at 333 x 250: size and count kept, previews and progress arrive, KSampler makes the same."""
    client._connect()
    previews, progress, receive = [], {}, client._socket.recv

    def recv():
        message = receive()
        if not isinstance(message, str):
            previews.append(message)
        return message

    client._socket.recv = recv
    run = client.run(graph(client), on_progress=lambda node, *at: progress.setdefault(node, []).append(at))
    made = {node: client.pictures(run, node) for node in ("5", "9", "14")}
    for pictures in made.values():
        assert [p.size for p in pictures] == [SIZE] * 2
        assert np.abs(np.subtract(*(np.asarray(p, dtype=int) for p in pictures))).max() > 1
    for ours, ksampler in zip(made["5"], made["14"], strict=True):
        assert np.abs(np.asarray(ours, dtype=int) - np.asarray(ksampler, dtype=int)).max() <= 1
    assert np.abs(np.asarray(made["5"][0], dtype=int) - np.asarray(made["9"][0], dtype=int)).max() > 1
    assert len(previews) >= 12 and all(b"\xff\xd8" in p[:200] for p in previews)  # JPEG
    for node in ("4", "8"):
        assert (6, 6) in progress[node] and {v for v, top in progress[node] if top == 6} >= {1, 3, 4, 6}


def test_cancel_is_heard_and_the_next_run_is_as_before(client):
    prompt = {k: v for k, v in graph(client, frames=1).items() if k in ("1", "2", "3", "6", "7", "8", "9")}
    before = client.pictures(client.run(prompt), "9")[0]
    prompt["8"]["inputs"].update(seed=12, steps=200)
    cancel(client, prompt, "8", 200)
    prompt["8"]["inputs"].update(seed=11, steps=3, prompt="something else")
    client.run(prompt)
    prompt["8"]["inputs"].pop("prompt")
    again = client.pictures(client.run(prompt), "9")[0]
    assert again.tobytes() == before.tobytes()


@pytest.mark.parametrize(
    "node, chosen, said",
    [
        ("8", {"bokeh_lora": "gone.safetensors"}, "bokeh_lora is 'gone.safetensors', but .* get bokehNet"),
        ("8", {"bokeh_lora": "none"}, "no bokeh_lora is chosen, but a node of this graph needs it: .* get bokehNet"),
        ("4", {"deblur_lora": "none", "bokeh_lora": "none"}, "needs a deblur_lora, .* none is chosen.* get deblurNet"),
        ("4", {"engine": "of tomorrow"}, "the engine is 'of tomorrow', but one of optical, genfocus"),
        ("4", {"engine": "learn2refocus"}, "learn2refocus needs its UNet, and none is chosen"),
        ("4", {"engine": "learn2refocus", "refocus_unet": "gone"}, "refocus_unet is 'gone', but .* tedlasai/learn2"),
    ],
)
def test_what_is_missing_is_one_error_before_a_model_is_loaded(client, node, chosen, said):
    prompt = {k: v for k, v in graph(client, frames=1, steps=1).items() if k in ("1", "2", "3", "6", "7", node)}
    prompt["99"] = {"class_type": "SaveImage", "inputs": {"images": [node, 0], "filename_prefix": "none"}}
    prompt["2"]["inputs"]["fresh"] = f"{said}"  # the cache has none of it
    widgets = {"deblur_lora": "deblurNet.safetensors", "aperture_lora": "none", "refocus_unet": "none"}
    prompt["3"]["inputs"].update({**widgets, **chosen})
    queued = client.queue(prompt)
    with pytest.raises(RunError, match=said) as error:
        client.wait(queued)
    assert [(kind, len(message) <= 400) for _, kind, message in error.value.errors] == [("LoadRefocusModel", True)]
    (failed,) = [data for kind, data in client.history(queued)["status"]["messages"] if kind == "execution_error"]
    assert "2" not in failed["executed"] and failed["exception_type"] == "rackfocus.RefocusError"


def test_another_seed_runs_what_uses_it_again_and_another_widget_does_not(client):
    """Genfocus reads the seed, and not the quality, which is the optical engine's."""
    prompt = {k: v for k, v in graph(client, frames=1, steps=1).items() if k in ("1", "2", "3", "6", "7", "8", "9")}
    client.run(prompt)
    prompt["8"]["inputs"].update(quality="best", highlights=3.0)
    prompt["3"]["inputs"].update(refocus_unet="none")
    assert not client.run(prompt).executed
    prompt["8"]["inputs"]["seed"] = 12
    assert set(client.run(prompt).executed) == {"8", "9"}


def test_the_model_is_bit_identical_after_a_cancel(client):
    """Two frames at 333 x 250, cancelled in the second: the plain MODEL then makes what it made before, to the bit."""
    node = lambda kind, **inputs: {"class_type": kind, "inputs": inputs}  # noqa: E731
    plain = {
        "2": node("TinyGenfocusModels"),
        "20": node("CLIPTextEncode", clip=["2", 1], text="a street"),
        "21": node("EmptySD3LatentImage", width=64, height=48, batch_size=1),
        "22": node(
            "KSampler",
            model=["2", 0],
            positive=["20", 0],
            negative=["20", 0],
            latent_image=["21", 0],
            seed=1,
            steps=3,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        ),
        "23": node("VAEDecode", samples=["22", 0], vae=["2", 2]),
        "24": node("SaveImage", images=["23", 0], filename_prefix="plain"),
    }
    before = client.pictures(client.run(plain), "24")[0]
    run = {k: v for k, v in graph(client, steps=40, seed=31).items() if k in ("1", "2", "3", "4", "5", "6", "7")}
    reached = []

    def on_progress(at, value, top):
        if at == "4" and value > 40:  # the first frame is finished
            if not reached:
                client.interrupt()
            reached.append((value, top))

    with pytest.raises(RunError) as error:
        client.run(run, on_progress=on_progress)
    assert error.value.kind == "interrupted" and reached[-1][0] < reached[-1][1] == 80
    after = client.run(plain)
    assert "22" in after.executed and "2" in after.cached  # sampled anew, with the MODEL of the cancelled run
    assert client.pictures(after, "24")[0].tobytes() == before.tobytes()


def test_a_missing_vae_is_one_sentence(client):
    prompt = graph(client, frames=1)
    prompt["3"]["inputs"].pop("vae")
    with pytest.raises(RunError, match="no VAE is connected"):
        client.run(prompt)
