"""The host's page in Chromium: load a graph or open a template, press Run, click in a node's view, look.

with Host() as host, Page(host, vue=True) as page:
    page.open_template("1 Refocus a photo")
    run = page.run()
    page.click(page.part(lens, "canvas"), 0.25, 0.75)
    page.screenshot("photo.png")

Playwright drives the browser. Everything waits for conditions; a condition may take TIMEOUT, for machines under load.
"""

import json
import os
import re

from . import page_scripts as js
from .browser import find, missing
from .paths import UserError

PACK = "rackfocus"
TIMEOUT = float(os.environ.get("RACKFOCUS_BROWSER_TIMEOUT", 120))  # s
# What the pack's own scripts, routes and extension leave in the console.
OURS = re.compile(r"/extensions/rackfocus/|://[^/]+(/api)?/rackfocus/|extension '?\"?Rackfocus")


class Browser:
    """One Chromium for several pages."""

    def __enter__(self):
        path = find()
        if path is None:
            raise UserError(missing())
        try:
            from playwright.sync_api import sync_playwright
        except ImportError as error:
            raise UserError("Playwright is missing: run `make setup`.") from error
        self.playwright = sync_playwright().start()
        try:
            self.chromium = self.playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except Exception as error:
            self.playwright.stop()
            raise UserError(f"{path} does not start as Playwright starts it: {error}") from error
        return self.chromium

    def __exit__(self, *_):
        self.chromium.close()
        self.playwright.stop()


