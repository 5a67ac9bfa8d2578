"""Aperture shapes: areas, which way up they are, and how they are sampled."""

import math

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optics import SHAPES, aperture_from_image, aperture_kernel, aperture_mask, aperture_points
from rackfocus.pipelines.optics.aperture import cell_light, check_aperture
from rackfocus.tests.pictures import random


def at(mask, x, y):
    """Value of a mask [1, S, S] at x right, y up in -1..1, as one looks at its front."""
    size = mask.shape[-1]
    return float(mask[0, int((1 - y) / 2 * size), int((x + 1) / 2 * size)])


def half(side):
    """An aperture whose left, right, top or bottom half is open."""
    mask = torch.zeros(1, 64, 64)
    part = {"left": (slice(None), slice(0, 32)), "right": (slice(None), slice(32, 64))}
    part |= {"top": (slice(0, 32), slice(None)), "bottom": (slice(32, 64), slice(None))}
    mask[0][part[side]] = 1
    return mask


@pytest.mark.parametrize(
    "options, area",
    [
        ({}, math.pi / 4),
        ({"blades": 6}, 3 * math.sqrt(3) / 2 / 4),
        ({"blades": 3}, 3 * math.sqrt(3) / 4 / 4),
        ({"blades": 64}, math.pi / 4),
        ({"blades": 6, "roundness": 1.0}, math.pi / 4),
        ({"squeeze": 2.0}, math.pi / 8),
        ({"squeeze": 0.5}, math.pi / 8),
        ({"shape": "cats_eye", "offset": 0.0}, math.pi / 4),
        ({"shape": "cats_eye", "offset": 1.0}, (2 * math.pi / 3 - math.sqrt(3) / 2) / 4),
        ({"shape": "ring", "inner": 1.0}, math.pi / 12),
        ({"shape": "star", "blades": 6, "inner": 1.0}, 3 / 4),  # the valleys are corners too
    ],
)
def test_areas(options, area):
    assert float(aperture_mask(**options).mean()) == pytest.approx(area, rel=0.01)


def test_a_mask_is_a_square_of_the_size_asked_for():
    assert aperture_mask().shape == (1, 256, 256) and aperture_mask(size=50).shape == (1, 50, 50)
    assert {*aperture_mask(size=50).unique().tolist()} - {0.0, 1.0}  # rims are anti-aliased


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_lies_within_the_square_and_takes_light(shape):
    mask = aperture_mask(shape=shape)
    assert mask.min() >= 0 and mask.max() <= 1 and 0.1 < float(mask.mean()) < 0.8


@pytest.mark.parametrize("rotation, corner", [(0, (0.95, 0)), (90, (0, 0.95)), (-90, (0, -0.95)), (180, (-0.95, 0))])
def test_rotation_is_counter_clockwise_and_0_has_a_corner_at_the_right(rotation, corner):
    mask = aperture_mask(blades=3, rotation=rotation)
    assert at(mask, *corner) == 1 and at(mask, -corner[0], -corner[1]) == 0


@pytest.mark.parametrize("roundness", [0.0, 0.5, 1.0])
def test_roundness_bends_the_blades_outwards(roundness):
    mask = aperture_mask(blades=4, roundness=roundness)
    edge = math.cos(math.pi / 4) + roundness * (1 - math.cos(math.pi / 4))  # radius in the middle of a blade
    inside, outside = ((edge + d) * math.cos(math.pi / 4) for d in (-0.03, 0.03))
    assert at(mask, inside, inside) == 1 and at(mask, outside, outside) == 0


def test_squeeze_is_twice_as_tall_as_wide_and_the_longer_axis_is_the_radius():
    for squeeze, wide, tall in ((2.0, 128, 256), (1.5, 171, 256), (0.75, 256, 192), (0.5, 256, 128)):
        mask = aperture_mask(squeeze=squeeze)[0] > 0.5
        assert abs(int(mask.any(0).sum()) - wide) <= 2 and abs(int(mask.any(1).sum()) - tall) <= 2
    turned = aperture_mask(blades=4, rotation=90, squeeze=2.0)  # the picture's axes, whatever the rotation
    assert at(turned, 0, 0.95) == 1 and at(turned, 0.55, 0) == 0


