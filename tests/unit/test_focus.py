"""Where the picture is in focus, and what a lens focused there makes of the depth."""

import math

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optics import (
    FOCUS_BY,
    Camera,
    focus_at_distance,
    focus_at_mask,
    focus_at_point,
    focus_automatic,
    focus_lens,
    relative_to_metric,
    resize_depth,
    to_disparity,
)
from rackfocus.pipelines.optics.focus import pixel_at
from rackfocus.tests.pictures import ramp, random, stripes

H, W = 37, 53


def rows_and_columns(h, w):
    """[1, h, w]: 1000 * row + column, so that every value tells where it was read."""
    return (1000.0 * torch.arange(h)[:, None] + torch.arange(w))[None]


@pytest.mark.parametrize(
    "x, y, column, row", [(0, 0, 0, 0), (1, 1, 79, 39), (0.5, 0.25, 40, 10), (0.1, 0.9, 8, 36), (0.999, 0, 79, 0)]
)
def test_the_pixel_under_a_point(x, y, column, row):
    assert pixel_at(x, y, 40, 80) == (column, row)
    assert float(focus_at_point(rows_and_columns(40, 80), x, y)) == 1000 * row + column


def test_a_point_is_the_median_of_a_hundredth_of_the_width():
    d = torch.arange(500.0).expand(1, 9, 500).clone()
    assert float(focus_at_point(d, 0.5, 0.5)) == 250
    d[:, 4, 250] = 9999  # one depth pixel is noise
    assert float(focus_at_point(d, 0.5, 0.5)) in (250, 251)
    # 2 pixels to either side, and rows likewise; at the border what lies inside
    assert float(focus_at_point(rows_and_columns(9, 500), 0.5, 0.5)) == 4250
    assert float(focus_at_point(d[:, :1], 0.0, 0.0)) == 1 and float(focus_at_point(d[:, :1], 1.0, 1.0)) == 498
    column = torch.arange(9.0)[None, :, None].expand(1, 9, 500)
    assert [float(focus_at_point(column, 0.5, y)) for y in (0.0, 0.5, 1.0)] == [1, 4, 7]


def test_a_point_is_read_in_every_map():
    d = torch.cat([ramp(H, W, 0, 1), ramp(H, W, 1, 0)])
    assert focus_at_point(d, 0.0, 0.3).tolist() == [0, 1]


@pytest.mark.parametrize("x, y, said", [(1.2, 0.5, "x is 1.2"), (0.5, -0.1, "y is -0.1"), (math.nan, 0.5, "x is nan")])
def test_a_point_outside_the_picture(x, y, said):
    with pytest.raises(RefocusError, match=f"{said}, .*outside the picture"):
        focus_at_point(ramp(H, W), x, y)


def test_a_mask_takes_the_median_of_what_is_more_than_half_white():
    d = torch.tensor([[[1.0, 2.0, 30.0, 4.0, 5.0]], [[10.0, 20.0, 30.0, 40.0, 50.0]]])
    mask = torch.tensor([[[1.0, 0.6, 0.51, 0.5, 0.0]], [[0.0, 0.0, 0.4, 0.0, 0.9]]])
    assert focus_at_mask(d, mask).tolist() == [2, 50]
    with pytest.raises(RefocusError, match="focus mask is empty"):
        focus_at_mask(d, mask * torch.tensor([1.0, 0.5])[:, None, None])
    with pytest.raises(ValueError):
        focus_at_mask(d, mask[:1])


def test_a_distance_is_its_inverse():
    assert focus_at_distance(4.0, 2).tolist() == [0.25, 0.25]
    assert focus_at_distance(math.inf, 1).tolist() == [0]
    for metres in (0.0, -1.0, math.nan):
        with pytest.raises(RefocusError, match=r"focus distance is .* more than 0"):
            focus_at_distance(metres, 1)


def test_automatic_is_the_80th_percentile_of_the_middle_third():
    d = torch.full((2, 9, 15), 99.0)
    d[:, 3:6, 5:10] = torch.arange(1.0, 16).reshape(3, 5)
    d[1] = -d[1]
    assert focus_automatic(d).tolist() == [12, -4]


@pytest.mark.parametrize("h, w", [(1, 1), (2, 1), (1, 5), (10, 4)])
def test_automatic_of_the_smallest_maps(h, w):
    d = random(1, h, w)
    assert d.min() <= float(focus_automatic(d)) <= d.max()


def test_automatic_of_a_size_without_a_third_keeps_the_remainder():
    d = torch.full((1, 10, 17), 0.0)  # rows 3 to 6, columns 5 to 11
    d[:, 3:7, 5:12] = 1.0
    assert float(focus_automatic(d)) == 1
    d[:, :3], d[:, 7:], d[:, :, :5], d[:, :, 12:] = 9, 9, 9, 9
    assert float(focus_automatic(d)) == 1


# focus_lens


