import threading

import pytest
from PIL import Image

from rackfocus.dev.host.errors import RunError


def blur_prompt(name, **changes):
    blur = {"image": ["1", 0], "blur_radius": 3, "sigma": 1.0, **changes}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "ImageBlur", "inputs": blur},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "blur"}},
    }


def test_run_then_everything_cached(client):
    name = client.upload(Image.new("RGB", (61, 47), (200, 40, 40)), "red.png", subfolder="some place")
    assert name == "some place/red.png"
    first = client.run(blur_prompt(name, sigma=1.5))
    assert first.executed == ["1", "2", "3"] and not first.cached
    (picture,) = client.pictures(first, "3")
    assert picture.size == (61, 47) and picture.getpixel((30, 20)) == (200, 40, 40)
    second = client.run(blur_prompt(name, sigma=1.5))
    assert second.cached == {"1", "2", "3"} and not second.executed


def test_refused_prompt_names_the_node(client):
    name = client.upload(Image.new("RGB", (8, 8)), "black.png")
    with pytest.raises(RunError, match=r"node 2 \(ImageBlur\): Value -1\.0 smaller than min") as caught:
        client.run(blur_prompt(name, sigma=-1.0))
    assert (caught.value.kind, caught.value.node_id) == ("validation", "2")


def test_half_refused_prompt_is_an_error_too(client):
    prompt = blur_prompt(client.upload(Image.new("RGB", (8, 8)), "black.png"))
    prompt["4"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}}
    with pytest.raises(RunError, match=r"node 4 \(SaveImage\): Required input is missing: images"):
        client.run(prompt)


def test_unknown_node_type_is_named(client):
    with pytest.raises(RunError, match="NoSuchNode"):
        client.run({"1": {"class_type": "NoSuchNode", "inputs": {}}})


def test_failing_node_is_named(client):
    prompt = blur_prompt(client.upload(Image.new("RGB", (8, 8)), "black.png"))
    prompt["3"]["inputs"]["filename_prefix"] = "../../outside"
    with pytest.raises(RunError, match=r"node 3 \(SaveImage\): .*outside the output folder") as caught:
        client.run(prompt)
    assert caught.value.kind == "execution" and "Traceback" not in str(caught.value) and caught.value.traceback


def test_interrupt(client):
    big = {"class_type": "EmptyImage", "inputs": {"width": 1024, "height": 1024, "batch_size": 1, "color": 77}}
    prompt = {"0": big}
    for index in range(1, 40):
        inputs = {"image": [str(index - 1), 0], "blur_radius": 31, "sigma": 9.0}
        prompt[str(index)] = {"class_type": "ImageBlur", "inputs": inputs}
    prompt["99"] = {"class_type": "PreviewImage", "inputs": {"images": ["39", 0]}}
    number = client.queue(prompt)
    threading.Timer(0.5, client.interrupt, [number]).start()
    with pytest.raises(RunError) as caught:
        client.wait(number)
    assert caught.value.kind == "interrupted"
    assert client.run({"0": big, "1": {"class_type": "PreviewImage", "inputs": {"images": ["0", 0]}}}).outputs