@pytest.mark.parametrize("inner", [0.3, 0.8])
def test_a_ring_brightens_with_the_fourth_power_of_the_radius(inner):
    ring = aperture_mask(shape="ring", inner=inner)
    for r in (0.004, 0.5, 0.9):
        assert at(ring, r, 0) == pytest.approx(1 - inner + inner * r**4, abs=0.02)


def test_a_heart_stands_on_its_tip():
    heart = aperture_mask(shape="heart")
    rows = (heart[0] > 0.5).sum(1)
    open_rows = rows.nonzero()[:, 0]
    assert rows[open_rows[-1]] < 20  # the tip, at the bottom
    assert at(heart, 0, 0.9) == 0 and at(heart, 0.4, 0.8) == at(heart, -0.4, 0.8) == 1  # two lobes at the top
    assert torch.equal(heart, heart.flip(-1))
    # (X^2 + Y^2 - 3/4)^3 = 1.6 X^2 Y^3 meets X = 0 and Y = 0 at a distance of sqrt(3/4); X = 1.2 x, Y = 1.2 y + 0.05
    for x, y in ((0, (0.75**0.5 - 0.05) / 1.2), (0, (-(0.75**0.5) - 0.05) / 1.2), (0.75**0.5 / 1.2, -0.05 / 1.2)):
        assert at(heart, 0.96 * x, 0.96 * y) > 0.9 and at(heart, 1.05 * x, 1.05 * y) < 0.1
    assert at(heart, 0.4, 0.91) == 1 and at(heart, 0.4, 0.94) == 0  # (0.48, 1.16) lies on the curve


@pytest.mark.parametrize("blades, points", [(0, 5), (7, 7)])
def test_a_star_points_up(blades, points):
    star = aperture_mask(shape="star", blades=blades, inner=0.4)
    assert at(star, 0, 0.93) == 1 and at(star, 0, -0.93) == 0
    angles = torch.arange(180) / 180 * 2 * math.pi
    ring = [at(star, 0.7 * math.cos(a), 0.7 * math.sin(a)) > 0.5 for a in angles.tolist()]
    assert sum(a and not b for a, b in zip(ring, ring[1:] + ring[:1], strict=True)) == points
    assert at(star, 0, -0.37) == 1 and at(star, 0, -0.43) == 0  # a valley opposite the point


def test_the_valleys_of_a_star_never_close():
    thin = aperture_mask(shape="star", inner=0.0)
    assert at(thin, 0, -0.043) == 1 and at(thin, 0, -0.061) < 0.3 and float(thin.mean()) > 0.02


def test_a_cats_eye_is_cut_at_the_left():
    eye = aperture_mask(shape="cats_eye", offset=0.5)
    assert at(eye, 0.97, 0) == 1 and at(eye, -0.45, 0) == 1 and at(eye, -0.55, 0) == 0
    assert torch.equal(eye, eye.flip(-2))


@pytest.mark.parametrize(
    "options, said",
    [
        ({"blades": 2}, "blades is 2"),
        ({"blades": 1}, "blades is 1"),
        ({"blades": 65}, "blades is 65"),
        ({"squeeze": 0}, "squeeze is 0"),
        ({"roundness": 2}, "roundness is 2"),
        ({"roundness": -0.1}, "roundness is -0.1"),
        ({"inner": 1.1}, "inner is 1.1"),
        ({"inner": -1}, "inner is -1"),
        ({"offset": 1.5}, "offset is 1.5"),
        ({"offset": -0.5}, "offset is -0.5"),
        ({"shape": "moon"}, "shape is 'moon', but one of iris"),
    ],
)
def test_impossible_aperture(options, said):
    with pytest.raises(RefocusError, match=said):
        aperture_mask(**options)


# An opening from a picture.