class Page:
    """The host's page, in a browser of its own unless one is given.

    host: a running Host. vue: the Vue renderer, where the front end has it. size: of the window in pixels.
    browser: of Browser, to share it. touch: fingers, too. script: JavaScript to run before the page's own.
    without: scripts ("**/name/**") that are empty instead.
    prompts: what the page has queued, in API form. requests: (method, address) of all it asked for.
    console: what its console complained of, and exceptions that nobody caught.
    """

    def __init__(self, host, vue=False, size=(1600, 1000), browser=None, touch=False, script="", without=None):
        self.host, self.vue, self.size, self.touch, self.script = host, vue, size, touch, script
        self.without = without
        self.own = None if browser else Browser()
        self.browser = browser
        self.prompts, self.requests, self.console = [], [], []

    def __enter__(self):
        self.client = self.host.client()
        self.browser = self.browser or self.own.__enter__()
        size = {"width": self.size[0], "height": self.size[1]}
        self.context = self.browser.new_context(viewport=size, has_touch=self.touch)
        if self.script:
            self.context.add_init_script(self.script)
        if self.without:
            self.context.route(self.without, lambda route: route.fulfill(body="", content_type="text/javascript"))
        self.page = self.context.new_page()
        self.page.set_default_timeout(TIMEOUT * 1000)
        self.page.on("console", self._keep_complaint)
        self.page.on("pageerror", lambda error: self.console.append(f"{error.message}\n{error.stack}"))
        self.page.on("request", self._keep_request)
        self.start()
        return self

    def __exit__(self, *_):
        self.context.close()
        if self.own:
            self.own.__exit__()
        self.client.close()

    def _settings(self):
        """They belong to the host's user, not to the page: every load of a page reads them."""
        for name, value in {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": self.vue}.items():
            self.client.session.post(f"{self.host.url}/settings/{name}", json=value).raise_for_status()

    def _keep_complaint(self, message):
        if message.type == "error":
            self.console.append(f"{message.text}\n    {message.location.get('url', '')}")

    def errors(self):
        """Those complaints of the console that this pack is to blame for."""
        return [text for text in self.console if OURS.search(text)]

    def _keep_request(self, request):
        self.requests.append((request.method, request.url))
        if request.method == "POST" and request.url.endswith("/prompt"):
            self.prompts.append(json.loads(request.post_data)["prompt"])

    def has_vue(self):
        """Whether this front end knows the Vue renderer."""
        return self.page.evaluate("app.extensionManager.setting.get('Comfy.VueNodes.Enabled') !== undefined")

    def draws_views(self):
        """Whether nodes show elements of packs: the Vue renderer of 1.27, a first try, shows none of any pack."""
        return not self.vue or tuple(map(int, self.version().split(".")[:2])) >= (1, 28)

    def browse_templates(self):
        """Open the template browser at this pack's templates."""
        self.page.evaluate("void app.extensionManager.command.execute('Comfy.BrowseTemplates')")
        self.page.get_by_text(PACK, exact=True).first.dispatch_event("click")
        self.page.wait_for_function("[...document.images].some(i => i.alt && i.src.startsWith('blob:'))")

    def _card(self, name):
        """The template's card; the browser makes cards as they are scrolled into view."""
        card = self.page.locator(f'img[alt="{name}"]').first
        for turn in range(60):
            if card.count():
                return card
            if turn % 15 == 5:  # older front ends fill the list of packs late, and forget a choice made before
                self.page.get_by_text(PACK, exact=True).first.dispatch_event("click")
            self.page.mouse.move(self.size[0] * 0.6, self.size[1] * 0.6)
            self.page.mouse.wheel(0, 300)
            self.page.wait_for_timeout(200)
        raise UserError(f"the template browser does not show {name}.")

    def open_template(self, name):
        """Open a template as an artist does, and wait until its nodes are there."""
        self.close_dialog()
        self.page.evaluate("app.graph.clear()")
        self.browse_templates()
        self._card(name).dispatch_event("click")
        self.page.wait_for_function("app.graph.nodes.some(n => n.type === 'MarkdownNote')")
        self.page.wait_for_function(f"!document.querySelector('img[alt=\"{name}\"]')")

    def close_dialog(self):
        """Close what lies over the page: older front ends tell there which models of a template are missing."""
        over = self.page.locator(".p-dialog-mask:visible")
        while over.count():
            before = over.count()
            self.page.keyboard.press("Escape")
            self.page.wait_for_function(f"document.querySelectorAll('.p-dialog-mask').length < {before}")
        self.page.evaluate("document.querySelectorAll('.p-toast-close-button').forEach(button => button.click())")

    def queue(self):
        """Press Run; the id of the prompt."""
        with self.page.expect_response(lambda r: r.url.endswith("/prompt") and r.request.method == "POST") as answer:
            self.page.locator('[data-testid="queue-button"]:visible, button:text-is("Run"):visible').first.click()
        return answer.value.json()["prompt_id"]

    def run(self, timeout=600):
        """Press Run and wait until the host is done and the page shows every picture; the client's Run."""
        run = self.client.wait(self.queue(), timeout=timeout)
        self.page.wait_for_function(js.SHOWN)
        return run

    def take_from_library(self, name):
        """Add a node or a blueprint from the node library, as an artist does, into the window's middle; its id."""
        before = self.page.evaluate("app.graph.nodes.map(n => n.id)")
        self.page.evaluate("void app.extensionManager.sidebarTab.toggleSidebarTab('node-library')")
        self.page.locator("input[placeholder*='Search']:visible").first.fill(name)
        self.page.get_by_text(name, exact=True).first.click()
        self.page.mouse.move(self.size[0] / 2, self.size[1] / 2, steps=3)
        self.page.mouse.click(
            self.size[0] / 2, self.size[1] / 2
        )  # newer front ends put it down there, older did already
        added = "before => app.graph.nodes.find(n => !before.includes(n.id))?.id"
        node = str(self.page.wait_for_function(added, arg=before).json_value())
        self.page.evaluate("void app.extensionManager.sidebarTab.toggleSidebarTab('node-library')")
        return node

    def add_in_place_of(self, kind):
        """Replace the first node of a type by a fresh one, with its links: its widgets are as the page makes them."""
        self.page.evaluate(js.REPLACE, kind)

    def too_small(self, workflow, slack=4):
        """[(type, height in the file, height that the renderer needs)] of nodes of a loaded workflow that must grow.

        Some Vue pages enlarge all that they load, titles of 30 pixels included; that is taken back.
        """
        self.page.wait_for_function(js.SETTLED)
        nodes = {str(node["id"]): node for node in workflow["nodes"]}
        found = []
        for node, width, needed in self.page.evaluate(js.SIZES):
            saved = nodes[str(node)]["size"]
            height = (needed[1] + 30) * saved[0] / width - 30
            if height > saved[1] + slack:
                found.append((nodes[str(node)]["type"], saved[1], round(height)))
        return found

    def version(self):
        """The front end's version."""
        return self.page.evaluate("window.__COMFYUI_FRONTEND_VERSION__")

    def load(self, graph):
        """Load a workflow as people save it, or a prompt in the API's form, and wait until its nodes are there."""
        is_prompt = "nodes" not in graph
        self.page.evaluate(js.LOAD, [graph, is_prompt])
        count = len(graph if is_prompt else graph["nodes"])
        self.page.wait_for_function(f"app.graph.nodes.length === {count}")
        if not self.vue:
            self.page.wait_for_function(js.PICTURED)

    def empty(self):
        """No node, no dialog, no selection, zoom 1, and nothing remembered of what the page did."""
        self.close_dialog()
        self.page.evaluate("app.graph.clear(); app.canvas.ds.reset(); app.canvas.setDirty(true, true)")
        self.page.mouse.move(self.size[0] / 2, self.size[1] / 2)
        for kept in (self.prompts, self.requests, self.console):
            kept.clear()

    def saved(self):
        """The workflow as the page would save it: without what is undefined, which Playwright would hand on as null."""
        return json.loads(self.page.evaluate("JSON.stringify(app.graph.serialize())"))

    def prompt(self):
        """The prompt that the page would queue, in API form."""
        return self.page.evaluate("app.graphToPrompt().then(made => made.output)")

    def kept(self, text):
        """Wait until the page has put a text by for the next load, as a part of the graph."""
        stores = "[...Object.values(localStorage), ...Object.values(sessionStorage)]"
        self.page.wait_for_function(f"text => {stores}.some(v => String(v).includes(text))", arg=text)

    def start(self):
        """Load the page."""
        self._settings()
        self.page.goto(self.host.url)
        self.page.wait_for_function(js.READY)

    def reload(self):
        """Load the page anew; it brings back the graph that it held."""
        count = self.page.evaluate("app.graph.nodes.length")
        self.start()
        self.page.wait_for_function(f"app.graph.nodes.length === {count}")

    def nodes(self, kind):
        """Ids of the nodes of a type in the graph that is open."""
        return self.page.evaluate(
            "kind => app.canvas.graph.nodes.filter(n => n.type === kind).map(n => String(n.id))", kind
        )

    def node(self, kind):
        """The id of the only node of a type."""
        (found,) = self.nodes(kind)
        return found

    def values(self, node):
        """{widget: value} of a node."""
        return self.page.evaluate(js.VALUES, node)

    def assign(self, node, **values):
        """Set widgets as a person's edit does."""
        self.page.evaluate(js.ASSIGN, [node, values])

    def until(self, node, **values):
        """Wait until widgets have these values; numbers within 0.005. AssertionError tells which they have instead."""
        try:
            self.page.wait_for_function(js.HAS, arg=[node, values])
        except Exception as error:
            found = {name: self.values(node).get(name) for name in values}
            raise AssertionError(f"wanted {values}, found {found}") from error

    def show(self, node, zoom=1.0, part=None):
        """Zoom, and bring a node, or a part of its view, into the middle of the window."""
        self.page.evaluate(js.SHOW, [node, zoom])
        if part:
            x, y, width, height = self.box(self.part(node, part))
            self.page.evaluate(js.PAN, [self.size[0] / 2 - x - width / 2, self.size[1] / 2 - y - height / 2])
            self.box(self.part(node, part))

    def part(self, node, name):
        """The element of a node's view that has data-rackfocus=name, once it is in the page."""
        return self.page.wait_for_function(js.PART, arg=[node, name]).as_element()

    def box(self, element):
        """(x, y, width, height) of an element in the window, once it stands still at the canvas's zoom."""
        return element.evaluate(js.STILL)

    def point(self, element, x, y, aspect=None):
        """The window's place of (x, y), 0..1, in a picture of that aspect (width / height) fitted into an element."""
        left, top, width, height = self.box(element)
        fitted = min(width, height * aspect) if aspect else width
        tall = fitted / aspect if aspect else height
        # Whole pixels: the browser would round them down.
        return round(left + (width - fitted) / 2 + x * fitted), round(top + (height - tall) / 2 + y * tall)

    def click(self, element, x=0.5, y=0.5, aspect=None, button="left"):
        """Click at (x, y) of the picture in an element, see `point`."""
        self.page.mouse.click(*self.point(element, x, y, aspect), button=button)

    def drag(self, element, start, end, aspect=None, steps=8, held=()):
        """Drag from one (x, y) of the picture to another, with the keys `held` down."""
        for key in held:
            self.page.keyboard.down(key)
        self.page.mouse.move(*self.point(element, *start, aspect))
        self.page.mouse.down()
        self.page.mouse.move(*self.point(element, *end, aspect), steps=steps)
        self.page.mouse.up()
        for key in held:
            self.page.keyboard.up(key)

    def shows(self, node, text):
        """Wait until the line of a node's view says so. It is looked up anew: a page that loads may replace it."""
        self.page.wait_for_function(f"([id, text]) => {js.LINE}?.includes(text)", arg=[node, text])

    def shows_not(self, node, text):
        """Wait until the line of a node's view does not say so."""
        self.page.wait_for_function(f"([id, text]) => {js.LINE}?.includes(text) === false", arg=[node, text])

    def undo(self):
        """Ctrl+Z, as long as no text is being typed; the page hears none while it is still at the last one."""
        self.page.wait_for_function(js.AT_REST)
        self.page.keyboard.press("Control+z")

    def keep(self, path):
        """Leave a screenshot and the console at path.png and path.txt."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.screenshot(f"{path}.png")
        path.with_name(path.name + ".txt").write_text("\n\n".join(self.console), encoding="utf-8")

    def settle(self, frames=30):
        """Let the page draw so many frames."""
        self.page.evaluate(js.FRAMES, frames)

    def node_box(self, node, margin=12):
        """{x, y, width, height} of a node in the window, as far as it can be seen."""
        left, top, right, bottom = self.page.evaluate(js.NODE_BOX, node)
        x, y = max(0, left - margin), max(0, top - margin)
        return {
            "x": x,
            "y": y,
            "width": max(1, min(self.size[0], right + margin) - x),
            "height": max(1, min(self.size[1], bottom + margin) - y),
        }

    def screenshot(self, path, clip=None):
        """Of the window, or a part {x, y, width, height} of it."""
        self.page.screenshot(path=str(path), clip=clip)
