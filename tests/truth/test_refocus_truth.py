"""refocus on path-traced photographs: a photo of one focus against the one that has the focus asked for.

Gains in dB over the photo as it is, half of what was measured.
"""

import statistics

from rackfocus.dev.bench.truth import scenes
from rackfocus.pipelines.optical import refocus
from rackfocus.pipelines.optics import focus_at_point
from rackfocus.tests.pictures import psnr

PAIRS = ((1, 8), (4, 0), (4, 8), (7, 2))  # frames of a stack, near to far: what the photo shows, what is asked for


def point_at(disparity, focus):
    """(x, y) of the place on a grid whose disparity is nearest to that of the focal plane."""
    grid = [((x + 0.5) / 24, (y + 0.5) / 16) for x in range(24) for y in range(16)]
    return min(grid, key=lambda p: abs(float(focus_at_point(disparity, *p)) - focus))


def test_another_focus():
    """With the depth and the lens's strength known, but not the photo's own focus."""
    gains = {}
    for scene in scenes():
        disparity, metres = 1 / scene.depth, scene.meta["stack_focus_m"]
        for i, j in PAIRS:
            photo = (scene.frame(f"stack_{i}") * 255).round() / 255
            point = point_at(disparity, 1 / metres[j])
            made = refocus(photo, disparity, focus=point, blur=scene.meta["K_px_m"] / 2, quality="fast")
            truth = scene.frame(f"stack_{j}")
            gains.setdefault((i, j), []).append(psnr(made.image, truth) - psnr(photo, truth))
    means = {pair: statistics.mean(found) for pair, found in gains.items()}
    print(", ".join(f"{i} to {j}: {gain:+.2f} dB" for (i, j), gain in means.items()))
    assert statistics.mean(means.values()) > 2.5 and min(means.values()) > 1.4