@pytest.mark.parametrize("width", [W, 131])
def test_the_artists_strength_is_that_of_1000_pixels(width):
    d = ramp(H, width, 0.2, 0.8)
    made = focus_lens(d, "disparity", point=(0.0, 0.5), strength=40)
    assert torch.allclose(made.defocus.radius, 40 * width / 1000 * (0.2 - d), atol=1e-6)
    assert made.defocus.strength.tolist() == pytest.approx([40 * width / 1000])
    assert made.kind == "disparity" and made.camera is None


@pytest.mark.parametrize("width", [W, 131])
def test_a_camera_has_its_own_strength(width):
    camera, d = Camera(85, 1.8, 23.6), ramp(H, width, 0.2, 0.8)
    made = focus_lens(d, "inverse_metres", by="distance", metres=2.0, camera=camera, strength=1e6)
    assert torch.allclose(made.defocus.radius, camera.strength(2.0, width) * (0.5 - d), rtol=1e-5)
    assert made.kind == "inverse_metres" and made.camera == camera


@pytest.mark.parametrize("kind", ["disparity", "inverted"])
def test_a_camera_gives_a_relative_map_its_metres(kind):
    camera, d = Camera(50, 2), ramp(H, W, 0.1, 0.9)
    made = focus_lens(d, kind, by="distance", metres=4.0, camera=camera, near_m=2, far_m=20)
    expected = camera.strength(4.0, W) * (1 / 4 - relative_to_metric(d, kind, 2, 20))
    assert torch.allclose(made.defocus.radius, expected, atol=1e-5) and made.kind == "inverse_metres"


def test_a_cameras_strength_is_that_of_the_first_frame():
    clip = torch.cat([stripes(H, W, 0.5, 0.1), stripes(H, W, 0.25, 0.1)])
    camera = Camera(50, 2)
    made = focus_lens(clip, "inverse_metres", point=(0.1, 0.5), camera=camera)
    assert made.defocus.strength.tolist() == pytest.approx([camera.strength(2.0, W)] * 2)
    assert made.defocus.focus_disparity.tolist() == [0.5, 0.25]
    at_infinity = focus_lens(torch.zeros(1, H, W), "inverse_metres", camera=camera)
    assert float(at_infinity.defocus.strength) == pytest.approx(camera.strength(math.inf, W))


@pytest.mark.parametrize("kind, expected", [("disparity", (0.25 - 0.1) / (0.5 - 0.1)), ("inverted", 0.5)])
def test_a_distance_is_found_in_a_relative_map(kind, expected):
    made = focus_lens(ramp(H, W), kind, by="distance", metres=4.0, near_m=2, far_m=10)
    assert float(made.defocus.focus_disparity) == pytest.approx(expected)


@pytest.mark.parametrize("white, metres", [(1.0, 2.0), (0.5, 16.0), (0.25, 23.0)])
def test_what_stands_at_the_distance_of_an_inverted_map_is_sharp(white, metres):
    """White is 2 m, black 30 m, and grey even between them."""
    made = focus_lens(torch.full((1, H, W), white), "inverted", by="distance", metres=metres, near_m=2, far_m=30)
    assert made.defocus.radius.abs().max() < 1e-5


def test_a_distance_in_a_metric_map_needs_no_scene():
    made = focus_lens(ramp(H, W, 1, 9), "metres", by="distance", metres=4.0, near_m=-1, far_m=-2)
    assert float(made.defocus.focus_disparity) == 0.25
    assert torch.allclose(made.defocus.radius, 0.06 * W * (0.25 - 1 / ramp(H, W, 1, 9)), atol=1e-6)


def test_the_defaults_are_those_of_the_node():
    d = random(1, H, W)
    expected = focus_lens(
        d, "disparity", by="point", point=(0.5, 0.5), strength=60, near_factor=1, far_factor=1, in_focus_range=0
    )
    made = focus_lens(d)
    assert torch.equal(made.defocus.radius, expected.defocus.radius) and made.defocus.focus_point == (0.5, 0.5)
    assert focus_lens(d, by="distance").focus == [pytest.approx((1 / 2 - 1 / 10) / (1 - 1 / 10))]


def test_point_mask_and_automatic_are_the_functions_of_that_name():
    d = random(2, H, W)
    mask = (ramp(H, W) > 0.7).float()
    by_point = focus_lens(d, "disparity", by="point", point=(0.9, 0.2)).defocus
    assert torch.equal(by_point.focus_disparity, focus_at_point(d, 0.9, 0.2)) and by_point.focus_point == (0.9, 0.2)
    by_mask = focus_lens(d, "disparity", by="mask", mask=mask, point=(0.9, 0.2)).defocus
    assert torch.equal(by_mask.focus_disparity, focus_at_mask(d, mask.expand(2, -1, -1)))
    assert by_mask.focus_point is None
    automatic = focus_lens(d, "disparity", by="automatic").defocus
    assert torch.equal(automatic.focus_disparity, focus_automatic(d)) and automatic.focus_point is None


def test_a_mask_of_another_size_is_resized():
    d, mask = ramp(H, W), (ramp(3 * H, 2 * W) > 0.7).float()
    made = focus_lens(d, "disparity", by="mask", mask=mask).defocus
    assert float(made.focus_disparity) == pytest.approx(float(d[d > 0.7].median()), abs=0.02)


