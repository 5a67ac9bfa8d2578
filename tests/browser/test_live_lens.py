"""The live lens of the page against the optical engine: what the artist sees while dragging is what a run will give."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rackfocus.dev.pictures.photo import motorcycle
from rackfocus.pipelines.image.light import decode_srgb
from rackfocus.pipelines.optical import HIGHLIGHT_GAIN, lost_light, render_bokeh
from rackfocus.pipelines.optics import (
    defocus_from_disparity,
    focus_at_point,
    from_1000,
    pack_16_bit,
    resize_depth,
    to_disparity,
)
from rackfocus.tests.pictures import psnr, ramp, random, texture

POINTS = {"headlight": (0.73, 0.31), "bench": (0.22, 0.24), "door": (0.3, 0.15)}
START = """async ([picture, plane, aperture, shine]) => {
  const { LiveLens } = await import("http://pack/live.js");
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const floats = (p) => p && { data: new Float32Array(bytes(p.data).buffer), width: p.width, height: p.height };
  window.live?.dispose();
  window.live = new LiveLens(document.createElement("canvas"));
  const bitmap = (png) => createImageBitmap(new Blob([bytes(png)]), { colorSpaceConversion: "none" });
  live.setPicture(await bitmap(picture), shine && { bitmap: await bitmap(shine.png), gain: shine.gain });
  live.setPlane(floats(plane));
  live.setAperture(floats(aperture));
  return live.why;
}"""
# Read as a view does: the canvas is drawn into another one.
LOOK = """([lens, quick]) => {
  if (!live.draw(lens, quick)) return null;
  const { width, height } = live.size, context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(live.canvas, 0, 0);
  const bytes = context.getImageData(0, 0, width, height).data;
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return [width, height, btoa(text)];
}"""


@pytest.fixture
def page(module_page):
    yield module_page
    module_page.evaluate("() => { window.live?.dispose(); delete window.live; }")


def text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def floats(plane):
    """[1, H, W] -> what START takes."""
    return {"data": text(plane[0].numpy().astype("<f4").tobytes()), "width": plane.shape[2], "height": plane.shape[1]}


def eight_bits(image):
    return (image * 255).round() / 255


def png(image):
    """[1, H, W, 3] -> what START takes."""
    buffer = io.BytesIO()
    Image.fromarray((image[0] * 255).round().byte().numpy()).save(buffer, "PNG")
    return text(buffer.getvalue())


def shine_of(image):
    """What views.kept_shine leaves of a picture."""
    return {"png": png((lost_light(image[0])[None] / HIGHLIGHT_GAIN).sqrt()), "gain": HIGHLIGHT_GAIN}


def start(page, image, plane, aperture=None, shine=None):
    given = [png(image), floats(plane), None if aperture is None else floats(aperture), shine]
    assert page.evaluate(START, given) == ""


def lens_of(focus, strength, *, near=1.0, far=1.0, in_focus_range=0.0, how=None):
    how = how or {"inverted": False, "scale": 1, "offset": 0}
    numbers = {"focus": float(focus), "strength": strength, "nearFactor": near, "farFactor": far}
    return {"how": how, **numbers, "slab": in_focus_range / 2}


def look(page, lens, quick=False):
    """-> [1, H, W, 3]"""
    width, height, data = page.evaluate(LOOK, [lens, quick])
    pixels = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)
    return torch.from_numpy(pixels[None, ..., :3].astype(np.float32) / 255)


@pytest.fixture(scope="module")
def photo():
    """The motorcycle and its disparity, [1, H, W, 3] and [1, H, W]."""
    image, depth = (torch.from_numpy(np.array(part)).float()[None] / 255 for part in motorcycle())
    return image, depth


@pytest.mark.parametrize("strength", [30, 60])
@pytest.mark.parametrize("point", POINTS)
def test_the_live_lens_shows_what_a_run_gives(page, photo, point, strength):
    """Measured: 35.9 to 39.3 dB, in focus 40.4 to 51.0 dB."""
    image, depth = photo
    focus = focus_at_point(depth, *POINTS[point])
    blur = from_1000(strength, image.shape[2])
    defocus = defocus_from_disparity(depth, focus, blur)
    truth = render_bokeh(image, defocus, quality="fast")
    start(page, image, depth)
    shown = look(page, lens_of(focus, blur))
    assert psnr(shown, truth) > 34.5
    assert psnr(shown, truth, defocus.radius[0].abs() < 0.5) > 40
    assert psnr(shown, truth) > psnr(image, truth) + 12


def test_a_rougher_picture_while_the_hand_moves(page, photo):
    image, depth = photo
    lens = lens_of(focus_at_point(depth, *POINTS["bench"]), from_1000(60, image.shape[2]))
    start(page, image, depth)
    fine, rough = look(page, lens), look(page, lens, quick=True)
    assert psnr(fine, rough) > 34
    assert torch.equal(look(page, lens), rough)  # its first step does not reach the picture yet
    seen = [look(page, lens)]
    while page.evaluate("live.unfinished"):
        seen.append(look(page, lens))
    assert len(seen) > 1 and torch.equal(seen[-1], fine) and torch.equal(look(page, lens), fine)


def test_steps_towards_the_fine_picture_are_left_where_the_hand_moves_on(page, photo):
    image, depth = photo
    first, then = (
        lens_of(focus_at_point(depth, *POINTS[at]), from_1000(60, image.shape[2])) for at in ("bench", "door")
    )
    start(page, image, depth)
    fine = look(page, then)
    look(page, first, quick=True)
    look(page, first)
    assert page.evaluate("live.unfinished")
    rough = look(page, then, quick=True)
    assert not page.evaluate("live.unfinished") and psnr(fine, rough) > 34
    start(page, image, depth)  # a fresh picture has no rough one below: it is whole at once
    assert torch.equal(look(page, then), fine) and not page.evaluate("live.unfinished")


@pytest.mark.parametrize("size", [(37, 53), (64, 31), (1, 1), (3, 200)])
def test_without_blur_the_picture_is_its_own(page, size):
    image, depth = eight_bits(random(1, *size, 3)), random(1, *size, seed=1)
    start(page, image, depth)
    assert torch.equal(look(page, lens_of(0.5, 0.0)), image)
    assert torch.equal(look(page, lens_of(0.5, 40.0, in_focus_range=2.0)), image)


def test_factors_and_the_slab_act_as_in_the_engine(page):
    image, depth = eight_bits(texture(90, 140)), ramp(90, 140, 0.05, 0.95)
    start(page, image, depth)
    for given in ({"near": 0.0}, {"far": 0.0}, {"near": 2.0, "far": 0.5}, {"in_focus_range": 0.4}):
        names = {"near": "near_factor", "far": "far_factor"}
        defocus = defocus_from_disparity(depth, 0.5, 12.0, **{names.get(k, k): v for k, v in given.items()})
        truth = render_bokeh(image, defocus, quality="fast")
        assert psnr(look(page, lens_of(0.5, 12.0, **given)), truth) > 38, given


def spot(h=81, w=121):
    """A small light on dark ground, not white."""
    image = torch.full((1, h, w, 3), 0.1)
    image[:, 39:42, 59:62] = 0.9
    return eight_bits(image)


def light_beside_the_middle(picture):
    """Centre of the light minus the middle: (x, y) in pixels."""
    light = (picture[0].mean(-1) ** 2.2 - 0.1**2.2).clamp(min=0)
    h, w = light.shape
    x, y = torch.arange(w) - w // 2, torch.arange(h) - h // 2
    return float((light * x).sum() / light.sum()), float((light * y[:, None]).sum() / light.sum())


@pytest.mark.parametrize("radius", [12.0, -12.0, 3.0, -3.0])
def test_a_lopsided_opening_lies_as_in_the_engine(page, radius):
    """Mirrored behind the focal plane, turned by 180 degrees in front of it."""
    aperture = torch.zeros(1, 64, 64)
    aperture[:, :24, 40:] = 1  # top right, seen from the front
    image, depth = spot(), torch.zeros(1, 81, 121)
    depth[:, 0, 0] = 1.0  # so that the plane has a span
    start(page, image, depth, aperture)
    shown = look(page, lens_of(radius / 60, 60.0))
    truth = render_bokeh(image, defocus_from_disparity(depth, radius / 60, 60.0), aperture=aperture, quality="fast")
    for got, wanted in zip(light_beside_the_middle(shown), light_beside_the_middle(truth), strict=True):
        assert abs(wanted) > 0.4 * abs(radius) and got == pytest.approx(wanted, abs=0.12 * abs(radius))
    x, y = light_beside_the_middle(shown)
    assert (x < 0) == (radius > 0) and (y < 0) == (radius > 0)


def card(near, far, focus_near):
    """A bright card in front of dark ground, [1, 120, 170, 3], and its disparity."""
    image, depth = torch.full((1, 120, 170, 3), 0.2), torch.full((1, 120, 170), far)
    image[:, 35:85, 50:120] = torch.tensor([0.9, 0.6, 0.3])
    depth[:, 35:85, 50:120] = near
    return eight_bits((image + 0.1 * (random(1, 120, 170, 3) - 0.5)).clamp(0, 0.95)), depth


@pytest.mark.parametrize("focus", [0.2, 0.5, 0.8])
def test_near_lies_over_far_and_no_light_is_lost(page, focus):
    image, depth = card(0.8, 0.2, focus)
    start(page, image, depth)
    truth = render_bokeh(image, defocus_from_disparity(depth, focus, 25.0), quality="fast")
    shown = look(page, lens_of(focus, 25.0))
    assert psnr(shown, truth) > 35
    light, wanted = (picture[..., 0].pow(2.2).mean() for picture in (shown, truth))
    assert float(light) == pytest.approx(float(wanted), rel=0.01)
    if focus == 0.8:  # the sharp card has no halo: beside it the ground is as far from it
        ground = torch.zeros(120, 170, dtype=torch.bool)
        ground[25:95, 40:130] = True
        ground[33:87, 48:122] = False
        assert float((shown - truth)[0][ground].mean().abs()) < 1 / 255


def test_a_plane_of_another_size_and_kind(page):
    image, small = eight_bits(texture(120, 180)), ramp(60, 90, 0.0, 1.0)
    start(page, image, small)
    how = {"inverted": True, "ratio": 0.1, "top": 0.1}
    disparity = to_disparity(resize_depth(small, 120, 180), "inverted")
    truth = render_bokeh(image, defocus_from_disparity(disparity, 0.3, 25.0), quality="fast")
    assert psnr(look(page, lens_of(0.3, 25.0, how=how)), truth) > 34


def test_a_large_picture_is_seen_smaller_with_the_same_blur(page):
    image, depth = eight_bits(texture(480, 960)), ramp(480, 960)
    start(page, image, depth)
    shown = look(page, lens_of(0.5, 40.0))
    assert shown.shape == (1, 384, 768, 3)
    truth = render_bokeh(image, defocus_from_disparity(depth, 0.5, 40.0), quality="fast")
    smaller = torch.nn.functional.interpolate(truth.movedim(-1, 1), (384, 768), mode="area").movedim(1, -1)
    assert psnr(shown, smaller) > 32


def test_a_huge_blur_ends_in_a_picture(page):
    image, depth = eight_bits(texture(90, 140)), ramp(90, 140)
    start(page, image, depth)
    shown = look(page, lens_of(0.5, 5000.0))
    assert float((shown.mean() - image.mean()).abs()) < 0.1


@pytest.fixture(scope="module")
def lights():
    """512 x 341 pixels of the pack's sample, with fairy lights that clip, and its disparity."""
    folder = Path(__file__).parents[2] / "samples"
    with Image.open(folder / "chess.jpg") as photo, Image.open(folder / "chess_depth.png") as plane:
        image, depth = (torch.from_numpy(np.asarray(file).astype(np.float32))[None] for file in (photo, plane))
    return image[:, :341, 256:] / 255, depth[:, :341, 256:] / 65535


