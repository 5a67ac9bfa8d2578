"""Properties of the lens blur."""

import math

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.image.light import decode_srgb
from rackfocus.pipelines.optical.bokeh import SAMPLES, render_bokeh
from rackfocus.pipelines.optics import DefocusMap, aperture_mask, defocus_from_disparity


def texture(h=48, w=64, seed=0):
    return torch.rand(1, h, w, 3, generator=torch.Generator().manual_seed(seed))


def plane(radius, h=48, w=64):
    return DefocusMap(torch.full((1, h, w), float(radius)))


def point(radius, size, light=1000.0, **options):
    """The image [size, size] of a bright point in the middle."""
    image = torch.zeros(1, size, size, 3)
    image[0, size // 2, size // 2] = light
    return render_bokeh(image, plane(radius, size, size), linear=True, quality="fast", **options)[0, ..., 0]


@pytest.mark.parametrize("quality", SAMPLES)
def test_zero_strength_is_identity(quality):
    image, disparity = texture(), texture(seed=3)[..., 0]
    out = render_bokeh(image, defocus_from_disparity(disparity, 0.5, 0.0), quality=quality)
    assert torch.equal(out, image)


@pytest.mark.parametrize("quality", SAMPLES)
def test_inside_the_focal_plane_nothing_changes(quality):
    image, radius = texture(80, 120), torch.zeros(1, 80, 120)
    radius[:, :, 60:] = 8.0  # behind, so it cannot reach over the sharp part
    out = render_bokeh(image, DefocusMap(radius), quality=quality)
    assert torch.equal(out[:, :, :56], image[:, :, :56])
    assert (out[:, :, 70:] - image[:, :, 70:]).abs().mean() > 0.05


@pytest.mark.parametrize("quality", SAMPLES)
@pytest.mark.parametrize("value", [0.05, 0.5, 1.0])
def test_flat_stays_flat_to_the_corners(quality, value):
    radius = torch.linspace(-12, 12, 64)[None, None].expand(1, 48, 64)
    image = torch.full((1, 48, 64, 3), value)
    out = render_bokeh(image, DefocusMap(radius), quality=quality, highlights=8.0)
    assert (out - value).abs().max() < 1e-4


@pytest.mark.parametrize("radius", [3, -3, 10, 80])
def test_a_point_becomes_a_disc_of_its_radius(radius):
    size = 2 * (abs(radius) + 12) + 1
    disc = point(radius, size)
    c = torch.arange(size) - size // 2
    distance = torch.hypot(c[:, None].float(), c[None].float())
    inside, outside = disc[distance < abs(radius) - 1], disc[distance > 1.03 * abs(radius) + 1.5]
    expected = 1000 / (math.pi * radius**2)
    assert outside.max() < 0.02 * expected
    assert abs(inside.mean() / expected - 1) < 0.05
    assert inside.std() / expected < 0.05


def test_area_grows_as_radius_squared():
    for r in (3, 20, 80):
        disc = point(r, 2 * r + 21)
        assert abs(disc.sum() / disc.max() / (math.pi * r * r) - 1) < 0.05


def test_fractional_radii_change_the_blur_smoothly():
    spread = [float((point(r, 61) > 0).sum()) for r in (9.0, 9.5, 10.0)]
    assert spread[0] < spread[1] <= spread[2] or spread[0] <= spread[1] < spread[2]


@pytest.mark.parametrize("quality", SAMPLES)
@pytest.mark.parametrize("radius", [4, -9])
def test_linear_energy_is_kept(quality, radius):
    image = torch.zeros(1, 120, 120, 3)
    image[:, 40:80, 40:80] = texture(40, 40)
    out = render_bokeh(image, plane(radius, 120, 120), linear=True, quality=quality)
    assert abs(out.sum() / image.sum() - 1) < 0.01


def test_light_adds_up_in_linear_light():
    image = torch.zeros(1, 64, 64, 3)
    image[:, :, ::2] = 1.0  # the mean of black and white lines is 0.5 in light, 0.735 encoded
    out = render_bokeh(image, plane(6, 64, 64), highlights=1.0)
    assert abs(decode_srgb(out[:, 20:44, 20:44]).mean() - 0.5) < 0.01


def test_an_outlier_changes_nothing_beyond_its_own_blur():
    image, radius = texture(96, 128), torch.full((1, 96, 128), 3.0)
    for outlier in (-15.0, 15.0):
        wrong = radius.clone()
        wrong[0, 48, 64] = outlier
        before = render_bokeh(image, DefocusMap(radius), quality="fast")
        after = render_bokeh(image, DefocusMap(wrong), quality="fast")
        y, x = torch.meshgrid(torch.arange(96) - 48, torch.arange(128) - 64, indexing="ij")
        away = torch.hypot(y.float(), x.float()) > abs(outlier) + 8
        assert (before - after).abs()[0][away].max() < 1e-3
        assert (before - after).abs().max() > 0


def test_scaled_depth_with_divided_strength_gives_the_same_picture():
    image, disparity = texture(), torch.rand(1, 48, 64, generator=torch.Generator().manual_seed(1))
    one = render_bokeh(image, defocus_from_disparity(disparity, 0.5, 16.0), quality="fast")
    two = render_bokeh(image, defocus_from_disparity(disparity * 4, 2.0, 4.0), quality="fast")
    assert torch.equal(one, two)


def two_layers(front_radius, behind_radius):
    """White square in front of a black background; (image, map)."""
    image, radius = torch.zeros(1, 96, 96, 3), torch.full((1, 96, 96), float(behind_radius))
    image[:, 32:64, 32:64] = 0.9
    radius[:, 32:64, 32:64] = front_radius
    return image, DefocusMap(radius)


def test_a_blurred_foreground_spreads_over_a_sharp_background():
    image, defocus = two_layers(-8, 0)
    out = render_bokeh(image, defocus)
    assert out[0, 48, 27].mean() > 0.2  # outside the square, light from it
    assert out[0, 48, 33].mean() < 0.85  # inside, the background shows through its rim
    assert torch.equal(out[:, :20], image[:, :20])


def test_a_sharp_foreground_gets_no_halo():
    image, defocus = two_layers(0, 10)
    bright = 0.9 - image  # dark square before a bright blurred background
    out = render_bokeh(bright, defocus, highlights=1.0)
    assert (out[:, 33:63, 33:63] - bright[:, 33:63, 33:63]).abs().max() < 0.02
    assert (out[:, :30] - 0.9).abs().max() < 0.02  # nor does the square's darkness leak into the background


def test_a_highlight_beside_a_sharp_edge_keeps_its_full_disc_outside_it():
    """Its rays to the open side pass the card whatever the card occludes from other points of the lens."""
    image, radius = torch.full((1, 96, 128, 3), 0.02), torch.full((1, 96, 128), 20.0)
    image[0, 48, 70] = 400.0
    alone = render_bokeh(image, DefocusMap(radius), linear=True)[0, ..., 0]
    image[:, :, :60], radius[:, :, :60] = 0.3, 0.0
    beside = render_bokeh(image, DefocusMap(radius), linear=True)[0, ..., 0]
    y, x = torch.meshgrid(torch.arange(96) - 48, torch.arange(128) - 70, indexing="ij")
    disc = (torch.hypot(y.float(), x.float()) < 18) & (x > -8)
    assert (beside[disc] / alone[disc] - 1).abs().max() < 0.15
    assert (beside[:, :58] - 0.3).abs().max() < 1e-3


def test_a_highlight_behind_a_blurred_bar_is_cut_as_the_aperture_sees_it():
    """Brute force: the highlight's disc where the bar, shifted for each point of the lens, does not stand before it."""
    image, radius = torch.full((1, 96, 128, 3), 0.02), torch.full((1, 96, 128), 16.0)
    image[0, 48, 64] = 800.0
    image[:, :, 40:56], radius[:, :, 40:56] = 0.3, -8.0
    out = render_bokeh(image, DefocusMap(radius), linear=True)[0, ..., 0]
    y, x = torch.meshgrid(torch.arange(96) - 48.0, torch.arange(128) - 64.0, indexing="ij")
    p = x / 16  # the lens point by which its light reaches a pixel
    seen = x + 64 + 8 * p  # where on the bar's plane that ray passes
    disc = torch.hypot(y, x) < 14
    # Between lens points the shadow's edge is known to half their spacing, here 2 px.
    hidden, free = disc & (seen > 44) & (seen < 52), disc & ((seen > 60) | (seen < 36))
    full = 800 / (math.pi * 16**2)
    assert hidden.any() and free.any()
    assert out[hidden].max() < 0.5 * full < 0.8 * full < out[free].min()


def test_past_its_frame_the_picture_goes_on_as_it_ends():
    image = texture(40, 56)
    padded = torch.nn.functional.pad(image.movedim(-1, 1), (32,) * 4, mode="replicate").movedim(1, -1)
    wide = render_bokeh(padded, plane(9, 104, 120), highlights=1.0)[:, 32:-32, 32:-32]
    assert (render_bokeh(image, plane(9, 40, 56), highlights=1.0) - wide).abs().max() < 1e-3


def test_a_given_background_shows_through_a_blurred_foreground():
    image, defocus = two_layers(-8, 0)
    plate = torch.zeros(1, 96, 96, 3)
    plate[..., 1] = 1.0
    out, filled = render_bokeh(image, defocus, background=plate), render_bokeh(image, defocus)
    rim = out[0, 48, 33] - filled[0, 48, 33]
    assert rim[1] > 0.05 and rim[0].abs() < 0.02


def test_the_aperture_turns_between_behind_and_in_front():
    half = torch.zeros(1, 64, 64)
    half[:, :32] = 1  # the upper half is open
    behind, front = point(10, 41, aperture=half), point(-10, 41, aperture=half)
    assert behind[:20].sum() > 0.9 * behind.sum() and front[21:].sum() > 0.9 * front.sum()
    assert torch.allclose(behind, front.flip(0, 1), atol=1e-2 * float(behind.max()))


def test_the_aperture_is_seen_from_the_front():
    right = torch.zeros(1, 64, 64)
    right[:, :, 32:] = 1  # from the front; from behind the camera it is the left half
    disc = point(10, 41, aperture=right)
    assert disc[:, :20].sum() > 0.9 * disc.sum()


def test_a_squeezed_aperture_is_taller_than_wide():
    disc = point(12, 41, aperture=aperture_mask(squeeze=2)) > 0
    assert disc.any(1).sum() > 1.7 * disc.any(0).sum()


def test_grey_passes_partly():
    mask = torch.ones(1, 64, 64)
    mask[:, :32] = 0.25
    disc = point(10, 41, aperture=mask)
    assert abs(disc[:20].sum() / disc[21:].sum() - 0.25) < 0.05


def test_small_clipped_highlights_glow_and_walls_do_not():
    image = torch.full((1, 90, 170, 3), 0.2)
    image[:, 40:42, 60:62] = 1.0  # a highlight
    image[:, :, 120:] = 1.0  # a white wall
    on, off = (render_bokeh(image, plane(8, 90, 170), highlights=g, quality="fast") for g in (12.0, 1.0))
    assert on[0, 41, 61].mean() > off[0, 41, 61].mean() + 0.1
    assert (on[:, :, 90:] - off[:, :, 90:]).abs().max() < 1e-5


def test_static_frames_are_identical():
    radius = texture(seed=4)[..., 0] * 12 - 6
    out = render_bokeh(texture().expand(3, -1, -1, -1), DefocusMap(radius), quality="fast")
    assert torch.equal(out[0], out[2])


def test_defocus_of_another_size_is_scaled():
    image = texture(64, 96)
    small = render_bokeh(image, plane(4, 32, 48))
    assert torch.allclose(small, render_bokeh(image, plane(8, 64, 96)), atol=1e-5)


def test_one_pixel_picture():
    assert render_bokeh(torch.full((1, 1, 1, 3), 0.3), plane(5, 1, 1)).shape == (1, 1, 1, 3)


def test_progress_reaches_its_end_and_may_cancel():
    seen = []
    render_bokeh(texture(), plane(4), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] and [s[0] for s in seen] == sorted(s[0] for s in seen)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_bokeh(texture(), plane(4), progress=stop)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"image": {"samples": 0}}, "image batch"),
        ({"image": torch.zeros(0, 4, 4, 3)}, "empty batch"),
        ({"image": torch.full((1, 48, 64, 3), math.nan)}, "not numbers"),
        ({"image": torch.zeros(48, 64, 3)}, "image batch"),
        ({"defocus": torch.zeros(1, 48, 64)}, "DefocusMap"),
        (
            {"defocus": DefocusMap(torch.zeros(3, 48, 64)), "image": torch.zeros(4, 48, 64, 3)},
            "3 frames and image has 4",
        ),
        ({"aperture": torch.zeros(1, 32, 32)}, "all black"),
        ({"quality": "ultra"}, "quality"),
        ({"highlights": 0.5}, "highlights"),
        ({"background": torch.zeros(1, 10, 10, 3)}, "one size"),
    ],
)
def test_wrong_input_is_one_sentence(change, said):
    arguments = {"image": texture(), "defocus": plane(3), **change}
    with pytest.raises(RefocusError, match=said) as error:
        render_bokeh(**arguments)
    assert "\n" not in str(error.value)
