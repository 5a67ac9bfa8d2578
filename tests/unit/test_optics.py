"""Depth conventions, lens, aperture shapes, focus."""

import math

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.optics import (
    Camera,
    DefocusMap,
    aperture_from_image,
    aperture_kernel,
    aperture_mask,
    aperture_points,
    defocus_from_disparity,
    focus_at_distance,
    focus_at_mask,
    focus_at_point,
    focus_automatic,
    relative_to_metric,
    resize_depth,
    to_disparity,
    zones,
)


def test_srgb_round_trip():
    x = torch.linspace(0, 1, 1001)
    assert torch.allclose(encode_srgb(decode_srgb(x)), x, atol=1e-6)
    assert abs(float(decode_srgb(torch.tensor(0.5))) - 0.2140) < 1e-3


def test_every_kind_of_depth_orders_near_before_far():
    metres = torch.tensor([[[1.0, 2.0, 4.0, 8.0]]])
    near = 1 / metres
    for kind, depth in {
        "metres": metres,
        "inverse_metres": near,
        "disparity": near,
        "auto": metres,
        "inverted": 1 - (metres - 1) / 7,
    }.items():
        d = to_disparity(depth, kind)
        assert (d[..., :-1] > d[..., 1:]).all(), kind
    assert torch.allclose(to_disparity(metres, "metres"), near)
    assert torch.allclose(to_disparity(metres, "auto"), near)
    assert torch.allclose(to_disparity(near, "auto"), near)


def test_inverted_depth_is_linear_in_depth():
    metres = torch.linspace(2, 20, 10)[None, None]
    white_near = 1 - (metres - 2) / 18
    assert torch.allclose(relative_to_metric(white_near, "inverted", 2, 20), 1 / metres, atol=1e-5)
    disparity = (1 / metres - 1 / 20) / (1 / 2 - 1 / 20)
    assert torch.allclose(relative_to_metric(disparity, "disparity", 2, 20), 1 / metres, atol=1e-5)


def test_metres_without_a_surface_are_infinitely_far():
    assert to_disparity(torch.tensor([[[0.0, -1.0, math.inf, 2.0]]]), "metres").tolist() == [[[0.0, 0.0, 0.0, 0.5]]]


def test_no_frame_is_normalised():
    depth = torch.rand(1, 8, 8)
    outlier = depth.clone()
    outlier[0, 0, 0] = 1.0
    assert torch.equal(to_disparity(depth, "disparity")[:, 1:], to_disparity(outlier, "disparity")[:, 1:])


@pytest.mark.parametrize(
    "depth, kind, said",
    [
        (torch.tensor([[[math.nan]]]), "metres", "NaN"),
        (torch.tensor([[[math.inf]]]), "disparity", "infinite"),
        (torch.ones(1, 2, 2), "depthiness", "depth_kind"),
        (torch.ones(0, 2, 2), "auto", "empty"),
        ({"samples": 1}, "auto", "depth map"),
    ],
)
def test_wrong_depth_is_one_sentence(depth, kind, said):
    with pytest.raises(RefocusError, match=said) as error:
        to_disparity(depth, kind)
    assert "\n" not in str(error.value)


def test_resizing_makes_no_depth_between_two_surfaces():
    d = torch.zeros(1, 10, 10)
    d[:, :, 5:] = 1
    for size in ((37, 41), (5, 7)):
        out = resize_depth(d, *size)
        assert torch.minimum(out.abs(), (1 - out).abs()).max() < 1e-6 and 0.3 < out.mean() < 0.7
    ramp = torch.linspace(0.5, 0.6, 10)[None, None].expand(1, 10, 10)
    assert resize_depth(ramp, 40, 40).unique().numel() > 20  # a slope stays smooth


def test_defocus_is_linear_in_disparity_with_sign():
    d = torch.tensor([[[0.9, 0.5, 0.1]]])
    r = defocus_from_disparity(d, 0.5, 10).radius
    assert torch.allclose(r, torch.tensor([[[-4.0, 0.0, 4.0]]]))
    r = defocus_from_disparity(d, 0.5, 10, near_factor=2, far_factor=0.5, in_focus_range=0.2).radius
    assert torch.allclose(r, torch.tensor([[[-6.0, 0.0, 1.5]]]))


def test_negative_strength_is_refused():
    with pytest.raises(RefocusError, match="strength is -1"):
        defocus_from_disparity(torch.ones(1, 2, 2), 0.5, -1)


def test_constant_depth_is_uniform_blur():
    assert defocus_from_disparity(torch.full((1, 4, 4), 0.3), 0.5, 10).radius.unique().numel() == 1


def test_defocus_map_refuses_nan():
    with pytest.raises(RefocusError, match="not numbers"):
        DefocusMap(torch.tensor([[[math.nan]]]))


def test_camera_strength_matches_the_worked_check():
    assert abs(Camera(50, 2).strength(3, 2000) - 35.3) < 0.05
    assert Camera(50, 2).strength(3, 4000) == pytest.approx(2 * Camera(50, 2).strength(3, 2000))


