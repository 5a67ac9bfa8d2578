"""The pictures in web/docs, each from a run of the node on the pack's sample: python -m dev.pictures help.

A learned engine has no picture here: nobody may ship its weights, and what it has not made is not shown as if it had.
"""

import argparse
import io
from pathlib import Path

from PIL import Image, ImageDraw

from ..host.server import Host
from ..host.tables import FOLDER
from ..workflows.build import Flow
from ..workflows.convert import to_prompt

LARGEST = 60_000  # bytes: help is opened while one works
WIDTH, TEXT = 720, 30  # the page's panel is some 300 pixels wide, and captions must be read there
POINTS = {"the pawn": (0.163, 0.87), "the king": (0.615, 0.67), "the books": (0.5, 0.18)}
KING = dict(zip(("focus_x", "focus_y"), POINTS["the king"], strict=True))
LIGHTS = (0.36, 0.0, 0.9, 0.36)  # left, top, right, bottom of the sample's lights, in shares of its sides
BLUR = {"quality": "best", "highlights": 12.0}


class Scene:
    """The sample in a flow, and what is made of it; `shown` runs it."""

    def __init__(self, client):
        self.client, self.flow = client, Flow(client.object_info())
        self.sample = self.flow.node("RefocusSample")
        self.image, self.depth, self.stack = (self.sample[name] for name in ("image", "depth", "stack"))

    def lens(self, strength=60.0, **given):
        values = {**KING, "strength": strength, **given}
        return self.flow.node("RefocusLens", depth=self.depth, image=self.image, depth_kind="disparity", **values)

    def blurred(self, lens=None, **given):
        lens = lens or self.lens()
        values = {**BLUR, **given}
        return self.flow.node("BokehSynthesize", image=self.image, defocus=lens["defocus"], **values)["IMAGE"]

    def shape(self, **given):
        return self.flow.node("ApertureShapeMask", **given)["aperture"]

    def shown(self, *outputs) -> list:
        """The pictures of each output, one list for each, from one run of the host."""
        places = []
        for output in outputs:
            kind, name = ("MaskPreview", "mask") if output.kind == "MASK" else ("PreviewImage", "images")
            places.append(self.flow.node(kind, **{name: output}))
        run = self.client.run(to_prompt(self.flow.to_dict(), self.client.object_info()))
        return [self.client.pictures(run, place.id) for place in places]


def cut(picture, box) -> Image.Image:
    """A part of a picture; box in shares of its sides."""
    w, h = picture.size
    return picture.crop((round(box[0] * w), round(box[1] * h), round(box[2] * w), round(box[3] * h)))


