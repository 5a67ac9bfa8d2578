"""A drawing of a workflow: its groups, nodes and wires where the file puts them."""

import colorsys
import zlib

from PIL import Image, ImageColor, ImageDraw

WIDTH = 960
MARGIN = 30  # of the page's pixels, as everything below
TITLE = 30  # height of a node's title, which lies above its position
BACK, NODE, HEAD, EDGE, TEXT = "#202226", "#353840", "#454a55", "#0d0e10", "#e6e8ec"
KINDS = {
    "MODEL": "#b39ddb",
    "CLIP": "#ffd500",
    "VAE": "#ff6e6e",
    "IMAGE": "#64b5f6",
    "MASK": "#81c784",
    "LATENT": "#ff9cf9",
    "CONDITIONING": "#ffa931",
}
SKIPPED = {"MarkdownNote"}


def draw(workflow: dict) -> Image.Image:
    """A UI-form workflow as a picture, WIDTH pixels wide. No result is shown: nothing has been computed."""
    nodes = {n["id"]: n for n in workflow["nodes"] if n["type"] not in SKIPPED}
    boxes = [(x, y - TITLE, x + w, y + h) for (x, y), (w, h) in ((n["pos"], n["size"]) for n in nodes.values())]
    boxes += [(x, y, x + w, y + h) for x, y, w, h in (g["bounding"] for g in workflow["groups"])]
    left, top = (min(b[i] for b in boxes) - MARGIN for i in (0, 1))
    right, bottom = (max(b[i] for b in boxes) + MARGIN for i in (2, 3))
    scale = WIDTH / (right - left)
    picture = Image.new("RGB", (WIDTH, max(200, round((bottom - top) * scale))), BACK)
    pen = _Pen(ImageDraw.Draw(picture), left, top, scale)
    for g in workflow["groups"]:
        x, y, w, h = g["bounding"]
        pen.box(x, y, w, h, fill=_mix(g["color"], BACK, 0.25))
        pen.text(x + 12, y + 6, g["title"], 24, w - 24)
    for node in nodes.values():
        (x, y), (w, h) = node["pos"], node["size"]
        pen.box(x, y - TITLE, w, h + TITLE, fill=NODE, outline=EDGE)
        pen.box(x, y - TITLE, w, TITLE, fill=HEAD)
    for _, source, slot, target, socket, kind in workflow["links"]:
        a, b = nodes[source], nodes[target]
        start = a["pos"][0] + a["size"][0], a["pos"][1] + 14 + 20 * slot
        end = b["pos"][0], b["pos"][1] + min(14 + 20 * socket, b["size"][1] - 8)
        pen.wire(start, end, KINDS.get(kind) or _colour(kind))
    for node in nodes.values():
        (x, y), (w, _) = node["pos"], node["size"]
        pen.text(x + 10, y - TITLE + 3, node.get("title") or node["type"], 22, w - 20)
    return picture


def _colour(kind: str) -> str:
    r, g, b = colorsys.hls_to_rgb(zlib.crc32(str(kind).encode()) % 360 / 360, 0.7, 0.6)
    return f"#{round(r * 255):02x}{round(g * 255):02x}{round(b * 255):02x}"


def _mix(a: str, b: str, share: float) -> tuple[int, ...]:
    return tuple(
        round(share * p + (1 - share) * q) for p, q in zip(ImageColor.getrgb(a), ImageColor.getrgb(b), strict=True)
    )


class _Pen:
    """Draws in the page's coordinates."""

    def __init__(self, pen, left, top, scale):
        self.pen, self.left, self.top, self.scale = pen, left, top, scale

    def at(self, x, y):
        return (x - self.left) * self.scale, (y - self.top) * self.scale

    def box(self, x, y, w, h, **style):
        self.pen.rounded_rectangle((*self.at(x, y), *self.at(x + w, y + h)), 8 * self.scale, **style)

    def text(self, x, y, text, size, width):
        size = max(9, size * self.scale)
        while text and self.pen.textlength(text, font_size=size) > width * self.scale:
            text = text[:-1]
        self.pen.text(self.at(x, y), text, fill=TEXT, font_size=size)

    def wire(self, start, end, colour):
        """A cubic curve that leaves to the right and arrives from the left, as on the page."""
        (x0, y0), (x3, y3) = self.at(*start), self.at(*end)
        bend = max(abs(x3 - x0) / 2, 30 * self.scale)
        points = []
        for i in range(41):
            t = i / 40
            a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
            points.append((a * x0 + b * (x0 + bend) + c * (x3 - bend) + d * x3, a * y0 + b * y0 + c * y3 + d * y3))
        self.pen.line(points, fill=colour, width=2)
