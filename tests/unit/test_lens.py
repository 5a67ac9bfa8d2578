"""The thin lens and the defocus map, by hand formulas."""

import math
from dataclasses import replace

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optics import Camera, DefocusMap, defocus_from_disparity, from_1000, resize_depth
from rackfocus.tests.pictures import ramp, random, stripes

H, W = 13, 22


def circle_mm(f, n, s, z):
    """Diameter on the sensor of the image of a point at z, in a lens focused at s, all mm: f/N |v - v_z| / v_z."""
    v, v_z = f * s / (s - f), f * z / (z - f)
    return f / n * abs(v - v_z) / v_z


def test_1000_pixels_are_the_reference_width():
    assert [from_1000(30.0, w) for w in (500, 1000, 2400)] == [15.0, 30.0, 72.0]
    assert from_1000(torch.tensor([10.0, 20.0]), 250).tolist() == [2.5, 5.0]


def test_camera_strength_matches_the_worked_check():
    assert Camera(50, 2).strength(3, 2000) == pytest.approx(35.31, abs=0.01)
    assert Camera(50, 2) == Camera(50, 2, 36)


@pytest.mark.parametrize("f, n, sensor", [(50, 2.0, 36.0), (85, 1.8, 23.6), (4.2, 1.7, 6.4)])
@pytest.mark.parametrize("s, z", [(3.0, 1.2), (3.0, 50.0), (0.4, 2.0)])
@pytest.mark.parametrize("width", [640, 1500])
def test_strength_is_that_of_the_thin_lens_equation(f, n, sensor, s, z, width):
    radius = Camera(f, n, sensor).strength(s, width) * abs(1 / z - 1 / s)
    assert radius == pytest.approx(circle_mm(f, n, s * 1000, z * 1000) / 2 * width / sensor, rel=1e-6)


def test_focused_at_infinity_the_extension_is_none():
    assert Camera(50, 2).strength(math.inf, 1800) == pytest.approx(50 * 50 / 4 * 50 / 1000)
    assert Camera(50, 2).strength(1e9, 1800) == pytest.approx(Camera(50, 2).strength(math.inf, 1800))


@pytest.mark.parametrize("f, n, s, coc", [(85, 1.8, 4.0, 0.03), (35, 8.0, 2.0, 0.02)])
def test_limits_have_that_circle_of_confusion(f, n, s, coc):
    near, far = Camera(f, n).near_far_limits(s, coc_mm=coc)
    assert near < s < far
    for z in (near, far):
        assert circle_mm(f, n, s * 1000, z * 1000) == pytest.approx(coc, rel=1e-6)


@pytest.mark.parametrize("sensor", [36.0, 6.4])
def test_limits_default_to_a_1500th_of_the_sensor(sensor):
    camera = Camera(30, 4, sensor)
    assert camera.near_far_limits(2.0) == camera.near_far_limits(2.0, coc_mm=sensor / 1500)


def test_limits_beyond_the_hyperfocal_distance():
    hyperfocal = 24**2 / (16 * 0.03) / 1000  # metres
    near, far = Camera(24, 16).near_far_limits(math.inf, coc_mm=0.03)
    assert near == pytest.approx(hyperfocal) and far == math.inf
    assert Camera(24, 16).near_far_limits(1.1 * hyperfocal, coc_mm=0.03)[1] == math.inf
    assert 20 < Camera(24, 16).near_far_limits(0.97 * hyperfocal, coc_mm=0.03)[1] < math.inf


@pytest.mark.parametrize("values", [(0, 2, 36), (50, -1, 36), (50, 2, 0), (math.nan, 2, 36)])
def test_impossible_camera(values):
    name = ("focal_mm", "f_number", "sensor_mm")[[v > 0 for v in values].index(False)]
    with pytest.raises(RefocusError, match=f"{name} is .*, but a number from 0"):
        Camera(*values)


def test_a_camera_may_be_tiny():
    assert Camera(0.5, 0.7, 0.9).strength(1.0, 1000) == pytest.approx(0.25 / 1.4 * 1000 / 999.5 / 0.9)


@pytest.mark.parametrize("focus_m", [0.04, 0.05, 0.0, -2.0])
def test_focus_nearer_than_the_focal_length(focus_m):
    for asked in (lambda c: c.strength(focus_m, 1000), lambda c: c.near_far_limits(focus_m)):
        with pytest.raises(RefocusError, match=f"{focus_m:g} m, but more than the focal length of 50 mm"):
            asked(Camera(50, 2))


def test_no_circle_of_confusion_is_refused():
    with pytest.raises(RefocusError, match="coc_mm is 0"):
        Camera(50, 2).near_far_limits(2.0, coc_mm=0)


def test_defocus_is_linear_in_disparity_with_sign():
    d = torch.tensor([[[0.9, 0.5, 0.1]]])
    r = defocus_from_disparity(d, 0.5, 10).radius
    assert torch.allclose(r, torch.tensor([[[-4.0, 0.0, 4.0]]]))  # nearer is negative


