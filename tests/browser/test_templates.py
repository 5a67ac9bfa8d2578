"""The host's page in Chromium, as an artist meets it: templates open, run, show their result, and fit their nodes."""

import pytest

from rackfocus.dev.host.page import NEEDED, Page, chromium
from rackfocus.dev.host.server import Host
from rackfocus.dev.workflows.optical import OPTICAL
from rackfocus.dev.workflows.write import WORKFLOWS

pytest.importorskip("playwright", reason=NEEDED)
if chromium() is None:
    pytest.skip(NEEDED, allow_module_level=True)


@pytest.fixture(scope="module", params=["canvas", "vue"])
def page(request, tmp_path_factory):
    """The page of a host that holds no picture and no model, in one renderer."""
    with Host(tmp_path_factory.mktemp("browser")) as host, Page(host, vue=request.param == "vue") as page:
        if request.param == "vue" and not page.has_vue():
            pytest.skip("This front end has no Vue renderer.")
        yield page


@pytest.mark.parametrize("name", OPTICAL)
def test_a_template_opens_and_runs_to_a_picture(page, name):
    page.open_template(name)
    run = page.run()
    assert any(node for node in run.outputs.values() if node.get("images"))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_node_is_as_large_as_the_renderer_needs_it(page, name):
    """Else it would grow over its neighbours and out of its group."""
    page.open_template(name)
    small = [(kind, saved, needed) for kind, saved, needed in page.sizes() if needed[1] > saved[1] + 4]
    assert not small


def test_a_second_run_executes_nothing(page):
    """Whatever the page does with a seed of its own at each Run."""
    page.open_template("1 Refocus a photo")
    page.run()
    again = page.run()
    assert set(page.prompts[-1]) <= again.cached


def test_a_fresh_node_keeps_its_picture_over_two_runs(page):
    """BokehSynthesize as the artist adds it, not as the template saved it: its seed starts as the page starts it."""
    page.open_template("1 Refocus a photo")
    page.add_in_place_of("BokehSynthesize")
    first = page.run()
    again = page.run()
    ran = set(page.prompts[-1]) - again.cached
    assert "BokehSynthesize" in {node["class_type"] for node in page.prompts[-1].values()} and not ran, ran
    assert first.prompt_id != again.prompt_id