def test_clipped_lights_glow_as_in_a_run(page, lights):
    """Measured: 16.7 dB without the light that clipping took, 33.3 dB with it."""
    image, depth = lights
    focus, blur = float(depth.max()), from_1000(60, 768)
    truth = render_bokeh(image, defocus_from_disparity(depth, focus, blur), quality="fast")
    start(page, image, depth)
    dim = look(page, lens_of(focus, blur))
    start(page, image, depth, shine=shine_of(image))
    lit = look(page, lens_of(focus, blur))
    assert psnr(lit, truth) > max(31, psnr(dim, truth) + 12)


def lamp():
    """A small light far above white, clipped, on dark ground: [1, 81, 121, 3], and the plane it stands in."""
    image, depth = torch.full((1, 81, 121, 3), 0.1), torch.zeros(1, 81, 121)
    image[:, 40:42, 60:62] = 1.0
    depth[:, 0, 0] = 1.0  # so that the plane has a span
    return eight_bits(image), depth


@pytest.mark.parametrize("radius", [14.0, 9.0, -9.0, 6.0])
def test_a_clipped_lamp_becomes_a_bright_disc(page, radius):
    """Measured: within 1.5 %, at radius 6 18 % too dark."""
    image, depth = lamp()
    y, x = torch.meshgrid(torch.arange(81) - 40.0, torch.arange(121) - 60.0, indexing="ij")
    disc = torch.hypot(x, y) < 0.7 * abs(radius)
    bright = {}
    for name, shine in (("dim", None), ("lit", shine_of(image))):
        start(page, image, depth, shine=shine)
        bright[name] = float(decode_srgb(look(page, lens_of(radius / 60, 60.0)))[0][disc].mean())
    truth = render_bokeh(image, defocus_from_disparity(depth, radius / 60, 60.0), quality="fast")
    wanted = float(decode_srgb(truth)[0][disc].mean())
    assert bright["lit"] == pytest.approx(wanted, rel=0.1 if abs(radius) > 8 else 0.25)
    assert bright["dim"] < wanted / 2


