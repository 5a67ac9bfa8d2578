"""README's picture of the nodes in the page, from real runs on a fresh host: python -m dev.pictures page."""

from pathlib import Path

from PIL import Image

from ..host.page import Browser, Page
from ..host.paths import ROOT
from ..host.server import Host
from ..workflows.optical import PULL
from .screens import of_node

FILE = Path(ROOT) / "docs" / "images" / "Page.jpg"
# Node: (size, widgets, what its view says once it shows its picture).
SHOWN = {
    "RefocusLens": ((440, 760), {"focus_x": 0.163, "focus_y": 0.87}, "focus 0.163"),
    "RefocusRack": ((500, 830), {"keyframes": PULL}, "Frame 0"),
}
HEIGHT, GAP = 900, 24
GROUND = (20, 20, 22)


def main():
    boxes = []
    with Host() as host, Browser() as browser, Page(host, False, size=(1500, 1150), browser=browser) as page:
        for kind, (size, widgets, said) in SHOWN.items():
            workflow, node = of_node(page.client.object_info(), kind)
            entry = next(entry for entry in workflow["nodes"] if str(entry["id"]) == node)
            workflow["nodes"] = [other for other in workflow["nodes"] if not other["type"].startswith("Preview")]
            entry["size"], entry["pos"] = list(size), [900, 0]
            page.empty()
            page.load(workflow)
            page.assign(node, **widgets)
            page.show(node, 1.0)
            page.shows(node, said)
            page.settle(60)
            path = FILE.with_suffix(f".{kind}.png")
            page.screenshot(path, page.node_box(node))
            boxes.append(Image.open(path).convert("RGB").copy())
            path.unlink()
    boxes = [box.resize((round(box.width * HEIGHT / box.height), HEIGHT), Image.Resampling.LANCZOS) for box in boxes]
    sheet = Image.new("RGB", (sum(box.width + GAP for box in boxes) - GAP, HEIGHT), GROUND)
    x = 0
    for box in boxes:
        sheet.paste(box, (x, 0))
        x += box.width + GAP
    sheet.save(FILE, quality=85, optimize=True)
    print(FILE.relative_to(ROOT))
