"""Clipped highlights: told from white surfaces by their ring, and given back their hue."""

import math

import pytest
import torch
import torch.nn.functional as F

from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.optical.bokeh import tiles
from rackfocus.pipelines.optical.bokeh.highlights import find_clipped_highlights

H, W = 200, 320


def photograph(light, side=5, background=0.1, softness=1, at=(40, 52)):
    """An 8-bit picture [H, W, 3] of a bright square [side] of colour `light`, with pixels as wide as their step (box
    filtered), softened further by a box of `softness` pixels."""
    fine = 8
    scene = torch.full((3, H * fine, W * fine), background)
    y, x = (int((c + 0.3) * fine) for c in at)
    scene[:, y : y + side * fine, x : x + side * fine] = torch.tensor(light)[:, None, None]
    k = fine * softness
    scene = F.avg_pool2d(F.pad(scene[None], (k // 2,) * 4, mode="replicate"), k, fine)[0, :, :H, :W]
    return (encode_srgb(scene.permute(1, 2, 0)) * 255).round() / 255


def recovered(picture, gain=12.0):
    """What recovery adds: [H, W, 3] linear, everything out of focus."""
    found = find_clipped_highlights(picture, gain)
    linear = decode_srgb(picture)
    if found is None:
        return torch.zeros_like(linear)
    return found.recover(linear, torch.full(linear.shape[:2], 8.0)) - linear


def test_white_is_white_where_the_host_reads_a_grey_png_as_256ths():
    """ComfyUI 0.33: 255 of an 8-bit grey PNG is 255/256; 253 is not white either way."""
    grey = (photograph((15.0, 15.0, 15.0), softness=2) * 255).round()
    for white in (255, 253):
        levels = grey.clamp(max=white)
        a, b = (recovered(levels / n) for n in (255, 256))
        assert bool(a.any()) == bool(b.any()) == (white == 255)
        assert torch.allclose(a, b, atol=0.02 * max(float(a.max()), 1.0))


def test_a_highlight_gets_its_brightness_and_its_hue():
    light = recovered(photograph((15.0, 6.0, 3.0), softness=2))[42, 54] + 1
    assert abs(light[0] - 12) < 0.1
    assert abs(light[1] / light[0] - 6 / 15) < 0.08 and abs(light[2] / light[0] - 3 / 15) < 0.08


def test_more_gain_more_light():
    assert recovered(photograph((9.0, 9.0, 9.0)), 20.0).sum() > 1.5 * recovered(photograph((9.0, 9.0, 9.0)), 10.0).sum()
    assert find_clipped_highlights(photograph((9.0, 9.0, 9.0)), 1.0) is None
    assert float(find_clipped_highlights(patch([0.3] * 3)).level.max()) == pytest.approx(
        12
    )  # as published in the nodes


def test_a_highlight_through_a_soft_lens_is_still_one():
    assert recovered(photograph((30.0, 30.0, 30.0), softness=3)).max() > 3


@pytest.mark.parametrize("softness", [1, 3])
def test_a_small_patch_that_is_just_white_is_none(softness):
    assert recovered(photograph((1.0, 1.0, 1.0), side=6, softness=softness)).max() < 1.2


def test_walls_and_skies_are_none():
    wall = photograph((20.0, 20.0, 20.0), side=150, at=(10, 10))
    assert recovered(wall).abs().max() == 0
    sky = torch.full((H, W, 3), 0.4)
    sky[:90] = 1.0
    assert recovered(sky).abs().max() == 0


def test_unclipped_channels_are_not_darkened():
    red = photograph((9.0, 0.4, 0.2))
    assert (recovered(red) >= 0).all() and recovered(red)[..., 0].max() > 8


# A patch of full white with rings of given colours about it, so that every mean is known.


def patch(ring, background=0.2, size=(2, 3), at=(30, 50), shape=(90, 160), white=1.0):
    """sRGB [*shape, 3] of a white patch `size` (rows, columns) whose touching ring has the linear colour `ring`."""
    linear = torch.full((*shape, 3), background)
    y, x = at
    linear[y - 1 : y + size[0] + 1, x - 1 : x + size[1] + 1] = torch.tensor(ring)
    picture = encode_srgb(linear)
    picture[y : y + size[0], x : x + size[1]] = white
    return picture


def level(picture, gain=10.0, at=(30, 50)):
    found = find_clipped_highlights(picture, gain)
    return found.level[int(found.label[at])]


@pytest.mark.parametrize(
    "towards_white, sure",
    [(0.02, 1.0), (0.34, 1.0), (0.40, 2 / 3), (0.425, 0.5), (0.49, 1 / 15), (0.51, 0.0), (0.9, 0)],
)
def test_a_ring_near_white_is_no_highlight(towards_white, sure):
    """From 0.35 of the way from background to white, sure to be one, to 0.5, sure to be none."""
    ring = [0.2 + towards_white * 0.8] * 3
    assert level(patch(ring)).tolist() == pytest.approx([10 * sure] * 3, abs=0.05)


def test_before_an_almost_white_background_a_twentieth_of_white_is_the_way():
    assert level(patch([0.99] * 3, background=0.98)).tolist() == pytest.approx([10] * 3, abs=0.05)


def test_the_ring_s_excess_over_the_background_is_the_hue():
    assert level(patch([0.4, 0.3, 0.25])).tolist() == pytest.approx([10, 5, 2.5], rel=0.02)
    assert level(patch([0.25, 0.4, 0.1])).tolist() == pytest.approx([2.5, 10, 0], abs=0.1)  # no light is below 0


def test_without_an_excess_the_patch_s_own_colour_is_the_hue():
    picture = patch([0.2] * 3)
    picture[30:32, 50:53] = torch.tensor([1.0, 0.8, 0.5])
    own = decode_srgb(torch.tensor([1.0, 0.8, 0.5]))
    assert level(picture).tolist() == pytest.approx((10 * own).tolist(), rel=1e-3)


def test_clipped_is_white_within_two_steps_of_eight_bits():
    assert find_clipped_highlights(patch([0.3] * 3, white=254 / 255), 10.0) is not None
    assert find_clipped_highlights(patch([0.3] * 3, white=253.4 / 255), 10.0) is None


def test_a_corner_joins_two_pixels_to_one_highlight_but_their_ring_is_beside_them():
    picture = patch([0.2] * 3, size=(1, 1))
    picture[31, 51] = 1.0  # touches the other across its corner
    found = find_clipped_highlights(picture, 10.0)
    assert found.label.max() == 1 and (found.label > 0).sum() == 2
    corner = patch([0.2] * 3, size=(2, 3))
    corner[29, 49], corner[32, 53] = 0.9, 0.9  # across its corners: not in its ring
    corner[29, 51] = encode_srgb(torch.tensor([0.4, 0.3, 0.2]))
    assert level(corner).tolist() == pytest.approx([10, 5, 0], abs=0.1)


def test_the_background_is_three_pixels_away():
    picture, at = patch([0.4, 0.3, 0.25]), (30, 50)
    picture[at[0] - 2 : at[0] + 4, at[1] - 2] = 0.9  # two away
    picture[at[0] - 4 : at[0] + 6, at[1] - 4] = 0.9  # four away
    assert level(picture).tolist() == pytest.approx([10, 5, 2.5], rel=0.02)
    picture[at[0] - 3 : at[0] + 5, at[1] - 3] = encode_srgb(torch.tensor(0.6))  # three away
    assert level(picture)[2] == 0


def test_each_highlight_has_its_own_hue_and_background():
    left, right = patch([0.4, 0.3, 0.2]), patch([0.6, 0.7, 0.9], background=0.5, at=(60, 110))
    picture = torch.cat([left[:, :80], right[:, 80:]], 1)
    assert level(picture).tolist() == pytest.approx([10, 5, 0], abs=0.2)
    assert level(picture, at=(60, 110))[2] < 10 / 2  # 0.8 of the way to white: hardly a highlight
    picture = torch.cat([left[:, :80], patch([0.52, 0.54, 0.6], background=0.5, at=(60, 110))[:, 80:]], 1)
    assert level(picture, at=(60, 110)).tolist() == pytest.approx([2, 4, 10], abs=0.2)
    assert level(picture).tolist() == pytest.approx([10, 5, 0], abs=0.2)


@pytest.mark.parametrize("shape", [(150, 500), (500, 150), (300, 400)])
def test_a_highlight_is_small_against_the_picture_s_diagonal(shape):
    limit = 0.025 * math.hypot(*shape)
    fits, large = math.floor(limit) - 1, math.ceil(limit) + 2
    assert level(patch([0.3] * 3, size=(fits, fits), shape=shape)).max() == pytest.approx(10, rel=1e-2)
    big = patch([0.3] * 3, size=(large, large), shape=shape)
    big[5, 5] = 1.0  # a highlight, so that there is something to find
    assert int(find_clipped_highlights(big, 10.0).label[30, 50]) == 0
    line = patch([0.3] * 3, size=(3, large), shape=shape)  # long, but thin
    assert level(line).max() == pytest.approx(10, rel=1e-2)


def test_what_is_in_focus_keeps_its_white():
    """Fully recovered from a radius of 2 px on, not at all up to 0.5 px, on either side of the focal plane."""
    picture = patch([0.4, 0.3, 0.25])
    found, linear = find_clipped_highlights(picture, 10.0), decode_srgb(picture)
    for radius, share in ((0, 0), (0.5, 0), (-0.5, 0), (1.25, 0.5), (-1.25, 0.5), (2, 1), (-2, 1), (9, 1)):
        out = found.recover(linear, torch.full(linear.shape[:2], float(radius)))
        assert float(out[30, 50, 0]) == pytest.approx(1 + 9 * share, rel=0.02)
        assert torch.equal(out[:28], linear[:28])


def test_a_tile_recovers_its_own_part(monkeypatch):
    monkeypatch.setattr(tiles, "TILE", 64)
    picture = patch([0.4, 0.3, 0.25], at=(66, 120))
    found, radius = find_clipped_highlights(picture, 10.0), torch.full((90, 160), 5.0)
    whole = found.recover(decode_srgb(picture), radius)
    for tile in tiles.tiles(90, 160, 5.0):
        part = found.recover(decode_srgb(tile.take(picture)), tile.take(radius), tile)
        assert torch.equal(part, tile.take(whole))