def test_a_lamp_in_focus_keeps_its_white(page):
    image, depth = lamp()
    start(page, image, depth, shine=shine_of(image))
    for strength in (0.0, 0.49):
        assert torch.equal(look(page, lens_of(1.0, strength)), image)
    truth = render_bokeh(image, defocus_from_disparity(depth, 1.0, 0.8), quality="fast")
    assert psnr(look(page, lens_of(1.0, 0.8)), truth) > 46  # a fifth of the glow; all of it: 40 dB


def test_the_glow_comes_with_what_a_node_left(page):
    image, depth = lamp()
    packed, low, high = pack_16_bit(depth[0])
    plane = {"png": png(packed[None] / 255), "low": low, "high": high}
    total = """async ([left, lens]) => {
      const { Look, loadScene } = await import("http://pack/look.js");
      const look = new Look(() => {});
      look.setScene(await loadScene(left, ({ png }) => `data:image/png;base64,${png}`));
      const { width, height } = look.scene.bitmap, context = new OffscreenCanvas(width, height).getContext("2d");
      look.draw(context, { x: 0, y: 0, width, height }, "live", lens);
      look.dispose();
      return context.getImageData(0, 0, width, height).data.reduce((sum, v, i) => (i % 4 < 3 ? sum + v : sum), 0);
    }"""
    left = {"picture": {"png": png(image)}, "plane": plane, "shine": None}
    dim, lit = (page.evaluate(total, [{**left, "shine": s}, lens_of(0.2, 60.0)]) for s in (None, shine_of(image)))
    assert lit > 1.06 * dim


