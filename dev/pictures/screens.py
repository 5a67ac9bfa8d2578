"""Screenshots as an artist meets the pack on a fresh ComfyUI, in both renderers, into out/screens: every node with what
its inputs bring, run where it can, and with --templates every optical workflow, opened and run.

RACKFOCUS_COMFYUI names another ComfyUI than the pinned one, RACKFOCUS_FRONTEND another front end.
"""

import argparse
from pathlib import Path

from ..host.client import RunError
from ..host.page import Browser, Page
from ..host.paths import ROOT
from ..host.server import Host
from ..workflows.build import Flow
from ..workflows.optical import OPTICAL
from ..workflows.widgets import inputs_of

OUT = Path(ROOT) / "out" / "screens"
CATEGORY = "Rackfocus"
# What feeds an input of that name: (type of the node, output).
SOURCES = {
    "image": ("RefocusSample", "image"),
    "depth": ("RefocusSample", "depth"),
    "stack": ("RefocusSample", "stack"),
    "defocus": ("RefocusLens", "defocus"),
    "model": ("LoadRefocusModel", "model"),
}
ALONE = {"RefocusSample", "ApertureShapeMask"}  # nodes that need nothing connected
# Their input `model` may stay free.
WITHOUT_MODEL = {"RefocusPhoto", "BokehSynthesize", "DeblurAiF", "FocalStackGenerate"}


def of_node(info, kind):
    """(a workflow of a node of the pack with what feeds it, the node's id)."""
    flow, made = Flow(info), {}

    def node(kind):
        if kind not in made:
            given = {}
            for entry in inputs_of(info[kind]):
                source = SOURCES.get(entry.name)
                free = kind in ALONE or (entry.name == "model" and kind in WITHOUT_MODEL)
                if source and not entry.is_widget and not free:
                    given[entry.name] = node(source[0])[source[1]]
            made[kind] = flow.node(kind, **given)
        return made[kind]

    shown = node(kind)
    outputs = info[kind]["output"]
    for i, other in enumerate(node for node in made.values() if node is not shown):
        other.at = (-500, 900 * i)
    for type, preview, name in (("IMAGE", "PreviewImage", "images"), ("MASK", "MaskPreview", "mask")):
        if type in outputs and not info[kind]["output_node"]:
            flow.node(preview, **{name: shown[outputs.index(type)]}).at = (900, 0)
    shown.size = [400, shown.size[1]]
    return flow.to_dict(), str(shown.id)


def shoot_nodes(page, name):
    info = page.client.object_info()
    for kind in (kind for kind in info if info[kind]["category"].split("/")[0] == CATEGORY):
        page.empty()
        workflow, node = of_node(info, kind)
        page.load(workflow)
        note = ""
        try:
            page.client.wait(page.queue())
        except (RunError, TimeoutError) as error:
            note = f" (not run: {str(error).splitlines()[0]})"
        except Exception as error:  # the page refuses what it cannot queue
            note = f" (not queued: {type(error).__name__})"
        page.close_dialog()
        page.show(node, 1.0)
        page.settle()
        page.screenshot(OUT / f"{name}_{kind}.png", page.node_box(node))
        complaints = page.errors()
        print(f"  {name}: {kind}{note}" + "".join(f"\n    {text}" for text in complaints), flush=True)


def shoot_templates(page, name):
    for template in OPTICAL:
        page.open_template(template)
        page.settle()
        page.screenshot(OUT / f"{name}_{template.split()[0]}_open.png")
        run = page.run()
        page.settle()
        page.screenshot(OUT / f"{name}_{template.split()[0]}_run.png")
        print(f"  {name}: {template}, {run.seconds:.1f} s", flush=True)
    page.browse_templates()
    page.page.wait_for_function("[...document.images].every(i => i.complete)")
    page.screenshot(OUT / f"{name}_templates.png")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--templates", action="store_true", help="the optical workflows instead of the nodes")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    with Host() as host, Browser() as browser:
        for vue in (False, True):
            with Page(host, vue, browser=browser) as page:
                if not vue or page.has_vue():
                    name = f"{page.version()}_{'vue' if vue else 'canvas'}"
                    (shoot_templates if options.templates else shoot_nodes)(page, name)
    print(OUT)
