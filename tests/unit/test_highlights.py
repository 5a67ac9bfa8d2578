"""Clipped lights: told from white surfaces by their rim, and given back their hue."""

import pytest
import torch
import torch.nn.functional as F

from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.optical.bokeh.highlights import find_clipped_highlights


def photograph(light, side=5, size=320, background=0.1, softness=1, at=(40, 52)):
    """An 8-bit picture [size, size, 3] of a bright square [side] of colour `light`, with pixels as wide as their step
    (box filtered), softened further by a box of `softness` pixels."""
    fine = 8
    scene = torch.full((3, size * fine, size * fine), background)
    y, x = (int((c + 0.3) * fine) for c in at)
    scene[:, y : y + side * fine, x : x + side * fine] = torch.tensor(light)[:, None, None]
    k = fine * softness
    scene = F.avg_pool2d(F.pad(scene[None], (k // 2,) * 4, mode="replicate"), k, fine)[0, :, :size, :size]
    return (encode_srgb(scene.permute(1, 2, 0)) * 255).round() / 255


def recovered(picture, gain=12.0):
    """What recovery adds: [H, W, 3] linear, everything out of focus."""
    lights = find_clipped_highlights(picture, gain)
    linear = decode_srgb(picture)
    if lights is None:
        return torch.zeros_like(linear)
    return lights.recover(linear, torch.full(linear.shape[:2], 8.0)) - linear


def test_a_light_gets_its_brightness_and_its_hue():
    light = recovered(photograph((15.0, 6.0, 3.0), softness=2))[42, 54] + 1
    assert abs(light[0] - 12) < 0.1
    assert abs(light[1] / light[0] - 6 / 15) < 0.08 and abs(light[2] / light[0] - 3 / 15) < 0.08


def test_more_gain_more_light():
    assert recovered(photograph((9.0, 9.0, 9.0)), 20.0).sum() > 1.5 * recovered(photograph((9.0, 9.0, 9.0)), 10.0).sum()


def test_a_light_through_a_soft_lens_is_still_a_light():
    assert recovered(photograph((30.0, 30.0, 30.0), softness=3)).max() > 3


@pytest.mark.parametrize("softness", [1, 3])
def test_a_small_patch_that_is_just_white_is_no_light(softness):
    assert recovered(photograph((1.0, 1.0, 1.0), side=6, softness=softness)).max() < 1.2


def test_walls_and_skies_are_no_lights():
    wall = photograph((20.0, 20.0, 20.0), side=150, at=(10, 10))
    assert recovered(wall).abs().max() == 0
    sky = torch.full((320, 320, 3), 0.4)
    sky[:90] = 1.0
    assert recovered(sky).abs().max() == 0


def test_what_is_in_focus_keeps_its_white():
    picture = photograph((15.0, 15.0, 15.0))
    linear = decode_srgb(picture)
    assert torch.equal(find_clipped_highlights(picture).recover(linear, torch.zeros(320, 320)), linear)


def test_unclipped_channels_are_not_darkened():
    red = photograph((9.0, 0.4, 0.2))
    assert (recovered(red) >= 0).all() and recovered(red)[..., 0].max() > 8