def test_the_image_sets_the_size_of_the_maps():
    d, image = ramp(20, 31), random(1, H, W, 3)
    made = focus_lens(d, "disparity", image=image, strength=40, point=(0.1, 0.1))
    resized = resize_depth(d, H, W)
    assert torch.allclose(made.defocus.radius, 0.04 * W * (focus_at_point(resized, 0.1, 0.1)[0] - resized), atol=1e-6)
    assert torch.equal(made.picture, image)


@pytest.mark.parametrize("maps, pictures", [(1, 3), (3, 1), (3, 3)])
def test_one_map_or_one_picture_serves_all(maps, pictures):
    d, image = random(maps, H, W), random(pictures, H, W, 3)
    made = focus_lens(d, "disparity", image=image)
    assert made.defocus.radius.shape == (3, H, W) and made.picture.shape == (3, H, W, 3)
    for i in range(3):
        alone = focus_lens(d[i % maps : i % maps + 1], "disparity")
        assert torch.equal(made.defocus.radius[i], alone.defocus.radius[0])
        assert torch.equal(made.picture[i], image[i % pictures])


@pytest.mark.parametrize(
    "maps, pictures, said", [(3, 2, "image has 2 frames and depth has 3"), (2, 3, "depth has 2 frames and image has 3")]
)
def test_other_numbers_are_refused(maps, pictures, said):
    with pytest.raises(RefocusError, match=said):
        focus_lens(random(maps, H, W), image=random(pictures, H, W, 3))


def test_without_an_image_the_picture_is_the_disparity_with_the_nearest_white():
    made = focus_lens(stripes(H, W, 2.0, 4.0, 8.0), "metres")
    assert torch.allclose(made.picture, stripes(H, W, 1.0, 0.5, 0.25)[..., None].expand(-1, -1, -1, 3))
    assert focus_lens(torch.zeros(1, H, W)).picture.abs().max() == 0


def test_factors_and_range_reach_the_map():
    d = stripes(H, W, 0.9, 0.52, 0.5, 0.1)
    options = {"near_factor": 0.5, "far_factor": 2.0, "in_focus_range": 0.1}
    made = focus_lens(d, "disparity", by="point", point=(0.6, 0.5), strength=1000 / W, **options)
    assert made.defocus.radius[0, 0, [3, 20, 33, 50]].tolist() == pytest.approx([-0.175, 0, 0, 0.7], abs=1e-5)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"by": "mask"}, "no focus_mask is connected"),
        ({"by": "eye"}, f"focus_by is 'eye', but one of {', '.join(FOCUS_BY)}"),
        ({"by": "mask", "mask": torch.zeros(1, 5, 5)}, "focus mask is empty"),
        ({"by": "mask", "mask": torch.ones(3, 5, 5)}, "focus_mask has 3 frames and depth has 2"),
        ({"by": "distance", "near_m": 5.0, "far_m": 2.0}, "under the far one"),
        ({"strength": -1.0}, "strength is -"),
        ({"image": {"samples": 0}}, "image is a dict"),
    ],
)
def test_wrong_input_is_one_sentence(options, said):
    with pytest.raises(RefocusError, match=said) as error:
        focus_lens(ramp(H, W).expand(2, -1, -1), "disparity", **options)
    assert "\n" not in str(error.value)


def test_the_text_tells_blur_focus_and_limits():
    d = stripes(H, W, 0.9, 0.5, 0.1)
    text = focus_lens(d, "disparity", strength=1000 / W).describe()
    assert text == (
        "blur radius -0.40 (in front) to 0.40 (behind) px at 53 x 37; focus disparity 0.5; "
        "relative depth: strength is not in metres"
    )
    camera = Camera(50, 2)
    near, far = camera.near_far_limits(2.0)
    said = f"; focus disparity 0.5; focused at 2 m, sharp from {near:.3g} m to {far:.3g} m"
    assert focus_lens(d, "inverse_metres", camera=camera).describe().endswith(said)
    clip = to_disparity(d).expand(6, -1, -1)
    assert focus_lens(clip, "inverse_metres").describe().endswith("; focus disparity 0.5, 0.5, 0.5, 0.5 ...")
    assert focus_lens(clip[:4], "inverse_metres").describe().endswith("; focus disparity 0.5, 0.5, 0.5, 0.5")
    assert focus_lens(0 * d, "inverse_metres", camera=camera).describe().endswith("; focus disparity 0")


def test_a_batch_is_described_by_its_first_frame_and_four_focus_values():
    depth = torch.linspace(1.0, 6.0, 6)[:, None, None].expand(6, 5, 7).contiguous()  # frame i stands at i + 1 metres
    camera = Camera(50, 2)
    near, far = camera.near_far_limits(1.0)
    said = focus_lens(depth, "metres", camera=camera).describe()
    assert f"focused at 1 m, sharp from {near:.3g} m to {far:.3g} m" in said
    assert "focus disparity 1, 0.5, 0.3333, 0.25 ..." in said
    assert "focus disparity 1, 0.5, 0.3333, 0.25;" in focus_lens(depth[:4], "metres", camera=camera).describe()