def test_nothing_is_drawn_when_nothing_changes(page):
    start(page, spot(), ramp(81, 121))
    page.evaluate(
        """() => { window.draws = 0; const gl = live.gl, draw = gl.drawArrays.bind(gl);
        gl.drawArrays = (...given) => { window.draws++; draw(...given); }; }"""
    )
    counts = []
    for focus in (0.5, 0.5, 0.6, 0.6):
        look(page, lens_of(focus, 20.0))
        counts.append(page.evaluate("draws"))
    assert 0 < counts[0] == counts[1] < counts[2] == counts[3]
    assert counts[2] - counts[1] < counts[0] / 2  # what does not depend on the focus is kept


def test_a_strength_not_far_off_takes_the_scene_that_is_there_while_the_hand_moves(page):
    """On a GPU nothing is rough, and the scene is always made."""
    start(page, *card(0.8, 0.2, 0.5))
    page.evaluate(
        """() => { live.software = true; window.made = 0; const make = live._makeScene.bind(live);
        live._makeScene = (...given) => { window.made++; return make(...given); }; }"""
    )
    made = []
    for strength, quick in ((20.0, False), (25.0, True), (31.0, True), (60.0, True), (60.0, False), (61.0, False)):
        look(page, lens_of(0.5, strength), quick)
        made.append(page.evaluate("made"))
    assert made == [1, 1, 1, 2, 2, 3]


def test_a_lost_context_comes_back(page):
    start(page, eight_bits(texture(60, 90)), ramp(60, 90))
    lens = lens_of(0.5, 20.0)
    before = look(page, lens)
    page.evaluate(
        """() => { window.heard = []; live.onLost = () => heard.push("lost");
        live.onRestored = () => heard.push("restored");
        window.context = live.gl.getExtension("WEBGL_lose_context"); context.loseContext(); }"""
    )
    page.wait_for_function("heard.length === 1")
    assert page.evaluate(LOOK, [lens, False]) is None
    page.evaluate("context.restoreContext()")
    page.wait_for_function("heard.length === 2")
    assert torch.equal(look(page, lens), before)
    assert page.evaluate("heard") == ["lost", "restored"]


def test_without_webgl_there_is_a_reason(page):
    why, drawn = page.evaluate(
        """async () => { const { LiveLens } = await import("http://pack/live.js");
        const canvas = document.createElement("canvas"); canvas.getContext("2d"); // so that there is no other context
        const live = new LiveLens(canvas); live.setPicture(new ImageData(2, 2));
        live.setPlane({ data: new Float32Array(4), width: 2, height: 2 }); live.setAperture(null);
        const drawn = live.draw({}); live.dispose(); return [live.why, drawn]; }"""
    )
    assert "WebGL" in why and drawn is False
