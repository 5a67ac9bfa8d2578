"""The lens blur against path-traced photographs, beside disc scatter in the same run."""

import statistics

import pytest
import torch

from rackfocus.dev.bench.baselines import disc_scatter
from rackfocus.dev.bench.truth import scenes
from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.optical import render_bokeh
from rackfocus.pipelines.optics import DefocusMap
from rackfocus.tests.pictures import psnr


def gain(kind, linear, quality):
    """Mean dB over disc scatter on the same input: (whole picture, round depth edges)."""
    whole, edges = [], []
    for scene in scenes():
        source = scene.linear if linear else scene.png
        for shot in scene.shots():
            if shot.kind != kind:
                continue
            base = encode_srgb(disc_scatter(source if linear else decode_srgb(source), shot.radius))
            out = render_bokeh(source, DefocusMap(shot.radius), aperture=shot.aperture, quality=quality, linear=linear)
            out = encode_srgb(out) if linear else out
            whole.append(psnr(out, shot.truth) - psnr(base, shot.truth))
            edges.append(psnr(out, shot.truth, shot.edges) - psnr(base, shot.truth, shot.edges))
    return statistics.mean(whole), statistics.mean(edges)


@pytest.mark.parametrize(
    "kind, linear, quality, asked",
    [
        ("stack", True, "best", 1.45),
        ("lens", True, "best", 1.4),
        ("stack", False, "best", 3.5),
        ("lens", False, "best", 3.0),
        ("stack", False, "fast", 3.3),
        ("lens", True, "fast", 1.2),
    ],
)
def test_gain_over_disc_scatter(kind, linear, quality, asked):
    whole, edges = gain(kind, linear, quality)
    assert whole > asked and edges > asked


def test_apertures_are_the_right_way_round():
    """Path-traced polygons are matched better as aperture_mask draws them than mirrored or as a circle."""
    better = {"mirrored": [], "circle": []}
    for scene in scenes():
        for shot in scene.shots():
            if shot.aperture is None or torch.equal(shot.aperture, shot.aperture.flip(2)):
                continue

            def decibels(mask, scene=scene, shot=shot):
                out = render_bokeh(scene.linear, DefocusMap(shot.radius), aperture=mask, linear=True)
                return psnr(encode_srgb(out), shot.truth, shot.edges)

            best = decibels(shot.aperture)
            better["mirrored"].append(best - decibels(shot.aperture.flip(2)))
            better["circle"].append(best - decibels(None))
    assert len(better["circle"]) >= 4
    assert statistics.mean(better["mirrored"]) > 0.03 and statistics.mean(better["circle"]) > 0.5