def test_a_picture_keeps_its_proportions_in_the_middle():
    for h, w, wide, tall in ((40, 80, 256, 128), (90, 30, 85, 256)):
        m = aperture_from_image(torch.ones(1, h, w, 3))
        assert m.shape == (1, 256, 256) and m.max() <= 1
        opening = m[0] > 0.5
        assert abs(int(opening.any(0).sum()) - wide) <= 3 and abs(int(opening.any(1).sum()) - tall) <= 3
        assert torch.allclose(m, m.flip(-1), atol=1e-4) and torch.allclose(m, m.flip(-2), atol=1e-4)


def test_a_picture_is_not_mirrored_and_its_brightness_counts():
    picture = torch.zeros(1, 40, 40, 3)
    picture[:, :20, 20:] = 0.6  # upper right
    picture[:, 20:, :20] = torch.tensor([0.3, 0.0, 0.0])  # lower left: mean 0.1
    m = aperture_from_image(picture, size=64)
    assert m.shape == (1, 64, 64)
    assert (at(m, 0.5, 0.5), at(m, -0.5, -0.5), at(m, 0.5, -0.5)) == pytest.approx((0.6, 0.1, 0), abs=1e-3)


def test_a_pictures_rotation_and_squeeze_are_those_of_the_shapes():
    bar = torch.zeros(1, 64, 64)
    bar[:, 28:36, 32:] = 1  # from the centre to the right
    turned = aperture_from_image(bar, rotation=90)
    assert at(turned, 0, 0.7) > 0.9 and at(turned, 0, -0.7) < 0.1 and at(turned, 0.7, 0) < 0.1
    full = torch.ones(1, 64, 64)
    for squeeze, wide, tall in ((2.0, 128, 256), (1.5, 171, 256), (0.75, 256, 192), (0.5, 256, 128)):
        opening = aperture_from_image(full, squeeze=squeeze)[0] > 0.5
        assert abs(int(opening.any(0).sum()) - wide) <= 2 and abs(int(opening.any(1).sum()) - tall) <= 2


def test_a_picture_of_the_shape_is_the_shape():
    for options in ({"rotation": 30.0}, {"squeeze": 2.0}, {"rotation": 20.0, "squeeze": 0.6}):
        drawn = aperture_mask(blades=3, **options)
        copied = aperture_from_image(aperture_mask(blades=3), **options)
        assert (drawn - copied).abs().mean() < 0.01


def test_a_large_picture_is_brought_to_the_size_and_only_the_first_counts():
    fine = (torch.arange(500) % 2).float().expand(2, 500, 500).clone()
    fine[1] = 0
    m = aperture_from_image(fine, size=64)
    assert m.shape == (1, 64, 64) and float(m.mean()) == pytest.approx(0.5, abs=0.03)
    assert aperture_from_image(torch.full((1, 30, 30), 7.0)).max() <= 1


def test_what_is_given_as_an_aperture():
    assert torch.equal(check_aperture(None), aperture_mask())
    square = random(2, 20, 20, low=-0.5, high=1.5)
    assert torch.equal(check_aperture(square), square[:1].clamp(0, 1))
    wide = check_aperture(torch.ones(1, 20, 40))
    assert wide.shape == (1, 40, 40) and float(wide.mean()) == pytest.approx(0.5, abs=0.03)
    with pytest.raises(RefocusError, match="all black"):
        check_aperture(torch.zeros(1, 8, 8))


# How an opening is sampled: x right and y down in the picture, for light from behind the focal plane.


@pytest.mark.parametrize("shape", ["iris", "heart", "ring", "star"])
def test_points_have_the_masks_moments(shape):
    mask = aperture_mask(shape=shape)
    points, weight = aperture_points(mask, 128)
    c = (torch.arange(256) + 0.5) / 128 - 1
    y, x = torch.meshgrid(c, c, indexing="ij")
    m = mask[0].flip(-1) / mask.sum()
    assert points.shape == (len(weight), 2) and len(weight) > 100
    assert float(weight.sum()) == pytest.approx(1, abs=1e-5)
    assert torch.allclose((weight[:, None] * points).sum(0), torch.stack([(m * x).sum(), (m * y).sum()]), atol=0.01)
    assert float((weight * points.square().sum(1)).sum()) == pytest.approx(float((m * (x * x + y * y)).sum()), rel=0.05)