def test_the_slab_is_as_wide_as_the_range_and_the_factors_have_their_sides():
    d = torch.tensor([[[0.9, 0.61, 0.59, 0.5, 0.41, 0.39, 0.1]]])
    r = defocus_from_disparity(d, 0.5, 10, near_factor=2, far_factor=0.5, in_focus_range=0.2).radius
    assert r[0, 0].tolist() == pytest.approx([-6.0, -0.2, 0, 0, 0, 0.05, 1.5], abs=1e-5)
    assert defocus_from_disparity(d, 0.5, 10, near_factor=0).radius[0, 0, :3].tolist() == [0, 0, 0]
    assert defocus_from_disparity(d, 0.5, 10, far_factor=0).radius[0, 0, -3:].tolist() == [0, 0, 0]


def test_each_frame_has_its_own_focus():
    d = ramp(H, W).expand(2, -1, -1)
    made = defocus_from_disparity(d, torch.tensor([0.2, 0.7]), 10)
    for i, focus in enumerate((0.2, 0.7)):
        assert torch.equal(made.radius[i], defocus_from_disparity(d[:1], focus, 10).radius[0])
    both = defocus_from_disparity(d[:1], torch.tensor([0.2, 0.7]), 10)
    assert torch.equal(both.radius, made.radius)


@pytest.mark.parametrize("name", ["strength", "near_factor", "far_factor", "in_focus_range"])
def test_negative_numbers_are_refused(name):
    with pytest.raises(RefocusError, match=f"{name} is -1"):
        defocus_from_disparity(torch.ones(1, 2, 2), 0.5, **{"strength": 1.0, name: -1.0})
    defocus_from_disparity(torch.ones(1, 2, 2), 0.5, **{"strength": 1.0, name: 0.0})


def test_a_map_carries_what_it_came_from():
    d = ramp(H, W).expand(3, -1, -1)
    made = defocus_from_disparity(d, torch.tensor([0.2, 0.3, 0.4]), 12.5, focus_point=(0.25, 0.75))
    assert torch.allclose(made.focus_disparity, torch.tensor([0.2, 0.3, 0.4]))
    assert made.strength.tolist() == [12.5] * 3 and made.focus_point == (0.25, 0.75)
    assert torch.allclose(made.radius, made.strength[:, None, None] * (made.focus_disparity[:, None, None] - d))
    one = defocus_from_disparity(d, 0.2, 12.5)
    assert one.focus_disparity.shape == (3,) and one.focus_point is None


def test_what_is_carried_goes_by_name():
    with pytest.raises(TypeError):
        DefocusMap(random(1, H, W), 0.5)


def test_a_bare_map_carries_nothing():
    bare = DefocusMap(random(2, H, W))
    assert bare.focus_disparity is bare.focus_point is bare.strength is None
    assert bare.scaled_to(2 * H, 2 * W).strength is None


def test_what_is_carried_belongs_to_every_map():
    with pytest.raises(RefocusError, match="focus_disparity has 2 frames and defocus map has 3"):
        DefocusMap(random(3, H, W), focus_disparity=torch.tensor([0.1, 0.2]))
    with pytest.raises(RefocusError, match="strength has 2 frames"):
        DefocusMap(random(3, H, W), strength=[1.0, 2.0])


@pytest.mark.parametrize("size", [(2 * H, 2 * W), (H, 3 * W), (30, 11)])
def test_a_scaled_map_scales_with_the_width(size):
    d = ramp(H, W)
    made = defocus_from_disparity(d, 0.4, 20, focus_point=(0.1, 0.9)).scaled_to(*size)
    assert torch.allclose(made.radius, resize_depth(20 * (0.4 - d), *size) * size[1] / W, atol=1e-5)
    assert made.strength.tolist() == pytest.approx([20 * size[1] / W])
    assert made.focus_disparity.tolist() == pytest.approx([0.4]) and made.focus_point == (0.1, 0.9)


def test_a_map_of_that_size_is_not_copied():
    made = DefocusMap(stripes(H, W, -3.0, 2.0))
    assert made.scaled_to(H, W) is made
    assert made.scaled_to(2 * H, 2 * W).radius.unique().tolist() == [-6.0, 4.0]  # no blur between two surfaces


def test_a_replaced_radius_keeps_the_rest():
    made = defocus_from_disparity(ramp(H, W), 0.4, 20, focus_point=(0.1, 0.9))
    other = replace(made, radius=-made.radius)
    assert torch.equal(other.radius, -made.radius) and torch.equal(other.strength, made.strength)
    assert torch.equal(other.focus_disparity, made.focus_disparity) and other.focus_point == (0.1, 0.9)


def test_the_largest_radius_has_no_sign():
    assert DefocusMap(torch.tensor([[[-7.0, 3.0]]])).max_radius == 7
    assert DefocusMap(torch.tensor([[[-2.0, 3.0]]])).max_radius == 3


def test_a_map_may_be_flat_or_an_image_and_must_be_finite():
    assert DefocusMap(random(H, W)).radius.shape == (1, H, W)
    assert DefocusMap(random(2, H, W, 3)).radius.shape == (2, H, W)
    for value in (math.nan, math.inf):
        with pytest.raises(RefocusError, match="defocus map holds 1 values that are not numbers"):
            DefocusMap(torch.tensor([[[value, 1.0]]]))
    with pytest.raises(RefocusError, match="defocus map is a list"):
        DefocusMap([1.0])
