"""No halo where a bright background meets a dark foreground."""

import pytest
import torch
import torch.nn.functional as F

from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.optical.stacking import METHODS, fuse_stack

RADIUS = 8.0


def blur(x, radius):
    """[H, W, C] linear -> blurred by a disc."""
    n = int(radius) + 2
    t = torch.arange(-n, n + 1).float()
    k = (radius + 0.5 - (t[:, None] ** 2 + t**2).sqrt()).clamp(0, 1)
    x = F.pad(x.movedim(-1, 0)[:, None], (n,) * 4, mode="replicate")
    return F.conv2d(x, (k / k.sum())[None, None])[:, 0].movedim(0, -1)


@pytest.fixture(scope="module")
def scene():
    """A dark, textured disc before a bright, textured wall: truth, two frames and the distance outside the rim."""
    g = torch.Generator().manual_seed(3)
    wall = decode_srgb(0.75 + 0.2 * torch.rand(128, 160, 3, generator=g))
    dark = decode_srgb(0.05 + 0.15 * torch.rand(128, 160, 3, generator=g))
    y, x = torch.meshgrid(torch.arange(128) - 63.5, torch.arange(160) - 79.5, indexing="ij")
    outside = (x * x + y * y).sqrt() - 32
    cover = (0.5 - outside).clamp(0, 1)[..., None]
    near = dark * cover + blur(wall, RADIUS) * (1 - cover)
    far = blur(dark * cover, RADIUS) + wall * (1 - blur(cover, RADIUS))
    return dark * cover + wall * (1 - cover), torch.stack([encode_srgb(near), encode_srgb(far)]), outside


def ring_error(image, truth, outside, distances):
    """Largest error of the mean brightness (sRGB) over rings one pixel wide round the rim."""
    error = image.mean(-1) - encode_srgb(truth).mean(-1)
    return max(abs(float(error[(outside >= d) & (outside < d + 1)].mean())) for d in distances)


@pytest.mark.parametrize("method", METHODS)
def test_no_glow_on_a_dark_subject(scene, method):
    truth, frames, outside = scene
    image = fuse_stack(frames, method=method).image[0]
    assert ring_error(frames[1], truth, outside, range(-10, -2)) > 0.3
    assert ring_error(image, truth, outside, range(-10, -2)) < 0.01


@pytest.mark.parametrize("method", METHODS)
def test_little_shade_round_a_dark_subject(scene, method):
    """What remains is the veil over the sharp wall in the far frame, where the near frame's wall is a blur."""
    truth, frames, outside = scene
    image = fuse_stack(frames, method=method).image[0]
    assert ring_error(frames[1], truth, outside, range(12)) > 0.14
    assert ring_error(image, truth, outside, range(12)) < 0.065
