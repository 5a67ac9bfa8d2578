"""Graphs run through the HTTP API of a real host."""

import pytest

from rackfocus.dev.host.errors import RunError
from rackfocus.dev.pictures.photo import pages
from rackfocus.tests.host.graphs import picture, refocus, slope


def test_a_batch_and_one_depth_map(client):
    image = client.upload(pages([picture(96, 64, s) for s in range(4)]), "four.png")
    depth = client.upload(slope(96, 64), "one.png")
    made = client.pictures(client.run(refocus(image, depth)), "5")
    assert len(made) == 4 and {p.size for p in made} == {(96, 64)}
    assert len({p.tobytes() for p in made}) == 4


def test_a_batch_and_as_many_depth_maps(client):
    image = client.upload(pages([picture(96, 64)] * 4), "same.png")
    maps = [slope(96, 64), slope(96, 64).rotate(180), slope(96, 64), slope(96, 64).rotate(180)]
    depth = client.upload(pages(maps), "maps.png")
    made = [p.tobytes() for p in client.pictures(client.run(refocus(image, depth)), "5")]
    assert len(made) == 4 and made[0] == made[2] != made[1] == made[3]


def test_three_depth_maps_for_four_images_is_a_clear_error(client):
    image = client.upload(pages([picture(96, 64, s) for s in range(4)]), "four.png")
    depth = client.upload(pages([slope(96, 64)] * 3), "three.png")
    with pytest.raises(RunError, match="3 frames") as error:
        client.run(refocus(image, depth))
    assert "4" in error.value.message and "\n" not in error.value.message.strip()


@pytest.mark.parametrize("size", [(641, 427), (1, 1), (33, 250)])
def test_the_size_is_kept_and_depth_may_have_another(client, size):
    image = client.upload(picture(*size), f"p{size[0]}.png")
    depth = client.upload(slope(200, 100), "other.png")
    made = client.pictures(client.run(refocus(image, depth)), "5")
    assert [p.size for p in made] == [size]


def test_an_unchanged_graph_is_cached(client):
    image, depth = client.upload(picture(64, 48, 9), "cached.png"), client.upload(slope(64, 48), "cached_depth.png")
    prompt = refocus(image, depth, lens={"strength": 7.0})
    client.run(prompt)
    again = client.run(prompt)
    assert {"1", "2", "3", "4"} <= again.cached


def test_a_seed_that_the_engine_does_not_use_runs_nothing_again(client):
    """As a page queues a graph whose seed is drawn anew at every Run; nor does any other engine's widget."""
    image, depth = client.upload(picture(64, 48, 9), "cached.png"), client.upload(slope(64, 48), "cached_depth.png")
    prompt = refocus(image, depth, lens={"strength": 7.5}, seed=1)
    prompt["6"] = {"class_type": "DeblurAiF", "inputs": {"image": ["4", 0], "strength": 0.5, "seed": 1}}
    stack = {"frames": 3, "strength": 9.0, "depth_kind": "disparity", "quality": "fast", "highlights": 8.0, "seed": 1}
    prompt["7"] = {"class_type": "FocalStackGenerate", "inputs": {"image": ["6", 0], "depth": ["2", 0], **stack}}
    prompt["8"] = {"class_type": "SaveImage", "inputs": {"images": ["7", 0], "filename_prefix": "test"}}
    prompt["9"] = {"class_type": "LoadRefocusModel", "inputs": {"engine": "optical", "deblur_lora": "none"}}
    prompt["7"]["inputs"]["model"] = ["9", 0]
    assert set(client.run(prompt).executed) >= {"3", "4", "5", "6", "7", "8", "9"}
    for node in ("4", "6", "7"):
        prompt[node]["inputs"].update(seed=2, steps=9)
    again = client.run(prompt)
    assert not again.executed and set(prompt) <= again.cached
    prompt["7"]["inputs"]["frames"] = 4
    assert set(client.run(prompt).executed) == {"7", "8"}


def test_cancel_stops_the_rendering_and_the_next_run_works(client):
    image = client.upload(picture(2400, 1600), "large.png")
    depth = client.upload(slope(2400, 1600), "large_depth.png")
    prompt = refocus(image, depth, quality="best", lens={"strength": 25.37})
    told = []

    def on_progress(node, value, maximum):
        if node == "4":
            told.append(value / maximum)
            if len(told) == 1:
                client.interrupt()

    with pytest.raises(RunError) as error:
        client.run(prompt, on_progress=on_progress)
    assert error.value.kind == "interrupted"
    assert told[0] < 0.5 and told[-1] < 1  # it was under way, and did not go on to the end
    small = client.upload(picture(64, 48), "small.png"), client.upload(slope(64, 48), "small_depth.png")
    assert client.pictures(client.run(refocus(*small)), "5")


@pytest.mark.parametrize(
    "lens, said",
    [
        ({"focus_x": 1.2}, "bigger than max"),
        ({"strength": -3.0}, "smaller than min"),
        ({"depth_kind": "depthiness"}, r"auto\W+disparity"),
        ({"focus_by": "mask"}, "no focus_mask is connected"),
    ],
)
def test_wrong_values_are_refused_in_a_sentence(client, lens, said):
    image, depth = client.upload(picture(64, 48), "small.png"), client.upload(slope(64, 48), "small_depth.png")
    with pytest.raises(RunError, match=said):
        client.run(refocus(image, depth, lens=lens))


def test_a_latent_is_refused_where_an_image_belongs(client):
    image, depth = client.upload(picture(64, 48), "small.png"), client.upload(slope(64, 48), "small_depth.png")
    prompt = refocus(image, depth)
    prompt["9"] = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
    prompt["4"]["inputs"]["image"] = ["9", 0]
    with pytest.raises(RunError, match="LATENT"):
        client.run(prompt)


def test_an_engine_without_weights_says_what_to_get(client):
    image, depth = client.upload(picture(64, 48), "small.png"), client.upload(slope(64, 48), "small_depth.png")
    prompt = refocus(image, depth, model=["8", 0])
    prompt["8"] = {"class_type": "LoadRefocusModel", "inputs": {"engine": "genfocus"}}
    with pytest.raises(RunError, match=r"deblurNet\.safetensors"):
        client.run(prompt)
    prompt["8"]["inputs"]["engine"] = "optical"
    assert client.pictures(client.run(prompt), "5")
