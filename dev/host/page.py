"""The host's page in Chromium: open a template from the template browser, press Run, look.

with Host() as host, Page(host, vue=True) as page:
    page.open_template("1 Refocus a photo")
    run = page.run()
    page.screenshot("photo.png")

Playwright drives the browser.
"""

import json
import os
import shutil

from .paths import UserError

NEEDED = (
    'a browser is needed: .venv/bin/pip install -e ".[browser]", and Chromium (apt install chromium, or '
    ".venv/bin/playwright install chromium); CHROMIUM names another one."
)
READY = "window.app?.graph && app.extensionManager && LiteGraph.registered_node_types.RefocusSample !== undefined"
PACK = "rackfocus"
# Whether every node that shows a picture has it, on the canvas or as an element.
SHOWN = """() => app.graph.nodes.filter(n => n.mode === 0 && /^(Save|Preview|MaskPreview|RefocusSample)/.test(n.type))
.every(n => n.imgs?.some(i => i.naturalWidth) ||
            document.querySelector(`[data-node-id="${n.id}"] img`)?.naturalWidth ||
            (n.widgets || []).some(w => w.element?.querySelector?.('img')?.naturalWidth ||
                                        w.element?.naturalWidth))"""
REPLACE = """kind => {
  const graph = app.graph, old = graph.nodes.find(n => n.type === kind), fresh = LiteGraph.createNode(kind);
  graph.add(fresh);
  fresh.pos = [...old.pos];
  old.inputs.forEach((input, i) => {
    const link = input.link == null ? null : graph.getLink ? graph.getLink(input.link) : graph.links.get(input.link);
    if (link) graph.getNodeById(link.origin_id).connect(link.origin_slot, fresh,
      fresh.inputs.findIndex(other => other.name === input.name));
  });
  old.outputs.forEach((output, i) => (output.links || []).slice().forEach(id => {
    const link = graph.getLink ? graph.getLink(id) : graph.links.get(id);
    fresh.connect(i, graph.getNodeById(link.target_id), link.target_slot);
  }));
  graph.remove(old);
}"""
# [type, size in the file, size that the renderer needs] of every node, in the page's pixels.
SIZES = """() => app.graph.nodes.map(n => {
  const box = document.querySelector(`[data-node-id="${n.id}"]`)?.getBoundingClientRect(), k = app.canvas.ds.scale;
  return [n.type, [...n.size], box ? [box.width / k, box.height / k - 30] : [...n.computeSize()]];
})"""

# Whether the page has drawn the nodes at the zoom that the canvas has by now: a width is as in the file.
SETTLED = """() => app.graph.nodes.some(n => {
  const box = document.querySelector(`[data-node-id="${n.id}"]`)?.getBoundingClientRect();
  return !box || Math.abs(box.width / app.canvas.ds.scale - n.size[0]) < 2;
})"""


def playwright():
    """Playwright's sync API; UserError if it is missing."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise UserError(NEEDED) from error
    return sync_playwright()


def chromium():
    """The path of a Chromium; None for Playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)


class Page:
    """One browser with the host's page in it.

    host: a running Host. vue: the Vue renderer, where the front end has it. size: of the window in pixels.
    prompts: what the page has queued, in API form. errors: what its console complained of.
    """

    def __init__(self, host, vue=False, size=(1600, 1000)):
        self.host, self.vue, self.size = host, vue, size
        self.prompts, self.errors = [], []

    def __enter__(self):
        self.client = self.host.client()
        for name, value in {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": self.vue}.items():
            self.client.session.post(f"{self.host.url}/settings/{name}", json=value).raise_for_status()
        self.playwright = playwright().start()
        try:
            self.browser = self.playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        except Exception as error:
            self.playwright.stop()
            raise UserError(NEEDED) from error
        self.page = self.browser.new_page(viewport={"width": self.size[0], "height": self.size[1]})
        self.page.set_default_timeout(30_000)
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("request", self._keep_prompt)
        self.page.goto(self.host.url)
        self.page.wait_for_function(READY)
        return self

    def __exit__(self, *_):
        self.browser.close()
        self.playwright.stop()
        self.client.close()

    def _keep_prompt(self, request):
        if request.method == "POST" and request.url.endswith("/prompt"):
            self.prompts.append(json.loads(request.post_data)["prompt"])

    def has_vue(self):
        """Whether this front end knows the Vue renderer."""
        return self.page.evaluate("app.extensionManager.setting.get('Comfy.VueNodes.Enabled') !== undefined")

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

    def queue(self):
        """Press Run; the id of the prompt."""
        with self.page.expect_response(lambda r: r.url.endswith("/prompt") and r.request.method == "POST") as answer:
            self.page.locator('[data-testid="queue-button"]:visible, button:text-is("Run"):visible').first.click()
        return answer.value.json()["prompt_id"]

    def run(self, timeout=600):
        """Press Run and wait until the host is done and the page shows every picture; the client's Run."""
        run = self.client.wait(self.queue(), timeout=timeout)
        self.page.wait_for_function(SHOWN)
        return run

    def add_in_place_of(self, kind):
        """Replace the first node of a type by a fresh one, with its links: its widgets are as the page makes them."""
        self.page.evaluate(REPLACE, kind)

    def sizes(self):
        """[(type, (width, height) in the file, (width, height) that the renderer needs)] of the nodes."""
        self.page.wait_for_function(SETTLED)
        return self.page.evaluate(SIZES)

    def screenshot(self, path):
        self.page.screenshot(path=str(path))
