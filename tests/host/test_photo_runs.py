"""RefocusPhoto on a real host: 333 x 250, batches, cancel, errors."""

import pytest

from rackfocus.dev.host.errors import RunError
from rackfocus.dev.pictures.photo import pages
from rackfocus.tests.host.graphs import picture, slope

SIZE = (333, 250)
WIDGETS = {
    "focus_x": 0.2,
    "focus_y": 0.6,
    "blur": 40.0,
    "keep": True,
    "finish": "model",
    "depth_kind": "auto",
    "quality": "fast",
    "highlights": 8.0,
}


def graph(image, far=None, **widgets):
    """LoadImage (x 2) -> RefocusPhoto (3) -> SaveImage (4)."""
    given = {"image": ["1", 0], **WIDGETS, **widgets}
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "3": {"class_type": "RefocusPhoto", "inputs": given},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "photo"}},
    }
    if far:
        prompt["2"] = {"class_type": "LoadImage", "inputs": {"image": far}}
        given["depth"] = ["2", 0]
    return prompt


def test_a_batch_of_odd_size(client):
    image = client.upload(pages([picture(*SIZE, 1), picture(*SIZE, 2)]), "photos.png")
    depth = client.upload(slope(100, 75), "photos_depth.png")
    run = client.run(graph(image, depth))
    made = client.pictures(run, "4")
    assert [p.size for p in made] == [SIZE, SIZE] and made[0].tobytes() != made[1].tobytes()
    (left,) = run.outputs["3"]["rackfocus"]
    assert left["of"] == 2 and left["depth_kind"] == "auto" and left["after"]["width"] == SIZE[0]
    assert {"3", "4"} <= client.run(graph(image, depth)).cached


def test_blur_0_without_depth(client):
    image = client.upload(picture(*SIZE, 1), "photo.png")
    assert [p.size for p in client.pictures(client.run(graph(image, blur=0.0)), "4")] == [SIZE]


@pytest.mark.parametrize(
    "widgets, said",
    [
        ({"focus_x": 1.2}, "bigger than max"),
        ({"blur": -1.0}, "smaller than min"),
        ({"finish": "paint"}, r"model\W+optical"),
        ({"depth": ["1", 0]}, "picture in colour"),
        ({}, "no depth map is connected"),
    ],
)
def test_wrong_values_are_refused_in_a_sentence(client, widgets, said):
    with pytest.raises(RunError, match=said) as error:
        client.run(graph(client.upload(picture(*SIZE, 1), "photo.png"), **widgets))
    assert "Traceback" not in error.value.message


def test_cancel_stops_it_and_the_next_run_works(client):
    image = client.upload(picture(2000, 1400), "large_photo.png")
    depth = client.upload(slope(2000, 1400), "large_photo_depth.png")
    told = []

    def on_progress(node, value, maximum):
        if node == "3":
            told.append(value / maximum)
            if len(told) == 1:
                client.interrupt()

    with pytest.raises(RunError) as error:
        client.run(graph(image, depth, quality="best"), on_progress=on_progress)
    assert error.value.kind == "interrupted" and told[-1] < 0.9
    small = client.upload(picture(64, 48), "small.png"), client.upload(slope(64, 48), "small_depth.png")
    assert client.pictures(client.run(graph(*small)), "4")