def sheet(pictures, columns, captions=()) -> Image.Image:
    """Pictures in rows, WIDTH wide as a whole, each over its caption where a row has any."""
    wide, captions = WIDTH // columns - 4, [*captions, *[""] * (len(pictures) - len(captions))]
    rows = []
    for i in range(0, len(pictures), columns):
        part, texts = pictures[i : i + columns], captions[i : i + columns]
        tall = max(round(wide * p.height / p.width) for p in part)
        strip = Image.new("RGB", (WIDTH, tall + 4 + (TEXT + 14 if any(texts) else 0)), "#181818")
        pen = ImageDraw.Draw(strip)
        for k, (picture, text) in enumerate(zip(part, texts, strict=True)):
            strip.paste(
                picture.convert("RGB").resize((wide, tall), Image.Resampling.LANCZOS), (k * WIDTH // columns + 2, 0)
            )
            pen.text((k * WIDTH // columns + 8, tall), text, fill="white", font_size=TEXT)
        rows.append(strip)
    out = Image.new("RGB", (WIDTH, sum(r.height for r in rows)))
    for i, strip in enumerate(rows):
        out.paste(strip, (0, sum(r.height for r in rows[:i])))
    return out


def sample(scene):
    image, depth, stack = scene.shown(scene.image, scene.depth, scene.stack)
    return sheet([image[0], depth[0], stack[1], stack[7]], 2, ("image", "depth", "stack, frame 2", "stack, frame 8"))


def lens(scene):
    lenses = [scene.lens(focus_x=x, focus_y=y) for x, y in POINTS.values()]
    pairs = [output for lens in lenses for output in (lens["overlay"], scene.blurred(lens))]
    names = [text for name in POINTS for text in (f"focus on {name}", "")]
    return sheet([p[0] for p in scene.shown(*pairs)], 2, names)


def factors(scene):
    options = ({}, {"near_factor": 0.0}, {"far_factor": 0.0}, {"in_focus_range": 0.35})
    made = scene.shown(*(scene.blurred(scene.lens(90.0, **o)) for o in options))
    return sheet([p[0] for p in made], 2, ("all", "near_factor 0", "far_factor 0", "in_focus_range 0.35"))


def rack(scene):
    keys = "0: 0.163, 0.87; 7: 0.615, 0.67; 15: 0.5, 0.18 strength=70"
    pull = scene.flow.node("RefocusRack", depth=scene.depth, image=scene.image, keyframes=keys, strength=60.0)
    (film,) = scene.shown(scene.blurred(pull))
    return sheet(film[::5], 2, [f"frame {5 * i}" for i in range(4)])


def apertures(scene):
    shapes = {
        "iris": {}, "blades 6": {"blades": 6}, "rounded": {"blades": 5, "roundness": 0.5},
        "squeeze 2": {"squeeze": 2.0}, "ring": {"shape": "ring"}, "heart": {"shape": "heart"},
        "star": {"shape": "star", "inner": 0.4}, "cats_eye": {"shape": "cats_eye"},
    }  # fmt: skip
    masks = [scene.shape(**shape) for shape in shapes.values()]
    wide = scene.lens(75.0)
    made = [p[0] for p in scene.shown(*masks, *(scene.blurred(wide, aperture=mask) for mask in masks))]
    openings, lights = made[:8], [cut(p, (0.34, 0.08, 0.49, 0.305)) for p in made[8:]]
    rows = openings[:4] + lights[:4] + openings[4:] + lights[4:]
    names = list(shapes)
    return sheet(rows, 4, ["", "", "", "", *names[:4], "", "", "", "", *names[4:]])


def bokeh(scene):
    king = scene.lens()
    hexagon = scene.shape(blades=6, rotation=15.0)
    mild = scene.blurred(scene.lens(30.0))
    made = scene.shown(scene.image, mild, scene.blurred(king), scene.blurred(king, aperture=hexagon))
    return sheet([p[0] for p in made], 2, ("image", "strength 30", "strength 60", "through six blades"))


def character(scene):
    wide = scene.lens(85.0)
    options = ({}, {"highlights": 1.0}, {"cats_eye": 1.0}, {"spherical": 0.8}, {"spherical": -0.8}, {"chromatic": 4.0})
    made = scene.shown(*(scene.blurred(wide, **o) for o in options))
    names = [", ".join(f"{k} {v:g}" for k, v in o.items()) or "highlights 12" for o in options]
    return sheet([cut(p[0], LIGHTS) for p in made], 2, names)


def deblurred(scene):
    soft = scene.blurred(scene.lens(5.0, focus_x=0.5, focus_y=0.18), highlights=1.0)
    alone = scene.flow.node("DeblurAiF", image=soft)
    told = scene.flow.node("DeblurAiF", image=soft, defocus=scene.lens(5.0, focus_x=0.5, focus_y=0.18)["defocus"])
    made = scene.shown(scene.image, soft, alone["IMAGE"], told["IMAGE"])
    names = ("as it was", "out of focus", "blur estimated", "blur known")
    return sheet([cut(p[0], (0.38, 0.32, 0.68, 0.72)) for p in made], 2, names)


def generated(scene):
    values = {"frames": 9, "strength": 60.0, "depth_kind": "disparity", "quality": "best"}
    stack = scene.flow.node("FocalStackGenerate", image=scene.image, depth=scene.depth, **values)
    (frames,) = scene.shown(stack["stack"])
    return sheet(frames, 3, [f"{i / 8:g}" for i in range(9)])


def selected(scene):
    at = [{"position": 0.0}, {"position": 0.5}, {"position": 1.0}]
    at.append({"select_by": "point", "focus_x": 0.163, "focus_y": 0.87})
    nodes = [scene.flow.node("SelectFocusFrame", stack=scene.stack, **values)["IMAGE"] for values in at]
    made = scene.shown(*nodes)
    return sheet([p[0] for p in made], 2, ("position 0", "position 0.5", "position 1", "sharpest at the pawn"))


def fused(scene):
    fuse = scene.flow.node("StackFuse", stack=scene.stack, method="pyramid")
    stack, image, order, confidence = scene.shown(scene.stack, fuse["IMAGE"], fuse["order"], fuse["confidence"])
    names = ("frame 5 of 9", "fused", "order", "confidence")
    return sheet([stack[4], image[0], order[0], confidence[0]], 2, names)


def photo(scene):
    soft = {"image": scene.sample["photo"], "depth": scene.depth, "depth_kind": "disparity"}
    points = [dict(zip(("focus_x", "focus_y"), point, strict=True)) for point in POINTS.values()]
    asked = [{**points[0], "blur": 60.0}, {**points[1], "blur": 60.0}, {**points[1], "blur": 0.0}]
    made = [scene.flow.node("RefocusPhoto", **soft, **one)["IMAGE"] for one in asked]
    seen = scene.shown(scene.sample["photo"], *made)
    return sheet([p[0] for p in seen], 2, ("the photo", "focus on the pawn", "focus on the king", "blur 0"))


# Name of the file, which begins with the node's: what draws it.
PICTURES = {
    "RefocusSample": sample,
    "RefocusPhoto": photo,
    "RefocusLens": lens,
    "RefocusLens_factors": factors,
    "RefocusRack": rack,
    "ApertureShapeMask": apertures,
    "BokehSynthesize": bokeh,
    "BokehSynthesize_character": character,
    "DeblurAiF": deblurred,
    "FocalStackGenerate": generated,
    "SelectFocusFrame": selected,
    "StackFuse": fused,
}


def packed(picture) -> bytes:
    """A JPEG of at most LARGEST bytes, as good as that allows."""
    for quality in range(88, 30, -4):
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=quality, optimize=True, progressive=True)
        if out.tell() <= LARGEST:
            break
    return out.getvalue()


def file(name: str) -> Path:
    return FOLDER / f"{name}.jpg"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"all, if none is named: {', '.join(PICTURES)}")
    names = parser.parse_args().names or PICTURES
    with Host() as host, host.client() as client:
        for name in names:
            make = PICTURES[name]
            file(name).write_bytes(packed(make(Scene(client))))
            print(f"web/docs/{name}.jpg", flush=True)
