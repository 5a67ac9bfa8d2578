"""A thin structure, which a depth map of one ray per pixel shows as dashes, against its photograph by brute force."""

import pytest
import torch
import torch.nn.functional as F

from rackfocus.dev.bench.baselines import disc_scatter
from rackfocus.pipelines.image.light import encode_srgb
from rackfocus.pipelines.optical import render_bokeh
from rackfocus.pipelines.optics import DefocusMap, aperture_mask, aperture_points
from rackfocus.tests.pictures import psnr

H, W, SLOPE = 96, 128, 0.31
LINE = torch.tensor([0.8, 0.7, 0.2])


def distance(step):
    """How far each of step x step places in every pixel is from the line's middle."""
    y, x = (torch.arange(H * step) + 0.5) / step, (torch.arange(W * step) + 0.5) / step
    return (y[:, None] - 30 - SLOPE * x[None]).abs() / (1 + SLOPE**2) ** 0.5


def wall():
    detail = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.1
    return F.interpolate(detail, (H, W), mode="bilinear")[0]


def photograph(cover, front_radius, wall_radius):
    """Both layers moved for each of 400 points of the lens, the line over the wall: [H, W, 3]."""

    def moved(layer, by):
        theta = torch.tensor([[[1, 0, -2 * by[0] / W], [0, 1, -2 * by[1] / H]]])
        grid = F.affine_grid(theta, (1, layer.shape[0], H, W), align_corners=False)
        return F.grid_sample(layer[None], grid, padding_mode="border", align_corners=False)[0]

    points, weights = aperture_points(aperture_mask(), 400)
    out = torch.zeros(3, H, W)
    for p, weight in zip(points, weights, strict=True):
        a = moved(cover[None], (p * front_radius).tolist())
        out += weight * (a * LINE[:, None, None] + (1 - a) * moved(wall(), (p * wall_radius).tolist()))
    return out.permute(1, 2, 0)


@pytest.mark.parametrize(
    "width, front_radius, wall_radius, asked, over_scatter",
    [(0.7, -8, 0, 46, 12), (0.7, 0, 8, 51, 13), (0.7, -3, 6, 52, 3), (1.2, -8, 0, 44.5, 13), (2.0, -8, 0, 43.5, 14)],
)
def test_dashes_do_not_become_beads(width, front_radius, wall_radius, asked, over_scatter):
    cover = F.avg_pool2d((distance(8) < width / 2).float()[None], 8)[0]
    picture = (cover * LINE[:, None, None] + (1 - cover) * wall()).permute(1, 2, 0)[None]
    hit = distance(1) < width / 2
    assert hit.any(0).float().mean() < 0.8 or width > 1  # dashes indeed
    radius = torch.where(hit, float(front_radius), float(wall_radius))[None]
    out = encode_srgb(render_bokeh(picture, DefocusMap(radius), linear=True))
    plain = encode_srgb(disc_scatter(picture, radius))
    truth = encode_srgb(photograph(cover, front_radius, wall_radius))[None]
    inner = torch.zeros(H, W, dtype=torch.bool)
    inner[10:-10, 10:-10] = True
    assert psnr(out, truth, inner) > asked
    assert psnr(out, truth, inner) > psnr(plain, truth, inner) + over_scatter
