"""The host's page in Chromium, as an artist meets it: templates open, run, show their result, and fit their nodes."""

import pytest

from rackfocus.dev.workflows.convert import load, to_prompt
from rackfocus.dev.workflows.optical import OPTICAL
from rackfocus.dev.workflows.write import FOLDER, WORKFLOWS

RENDERER = "canvas"
FIRST, *OTHERS = OPTICAL


@pytest.mark.parametrize("name", [FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_a_template_opens_and_runs_to_a_picture(page, name):
    page.open_template(name)
    run = page.run()
    assert any(node for node in run.outputs.values() if node.get("images"))


def test_every_node_is_as_large_as_the_renderer_needs_it(page):
    """Else it would grow over its neighbours and out of its group."""
    small = {}
    for name in WORKFLOWS:
        workflow = load(FOLDER / f"{name}.json")
        page.load(workflow)
        # Notes lie at the foot of their columns: the Vue page of 1.32 makes some a line or two taller.
        small[name] = [found for found in page.too_small(workflow) if found[0] != "MarkdownNote"]
    assert not any(small.values()), {name: found for name, found in small.items() if found}


def test_a_second_run_executes_nothing(page):
    """Whatever the page does with a seed of its own at each Run."""
    page.load(load(FOLDER / f"{FIRST}.json"))
    page.run()
    again = page.run()
    assert set(page.prompts[-1]) <= again.cached


def test_a_fresh_node_keeps_its_picture_over_two_runs(page):
    """BokehSynthesize as the artist adds it, not as the template saved it: its seed starts as the page starts it."""
    page.load(load(FOLDER / f"{FIRST}.json"))
    page.add_in_place_of("BokehSynthesize")
    first = page.run()
    again = page.run()
    ran = set(page.prompts[-1]) - again.cached
    assert "BokehSynthesize" in {node["class_type"] for node in page.prompts[-1].values()} and not ran, ran
    assert first.prompt_id != again.prompt_id


def test_the_page_makes_the_prompt_that_the_packs_converter_makes(page):
    """So that what is tested without a page is what the page queues."""
    info = page.client.object_info()
    for name in OPTICAL:
        workflow = load(FOLDER / f"{name}.json")
        page.load(workflow)
        made = {node: entry["inputs"] for node, entry in page.prompt().items()}
        assert made == {node: entry["inputs"] for node, entry in to_prompt(workflow, info).items()}
