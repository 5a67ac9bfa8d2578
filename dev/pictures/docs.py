"""The README's pictures, from the demonstration's output: python -m dev.pictures docs."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageSequence

from rackfocus.pipelines.optical import deblur, fuse_stack, render_bokeh
from rackfocus.pipelines.optics import DefocusMap, aperture_from_image, aperture_mask, defocus_from_disparity

from ..bench.truth import scenes
from ..host.paths import ROOT
from .demo import OUT
from .photo import motorcycle

IMAGES = Path(ROOT) / "docs" / "images"
SHAPES = (
    {},
    {"blades": 6},
    {"blades": 5, "roundness": 0.5},
    {"squeeze": 2.0},
    {"shape": "ring"},
    {"shape": "heart"},
    {"shape": "star", "inner": 0.4},
    {"shape": "cats_eye"},
)


def to_picture(t: torch.Tensor) -> Image.Image:
    return Image.fromarray((t.clamp(0, 1) * 255).round().byte().numpy())


def to_tensor(p: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(p.convert("RGB"), np.float32) / 255)[None]


def row(pictures, width=1110, captions=()) -> Image.Image:
    """Pictures side by side at one height, with captions in their corners."""
    each = width // len(pictures)
    scaled = [
        p.convert("RGB").resize((each, round(each * p.height / p.width)), Image.Resampling.LANCZOS) for p in pictures
    ]
    sheet = Image.new("RGB", (each * len(pictures), scaled[0].height))
    for i, p in enumerate(scaled):
        sheet.paste(p, (i * each, 0))
    pen = ImageDraw.Draw(sheet)
    for i, text in enumerate(captions):
        pen.text((i * each + 9, 7), text, fill="black", font_size=16)
        pen.text((i * each + 8, 6), text, fill="white", font_size=16)
    return sheet


def save(picture, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.convert("RGB").save(path, quality=82, optimize=True)
    print(path.relative_to(ROOT))


def lights(mask) -> Image.Image:
    """Points of light at several distances through an aperture."""
    g = torch.Generator().manual_seed(4)
    image = torch.full((1, 138, 138, 3), 0.002)
    for _ in range(14):
        x, y = torch.randint(12, 126, (2,), generator=g).tolist()
        image[0, y, x] = (0.3 + torch.rand(3, generator=g)) * 250
    radius = torch.linspace(8, 16, 138)[None, :, None].expand(1, 138, 138)
    out = render_bokeh(image, DefocusMap(radius), aperture=mask, linear=True)[0]
    return to_picture(out.clamp(0, 1) ** (1 / 2.2))


def character(**options) -> Image.Image:
    """A field of lights through a lens of character: the left half behind the focal plane, the right in front."""
    h, w = 200, 277
    image, radius = torch.full((1, h, w, 3), 0.002), torch.full((1, h, w), 15.0)
    image[0, 20::40, 20::40] = 500.0
    radius[:, :, w // 2 :] = -15.0
    out = render_bokeh(image, DefocusMap(radius), aperture=aperture_mask(), linear=True, **options)[0]
    return to_picture(out.clamp(0, 1) ** (1 / 2.2))


def strengths() -> list:
    """The motorcycle with its near or far blur left out, and with a slab kept sharp."""
    photo, depth = motorcycle()
    image, disparity = to_tensor(photo), to_tensor(depth)[..., 0]
    options = ({}, {"near_factor": 0.0}, {"far_factor": 0.0}, {"in_focus_range": 0.35})
    return [to_picture(render_bokeh(image, defocus_from_disparity(disparity, 0.55, 30.0, **o))[0]) for o in options]


def textured() -> Image.Image:
    """Lights through the photograph itself as the aperture."""
    photo = to_tensor(motorcycle()[0])
    return lights(aperture_from_image(photo[:, 100:400, 250:550].mean(-1)))


def deblur_pair() -> list:
    photo = to_tensor(motorcycle()[0])[:, 190:390, 250:530]
    soft = render_bokeh(photo, DefocusMap(torch.full(photo.shape[:3], 2.5)), highlights=1.0)
    soft = (soft * 255).round() / 255
    return [to_picture(t[0]) for t in (soft, deblur(soft))]


def fuse_pair() -> list:
    stack = scenes()[-1].stack()
    fused = fuse_stack(stack, method="pyramid")
    order = fused.order[0][..., None].expand(-1, -1, 3)
    return [to_picture(t) for t in (stack[1], stack[7], fused.image[0], order)]


def main():
    shot = {p.stem: Image.open(p) for p in OUT.glob("*.png")}
    if "new_aperture" not in shot:
        raise SystemExit(f"There are no pictures in {OUT}: run `make demo` first.")
    save(
        row([shot[n] for n in ("near", "middle", "far")], captions=("focus near", "focus middle", "focus far")),
        IMAGES / "refocus.jpg",
    )
    save(row([shot["depth"], shot["overlay"]], captions=("depth", "overlay")), IMAGES / "RefocusLens.jpg")
    save(row([lights(aperture_mask(**s)) for s in SHAPES] + [textured()]), IMAGES / "ApertureShapeMask.jpg")
    save(
        row(strengths(), captions=("all", "near_factor 0", "far_factor 0", "in_focus_range 0.35")),
        IMAGES / "RefocusLensFactors.jpg",
    )
    save(
        row(
            [character(), character(cats_eye=1.0), character(spherical=0.8), character(chromatic=3.0)],
            captions=("plain", "cats_eye 1", "spherical 0.8", "chromatic 3"),
        ),
        IMAGES / "LensCharacter.jpg",
    )
    save(
        row([shot["input"], shot["hexagon"], shot["heart"]], captions=("photograph", "six blades", "heart")),
        IMAGES / "BokehSynthesize.jpg",
    )
    film = [f.copy() for f in ImageSequence.Iterator(Image.open(OUT / "rack_focus.webp"))][::5]
    save(row(film, captions=[f"frame {5 * i}" for i in range(len(film))]), IMAGES / "RefocusRack.jpg")
    save(row(deblur_pair(), captions=("slightly out of focus", "deblurred")), IMAGES / "DeblurAiF.jpg")
    save(shot["stack"], IMAGES / "FocalStackGenerate.jpg")
    save(row([shot["selected"], shot["fused"]], captions=("position 0.35", "fused")), IMAGES / "SelectFocusFrame.jpg")
    pair = fuse_pair()
    save(row(pair, captions=("frame 2 of 9", "frame 8 of 9", "fused", "depth from focus")), IMAGES / "StackFuse.jpg")
