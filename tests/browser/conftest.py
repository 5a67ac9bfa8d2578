"""One host and one browser for all tests here, a page in each renderer; what a failure leaves in out/browser.

RACKFOCUS_FRONTEND chooses another front end, see dev/host/frontend.py. Without a browser these tests are not run, and
the last line says so; RACKFOCUS_NEEDS_BROWSER=1, for checks on pull requests, makes that an error.
"""

import os
import re
from pathlib import Path

import pytest
from PIL import Image

from rackfocus.dev.host.browser import find, missing
from rackfocus.dev.host.page import Browser, Page
from rackfocus.dev.host.server import Host

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
OUT = ROOT / "out" / "browser"
left_out = []


def pytest_itemcollected(item):
    """`make test` tries a file in its RENDERER alone, where little depends on it; `make browser` in both."""
    renderer = item.callspec.params.get("renderer_page") if hasattr(item, "callspec") else None
    if renderer and getattr(item.module, "RENDERER", renderer) != renderer:
        item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    here = [item for item in items if HERE in item.path.parents]
    # Playwright's loop stays until the end of the session, and no other can run beside it: these tests come last.
    items.sort(key=lambda item: HERE in item.path.parents)
    if not here or find():
        return
    if os.environ.get("RACKFOCUS_NEEDS_BROWSER", "") not in ("", "0"):
        raise pytest.UsageError(missing())
    left_out.extend(here)
    items[:] = [item for item in items if item not in here]
    config.hook.pytest_deselected(items=here)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter):
    if left_out:
        text = f"NOT RUN: the {len(left_out)} tests in the browser. {missing()}"
        terminalreporter.write_line(text, red=True, bold=True)


def pytest_sessionfinish(session, exitstatus):
    if left_out and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Let fixtures know whether the test has failed."""
    report = yield
    item.failed = getattr(item, "failed", False) or report.failed
    return report


@pytest.fixture(scope="session")
def host(tmp_path_factory):
    """A host that holds one picture and no model. So Load Image shows one wherever a workflow names none."""
    with Host(tmp_path_factory.mktemp("browser")) as host:
        with host.client() as client:
            client.upload(Image.new("RGB", (60, 40), "teal"), "first.png")
        yield host


@pytest.fixture(scope="session")
def browser():
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def module_page(browser):
    """A page without a host, which can import what lies in web/view: `await import('http://pack/lens.mjs')`."""
    page = browser.new_page()
    page.route("http://pack/**", lambda route: _serve(route, route.request.url.removeprefix("http://pack/")))
    page.goto("http://pack/")
    yield page
    page.close()


def _serve(route, name):
    if name.endswith((".js", ".mjs")):
        body = (ROOT / "web" / "view" / name).read_text(encoding="utf-8")
        return route.fulfill(body=body, content_type="text/javascript")
    return route.fulfill(body="<!doctype html>", content_type="text/html")


@pytest.fixture(scope="module", params=["canvas", "vue"])
def renderer_page(request, host, browser):
    """The page in one renderer, kept for the tests of a file: pages keep tabs and alerts of all that they loaded."""
    with Page(host, vue=request.param == "vue", browser=browser) as page:
        if page.vue and not page.has_vue():
            pytest.skip("This front end has no Vue renderer.")
        yield page


@pytest.fixture
def page(request, renderer_page):
    """The page in each renderer that can draw views, empty. After the test: none of our errors in its console."""
    if not renderer_page.draws_views():
        pytest.skip("This renderer of this front end shows no pack's elements in nodes.")
    yield from watched(request, renderer_page)


@pytest.fixture
def canvas_page(request, host, browser):
    """A page of its own in the canvas renderer, for what does not depend on the renderer."""
    with Page(host, browser=browser) as page:
        yield from watched(request, page)


def watched(request, page):
    """Empty the page for a test; after it, as before it, there is none of our errors in the console."""
    assert not page.errors()
    page.empty()
    yield page
    errors = page.errors()
    if errors or request.node.failed:
        page.keep(OUT / re.sub(r"[^\w.-]+", "_", request.node.name).strip("_"))
    assert not errors, "\n".join(errors)
