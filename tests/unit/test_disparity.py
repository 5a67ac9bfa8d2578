"""Depth of every kind becomes disparity: larger is nearer, nothing is normalised, no edge is averaged."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optics import (
    DEPTH_KINDS,
    METRIC_KINDS,
    metric_to_relative,
    relative_to_metric,
    resize_depth,
    resolve_kind,
    to_disparity,
)
from rackfocus.tests.pictures import ramp, random, stripes

H, W = 9, 14


def test_every_kind_of_depth_orders_near_before_far():
    metres = torch.tensor([[[1.0, 2.0, 4.0, 8.0]]])
    near = 1 / metres
    kinds = {
        "metres": metres,
        "inverse_metres": near,
        "disparity": near,
        "auto": metres,
        "inverted": 1 - (metres - 1) / 7,
    }
    assert set(kinds) == set(DEPTH_KINDS)
    for kind, depth in kinds.items():
        d = to_disparity(depth, kind)
        assert (d[..., :-1] > d[..., 1:]).all(), kind
    assert torch.equal(to_disparity(metres, "metres"), near)
    assert torch.equal(to_disparity(near, "inverse_metres"), near)
    assert torch.equal(to_disparity(near, "disparity"), near)


@pytest.mark.parametrize("white, expected", [(1.0, 1.0), (0.5, 0.1 / 0.55), (0.0, 0.1), (-2.0, 0.1), (3.0, 1.0)])
def test_inverted_by_hand(white, expected):
    assert float(to_disparity(torch.tensor([[white]]), "inverted")) == pytest.approx(expected, rel=1e-6)


def test_inverted_takes_its_span_from_the_caller():
    d = to_disparity(torch.tensor([[1.0, 0.5, 0.0]]), "inverted", near_over_far=0.5)
    assert d[0, 0].tolist() == pytest.approx([1.0, 0.5 / 0.75, 0.5])


@pytest.mark.parametrize(
    "value, kind",
    [
        (0.3, "disparity"),
        (1.0, "disparity"),
        (1.00005, "disparity"),
        (1.001, "metres"),
        (7.0, "metres"),
        (math.inf, "metres"),
    ],
)
def test_auto_is_metres_where_a_value_exceeds_1(value, kind):
    depth = torch.full((1, H, W), 0.5)
    depth[0, 3, 8] = value
    assert resolve_kind(depth, "auto") == kind and resolve_kind(depth, "inverted") == "inverted"
    assert torch.equal(to_disparity(depth, "auto"), to_disparity(depth, kind))


def test_auto_is_the_default_and_slight_colour_is_averaged():
    colour = random(2, H, W, 1) + 0.04 * random(2, H, W, 3, seed=1)
    colour = colour / colour.max()
    assert torch.allclose(to_disparity(colour), colour.mean(-1))
    assert torch.allclose(to_disparity(colour * 9), 1 / (colour * 9).mean(-1))
    assert to_disparity(colour[0, ..., 0]).shape == (1, H, W)


def test_metres_without_a_surface_are_infinitely_far():
    assert to_disparity(torch.tensor([[[0.0, -1.0, math.inf, 2.0]]]), "metres").tolist() == [[[0.0, 0.0, 0.0, 0.5]]]


def test_no_frame_is_normalised():
    depth = random(1, H, W)
    outlier = depth.clone()
    outlier[0, 0, 0] = 1.0
    assert torch.equal(to_disparity(depth, "disparity")[:, 1:], to_disparity(outlier, "disparity")[:, 1:])


@pytest.mark.parametrize(
    "depth, kind, said",
    [
        (torch.tensor([[[math.nan, math.nan, 1.0]]]), "metres", "depth holds 2 values that are NaN"),
        (torch.tensor([[[math.inf]]]), "disparity", "infinite"),
        (torch.tensor([[[-math.inf]]]), "inverted", "infinite"),
        (torch.ones(1, 2, 2), "depthiness", "depth_kind is 'depthiness'"),
        (torch.ones(0, 2, 2), "auto", "empty"),
        ({"samples": 1}, "auto", "depth map"),
    ],
)
def test_wrong_depth_is_one_sentence(depth, kind, said):
    with pytest.raises(RefocusError, match=said) as error:
        to_disparity(depth, kind)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("near, far", [(2.0, 20.0), (0.5, 40.0)])
@pytest.mark.parametrize("kind", ["disparity", "inverted"])
def test_white_stands_at_near_and_black_at_far(kind, near, far):
    ends = torch.tensor([[[1.0, 0.0]]])
    assert relative_to_metric(ends, kind, near, far)[0, 0].tolist() == pytest.approx([1 / near, 1 / far])


def test_between_white_and_black_disparity_is_linear_and_inverted_linear_in_depth():
    grey = torch.tensor([[[0.25]]])
    assert float(relative_to_metric(grey, "disparity", 2, 20)) == pytest.approx(0.25 * 0.5 + 0.75 * 0.05)
    assert float(relative_to_metric(grey, "inverted", 2, 20)) == pytest.approx(1 / (0.25 * 2 + 0.75 * 20), rel=1e-5)


@pytest.mark.parametrize("kind", ["disparity", "inverted"])
def test_relative_and_metric_are_inverse(kind):
    depth = ramp(H, W, 0.05, 0.95)
    metric = relative_to_metric(depth, kind, 2, 20)
    assert torch.allclose(
        metric_to_relative(metric, kind, 2, 20), to_disparity(depth, kind, near_over_far=0.1), atol=1e-6
    )
    assert metric_to_relative(1 / 2, kind, 2, 20) == pytest.approx(1)


@pytest.mark.parametrize("kind", METRIC_KINDS)
def test_a_metric_disparity_stays_as_it_is(kind):
    assert metric_to_relative(0.3, kind, 5, 1) == 0.3


@pytest.mark.parametrize("near, far", [(5.0, 5.0), (6.0, 5.0), (0.0, 5.0), (-1.0, 5.0)])
def test_an_impossible_scene(near, far):
    said = f"the scene runs from {near:g} m to {far:g} m"
    with pytest.raises(RefocusError, match=said):
        relative_to_metric(torch.ones(1, H, W), "disparity", near, far)
    with pytest.raises(RefocusError, match=said):
        metric_to_relative(0.5, "inverted", near, far)


def test_resizing_to_the_same_size_changes_nothing():
    d = random(2, H, W)
    assert resize_depth(d, H, W) is d


def test_a_smooth_map_grows_bilinearly_with_pixel_centres():
    d = torch.tensor([[[0.50, 0.52], [0.51, 0.53]]])
    out = resize_depth(d, 2, 4)
    assert out[0, 0].tolist() == pytest.approx([0.50, 0.505, 0.515, 0.52])
    assert resize_depth(d, 4, 2)[0, :, 0].tolist() == pytest.approx([0.50, 0.5025, 0.5075, 0.51])


@pytest.mark.parametrize("factor, smooth", [(1.08, True), (1.12, False)])
def test_an_edge_begins_at_a_tenth(factor, smooth):
    d = stripes(6, 8, 0.5, 0.5 * factor)
    out = resize_depth(d, 12, 24)
    assert (out.unique().numel() > 2) == smooth
    assert out.shape == (1, 12, 24) and out.min() == d.min() and out.max() == d.max()


def test_resizing_makes_no_depth_between_two_surfaces():
    d = stripes(10, 16, 0.0, 1.0)
    for size in ((37, 41), (10, 41), (37, 16), (5, 7), (37, 7), (5, 41)):
        out = resize_depth(d, *size)
        assert out.shape == (1, *size)
        assert out[:, :, : size[1] // 2].abs().max() < 1e-6 and (out[:, :, -(size[1] // 2) :] - 1).abs().max() < 1e-6
        assert torch.minimum(out.abs(), (1 - out).abs()).max() < 1e-6


def test_only_the_neighbourhood_of_an_edge_is_picked():
    d = ramp(10, 20, 0.50, 0.55)
    d[:, :, 10:] += 1
    out = resize_depth(d, 20, 40)
    smooth = torch.nn.functional.interpolate(d[:, None], (20, 40), mode="bilinear")[:, 0]
    assert torch.equal(out[:, :, :18], smooth[:, :, :18]) and torch.equal(out[:, :, 22:], smooth[:, :, 22:])
    assert not torch.equal(out, smooth)


def test_shrinking_selects_the_pixels_at_the_centres():
    d = random(2, 9, 15)
    assert torch.equal(resize_depth(d, 3, 5), d[:, 1::3, 1::3])
    assert torch.equal(resize_depth(d, 9, 5), d[:, :, 1::3])
    assert torch.equal(resize_depth(d, 3, 15), d[:, 1::3])


@pytest.mark.parametrize("size", [(9, 6), (6, 15), (18, 6), (18, 12), (6, 30), (8, 30)])
def test_whatever_shrinks_on_one_axis_selects(size):
    d = ramp(9, 15, 0.50, 0.55) + torch.linspace(0, 0.01, 9)[:, None]
    assert torch.isin(resize_depth(d, *size), d).all()


def photo_of(share, apart, levels=1.0):
    """A picture [1, 40, 60, 3] whose first rows, a share of all, have channels that lie apart."""
    grey = torch.full((1, 40, 60, 3), 0.5 * levels)
    grey[:, : int(40 * share), :, 2] += apart * levels
    return grey


@pytest.mark.parametrize(
    "picture",
    [photo_of(0.5, 0.1), photo_of(0.5, -0.1), photo_of(1, 0.1, 40.0), random(2, 9, 14, 3), random(1, 300, 700, 4)],
)
def test_a_picture_in_colour_is_no_depth_map(picture):
    for kind in DEPTH_KINDS:
        with pytest.raises(RefocusError, match="in colour, but a depth map is grey"):
            to_disparity(picture, kind)
    with pytest.raises(RefocusError, match="in colour, but a depth map is grey"):
        resolve_kind(picture, "auto")


def test_one_picture_in_colour_among_maps_is_told():
    with pytest.raises(RefocusError, match="in colour"):
        to_disparity(torch.cat([photo_of(0, 0), photo_of(1, 0.2)]))


@pytest.mark.parametrize("share, apart", [(1.0, 0.05), (0.2, 0.5)])
def test_a_grey_map_with_some_colour_stays_a_map(share, apart):
    """JPEG's rounding, a tinted scan, a coloured mark in a corner."""
    picture = photo_of(share, apart)
    assert torch.allclose(to_disparity(picture, "disparity"), picture.mean(-1), atol=1e-6)


def test_a_grey_map_may_go_through_jpeg_and_its_alpha_counts_for_nothing():
    levels = (random(48, 64) * 255).to(torch.uint8).numpy()
    buffer = io.BytesIO()
    Image.fromarray(levels).convert("RGB").save(buffer, "JPEG", quality=20)
    read = torch.from_numpy(np.asarray(Image.open(buffer).convert("RGB")).copy())[None] / 255
    assert to_disparity(torch.cat([read, torch.zeros_like(read[..., :1])], -1), "disparity").shape == (1, 48, 64)