def test_camera_limits_have_that_circle_of_confusion():
    camera = Camera(85, 1.8)
    near, far = camera.near_far_limits(4.0, coc_mm=0.03)
    k = camera.strength(4.0, 36000)  # pixels of 1 um
    for z in (near, far):
        assert abs(2 * k * abs(1 / z - 1 / 4) - 30) < 0.1
    assert Camera(24, 16).near_far_limits(5.0)[1] == math.inf
    assert Camera(50, 2).strength(math.inf, 2000) > 0


@pytest.mark.parametrize("values", [(0, 2, 36), (50, -1, 36), (50, 2, 0)])
def test_impossible_camera(values):
    with pytest.raises(RefocusError, match="above 0"):
        Camera(*values)


def test_focus_nearer_than_the_focal_length():
    with pytest.raises(RefocusError, match="focal length"):
        Camera(50, 2).strength(0.04, 1000)


def test_focus():
    d = torch.full((2, 60, 60), 0.2)
    d[:, 20:40, 20:40] = 0.8
    mask = torch.zeros(2, 60, 60)
    mask[:, 22:30, 22:30] = 1
    assert focus_at_point(d, 0.5, 0.5).tolist() == pytest.approx([0.8, 0.8])
    assert focus_at_point(d, 1.0, 0.0).tolist() == pytest.approx([0.2, 0.2])
    assert focus_at_mask(d, mask).tolist() == pytest.approx([0.8, 0.8])
    assert focus_automatic(d).tolist() == pytest.approx([0.8, 0.8])
    assert focus_at_distance(4.0, 2).tolist() == [0.25, 0.25]
    with pytest.raises(RefocusError, match="outside the picture"):
        focus_at_point(d, 1.2, 0.5)
    with pytest.raises(RefocusError, match="empty"):
        focus_at_mask(d, mask * 0)


def test_zones_add_up():
    near, sharp, far = zones(DefocusMap(torch.tensor([[[-3.0, 0.2, 4.0]]])))
    assert [near.tolist(), sharp.tolist(), far.tolist()] == [[[[1, 0, 0]]], [[[0, 1, 0]]], [[[0, 0, 1]]]]


@pytest.mark.parametrize(
    "options, area",
    [
        ({}, math.pi / 4),
        ({"blades": 6}, 3 * math.sqrt(3) / 2 / 4),
        ({"blades": 6, "roundness": 1.0}, math.pi / 4),
        ({"squeeze": 2.0}, math.pi / 8),
    ],
)
def test_aperture_areas(options, area):
    assert float(aperture_mask(**options).mean()) == pytest.approx(area, rel=0.01)


def test_aperture_rotation_is_counter_clockwise():
    still, turned = aperture_mask(blades=3), aperture_mask(blades=3, rotation=90)
    assert still[0, 128, 250] == 1 and still[0, 128, 5] == 0  # first corner to the right
    assert turned[0, 5, 128] == 1 and turned[0, 250, 128] == 0  # then to the top


@pytest.mark.parametrize(
    "options, said",
    [
        ({"blades": 2}, "2 blades"),
        ({"squeeze": 0}, "squeeze"),
        ({"roundness": 2}, "roundness"),
        ({"shape": "moon"}, "shape"),
    ],
)
def test_impossible_aperture(options, said):
    with pytest.raises(RefocusError, match=said):
        aperture_mask(**options)


def test_aperture_from_an_image_keeps_its_proportions():
    m = aperture_from_image(torch.ones(1, 40, 80, 3))
    assert m.shape == (1, 256, 256) and m.max() <= 1
    rows, columns = (m[0] > 0.5).any(1).sum(), (m[0] > 0.5).any(0).sum()
    assert abs(float(columns / rows) - 2) < 0.1


@pytest.mark.parametrize("shape", ["iris", "heart", "ring", "star"])
def test_aperture_points_have_the_masks_moments(shape):
    mask = aperture_mask(shape=shape)
    points, weight = aperture_points(mask, 128)
    c = (torch.arange(256) + 0.5) / 128 - 1
    y, x = torch.meshgrid(c, c, indexing="ij")
    m = mask[0].flip(-1) / mask.sum()
    assert abs(float(weight.sum()) - 1) < 1e-5
    assert torch.allclose((weight[:, None] * points).sum(0), torch.stack([(m * x).sum(), (m * y).sum()]), atol=0.01)
    assert float((weight * points.square().sum(1)).sum()) == pytest.approx(float((m * (x * x + y * y)).sum()), rel=0.05)


@pytest.mark.parametrize("radius", [0.2, 1.0, 7.3, 40.0])
def test_kernels_have_area_and_unit_sum(radius):
    k = aperture_kernel(aperture_mask(), radius)
    assert float(k.sum()) == pytest.approx(1, abs=1e-5)
    if radius > 1:
        assert 1 / float(k.max()) == pytest.approx(math.pi * radius**2, rel=0.02)