@pytest.mark.parametrize("side, axis, sign", [("left", 0, 1), ("right", 0, -1), ("top", 1, -1), ("bottom", 1, 1)])
def test_from_behind_the_plane_the_opening_is_mirrored_left_to_right(side, axis, sign):
    points, weight = aperture_points(half(side), 24)
    assert (sign * points[:, axis] > 0).all()
    assert torch.allclose((weight[:, None] * points).sum(0).abs(), torch.eye(2)[axis] / 2, atol=0.02)
    kernel = aperture_kernel(half(side), 10.0)
    parts = {"x": (kernel[:, :11].sum(), kernel[:, 12:].sum()), "y": (kernel[:11].sum(), kernel[12:].sum())}
    first, last = parts["xy"[axis]]
    assert (float(last) > 0.9) if sign > 0 else (float(first) > 0.9)


def test_points_are_evenly_spread_and_the_same_every_time():
    points, weight = aperture_points(aperture_mask(), 64)
    apart = torch.cdist(points, points) + 9 * torch.eye(len(points))
    assert len(points) == 64 and float(apart.min()) > 0.5 * math.sqrt(math.pi / 64)
    assert float(points.norm(dim=1).max()) < 1 and float(weight.max() / weight.min()) < 1.6
    assert torch.equal(points, aperture_points(aperture_mask(), 64)[0])


def test_the_weight_of_a_point_is_its_cells_light():
    mask = half("left") * 0.25 + half("right") * 0.75
    points, weight = aperture_points(mask, 40)
    assert float(weight[points[:, 0] < 0].sum()) == pytest.approx(0.75, abs=0.04)  # mirrored
    two = torch.tensor([[-0.5, 0.1], [0.5, 0.1]])
    assert cell_light(mask, two).tolist() == pytest.approx([0.75, 0.25])
    three = torch.tensor([[0.0, -0.9], [0.0, 0.1], [0.0, 5.0]])  # the border lies at -0.4; the last has no cell
    light = cell_light(torch.ones(1, 64, 64), three)
    assert light.tolist() == pytest.approx([0.3, 0.7, 0.0], abs=0.02)


def test_a_faint_opening_has_points_too():
    points, weight = aperture_points(half("left") * 1e-4, 12)
    assert (points[:, 0] > 0).all() and float(weight.sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("radius", [0.2, 1.0, 7.3, 40.0])
def test_kernels_have_area_and_unit_sum(radius):
    k = aperture_kernel(aperture_mask(), radius)
    assert k.shape == (2 * math.ceil(radius + 0.5) + 1,) * 2
    assert float(k.sum()) == pytest.approx(1, abs=1e-5)
    assert float((k - k.flip(0)).abs().sum()) < 0.01 and float((k - k.flip(1)).abs().sum()) < 0.01
    if radius > 1:
        assert 1 / float(k.max()) == pytest.approx(math.pi * radius**2, rel=0.02)


@pytest.mark.parametrize("radius", [3.0, 7.3])
def test_a_kernels_half_width_is_the_radius(radius):
    k = aperture_kernel(aperture_mask(), radius)
    c = torch.arange(len(k)) - len(k) // 2
    assert float((k * (c**2 + c[:, None] ** 2)).sum()) == pytest.approx(radius**2 / 2 + 1 / 6, rel=0.02)
    far = torch.hypot(c.float(), c[:, None].float())
    assert k[far > radius + 1].abs().max() == 0 and (k[far < radius - 1] > 0).all()


def test_a_kernel_that_meets_no_light_is_a_point():
    k = aperture_kernel(torch.zeros(1, 64, 64), 2.0)  # smaller than what the kernel's samples can meet
    assert k.sum() == 1 and k[k.shape[0] // 2, k.shape[1] // 2] == 1


def test_a_small_kernel_of_a_fine_mask_does_not_alias():
    comb = (torch.arange(256) % 2).float().expand(1, 256, 256)
    k = aperture_kernel(comb, 2.0)
    assert torch.allclose(k, k.flip(1), atol=0.004) and float(k.sum()) == pytest.approx(1, abs=1e-5)
