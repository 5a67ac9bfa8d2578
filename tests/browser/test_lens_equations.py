"""The page's lens is that of pipelines/optics: the same focus, strength and blur radius from the same widgets."""

import itertools

import pytest
import torch

from rackfocus.pipelines.optics import Camera, focus_at_mask, focus_automatic, focus_lens, plane_of
from rackfocus.tests.pictures import random

H, W = 120, 200
JS = """async ([values, scene, all]) => {
  const { lensOf, radiusOf } = await import("http://pack/lens.js");
  const plane = { data: Float32Array.from(values), width: scene.width, height: scene.height };
  return all.map((settings) => {
    const lens = lensOf({ ...scene, plane }, settings, scene.width);
    const radius = lens && scene.at.map((i) => radiusOf(plane.data[i], lens));
    return lens && { focus: lens.focus, strength: lens.strength, radius };
  });
}"""
USUAL = {
    "focus_x": 0.3, "focus_y": 0.7, "focus_distance": 3.0, "strength": 60.0, "focal_mm": 85.0, "f_number": 1.8,
    "sensor_mm": 23.6, "scene_near": 1.5, "scene_far": 12.0, "near_factor": 0.5, "far_factor": 2.0,
    "in_focus_range": 0.0,
}  # fmt: skip
AT = list(range(0, H * W, 97))


@pytest.fixture(scope="module")
def depth():
    """Smooth and rough parts, 0.05 to 0.95, no two pixels alike."""
    slope = torch.linspace(0.05, 0.7, W)[None, None].repeat(1, H, 1)
    return slope + 0.25 * random(1, H, W)


def mask():
    white = torch.zeros(1, H, W)
    white[:, 30:60, 100:170] = 1
    return white


def python(depth, kind, settings):
    camera = Camera(settings["focal_mm"], settings["f_number"], settings["sensor_mm"])
    return focus_lens(
        depth,
        kind,
        by=settings["focus_by"],
        point=(settings["focus_x"], settings["focus_y"]),
        mask=mask(),
        metres=settings["focus_distance"],
        strength=settings["strength"],
        camera=camera if settings["lens"] == "camera" else None,
        near_m=settings["scene_near"],
        far_m=settings["scene_far"],
        **{name: settings[name] for name in ("near_factor", "far_factor", "in_focus_range")},
    ).defocus


def page_lens(page, depth, kind, every):
    plane, meaning = plane_of(depth, kind)
    scene = {
        "kind": meaning, "automatic": float(focus_automatic(plane)), "mask": float(focus_at_mask(plane, mask())),
        "width": W, "height": H, "at": AT,
    }  # fmt: skip
    return page.evaluate(JS, [plane.flatten().tolist(), scene, every])


@pytest.mark.parametrize("kind", ["disparity", "inverted", "metres", "inverse_metres"])
def test_every_lens_and_focus_gives_the_radius_of_python(module_page, depth, kind):
    depth = 1 / depth if kind == "metres" else depth
    every = [
        {**USUAL, "lens": lens, "focus_by": by, "in_focus_range": slab, "focus_x": x}
        for lens, by, slab, x in itertools.product(
            ("artist", "camera"), ("point", "mask", "distance", "automatic"), (0.0, 0.1), (0.0, 0.77, 1.0)
        )
    ]
    for settings, seen in zip(every, page_lens(module_page, depth, kind, every), strict=True):
        expected = python(depth, kind, settings)
        assert seen["focus"] == pytest.approx(float(expected.focus_disparity[0]), rel=1e-5), settings
        assert seen["strength"] == pytest.approx(float(expected.strength[0]), rel=1e-5), settings
        radius = expected.radius.flatten()[AT]
        assert torch.allclose(torch.tensor(seen["radius"]), radius, atol=1e-3 * float(radius.abs().max())), settings


def test_what_no_lens_or_no_widget_tells_is_not_known(module_page, depth):
    every = [
        {**USUAL, "lens": "camera", "focus_by": "distance", "focus_distance": 0.05},
        {k: v for k, v in USUAL.items() if k != "focus_x"} | {"lens": "artist", "focus_by": "point"},
        {k: v for k, v in USUAL.items() if k != "strength"} | {"lens": "artist", "focus_by": "point"},
    ]
    assert page_lens(module_page, depth, "disparity", every) == [None, None, None]
