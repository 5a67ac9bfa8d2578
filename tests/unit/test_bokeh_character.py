"""The character of a lens: cat's eye, spherical aberration, longitudinal chromatic aberration."""

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optical.bokeh import render_bokeh
from rackfocus.pipelines.optics import DefocusMap, aperture_mask


def discs(radius, places, size=81, light=1000.0, **options):
    """The image [height, width, 3] of bright points at (x, y); size is both or (height, width)."""
    height, width = size if isinstance(size, tuple) else (size, size)
    image = torch.zeros(1, height, width, 3)
    for x, y in places:
        image[0, y, x] = light
    return render_bokeh(image, DefocusMap(torch.full((1, height, width), float(radius))), linear=True, **options)[0]


def extent(disc, direction):
    """How far the disc [h, w] spreads along a direction (x, y): its standard deviation."""
    y, x = torch.meshgrid(*(torch.arange(n).float() for n in disc.shape), indexing="ij")
    along = x * direction[0] + y * direction[1]
    mean = (along * disc).sum() / disc.sum()
    return float((((along - mean) ** 2 * disc).sum() / disc.sum()).sqrt())


def rings(disc, radius):
    """Mean light [3] of a centred disc's middle and of its rim."""
    c = torch.arange(disc.shape[0]) - disc.shape[0] // 2
    rho = torch.hypot(c[:, None].float(), c[None].float()) / abs(radius)
    return disc[rho < 0.4].mean(0), disc[(rho > 0.75) & (rho < 0.92)].mean(0)


@pytest.mark.parametrize("radius, width, height", [(9, 151, 101), (-9, 91, 141)])
def test_a_cats_eye_is_round_in_the_centre_and_narrow_towards_the_corners(radius, width, height):
    def disc(x, y, **options):
        return discs(radius, [(x, y)], (height, width), quality="fast", **options)[..., 1]

    cx, cy = width // 2, height // 2
    middle = disc(cx, cy, cats_eye=1.0)
    assert (middle - disc(cx, cy)).abs().sum() < 0.02 * middle.sum()
    assert abs(extent(middle, (1, 0)) / extent(middle, (0, 1)) - 1) < 0.02
    for x, y in ((width - 15, height - 15), (15, height - 15)):
        corner, halfway = disc(x, y, cats_eye=1.0), disc((x + cx) // 2, (y + cy) // 2, cats_eye=1.0)
        length = ((x - cx) ** 2 + (y - cy) ** 2) ** 0.5
        outwards = ((x - cx) / length, (y - cy) / length)
        assert extent(corner, outwards) < 0.75 * extent(corner, (-outwards[1], outwards[0]))
        assert extent(corner, outwards) < 0.95 * extent(halfway, outwards)


def test_a_cats_eye_takes_no_light():
    places, o = [(60, 40), (105, 65)], {"size": (81, 121), "quality": "fast"}
    assert abs(discs(12, places, cats_eye=1.0, **o).sum() / discs(12, places, **o).sum() - 1) < 0.02


@pytest.mark.parametrize("options", [{"cats_eye": 1.0}, {"spherical": 1.0}, {"spherical": -0.7}, {"chromatic": 4.0}])
def test_a_flat_field_stays_flat_and_the_focal_plane_sharp(options):
    radius = torch.linspace(-12, 12, 96)[None, None].expand(1, 72, 96)
    flat = torch.full((1, 72, 96, 3), 0.5)
    options = {"quality": "fast", **options}
    assert (render_bokeh(flat, DefocusMap(radius), **options) - 0.5).abs().max() < 1e-4
    picture, slab = torch.rand(1, 72, 96, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 72, 96)
    slab[:, :, 60:] = 9.0
    out = render_bokeh(picture, DefocusMap(slab), **options)
    assert torch.equal(out[:, :, :54], picture[:, :, :54])
    assert (out - render_bokeh(picture, DefocusMap(slab), quality="fast"))[:, :, 66:].abs().max() > 0.005


def test_a_cats_eye_shapes_surfaces_as_it_shapes_highlights():
    """A bar too dim to be a highlight, in the corner: the part of the aperture that is cut blurs it less."""
    image = torch.full((1, 160, 160, 3), 0.3)
    image[:, 136:142, 136:142] = 0.6
    defocus = DefocusMap(torch.full((1, 160, 160), 10.0))
    plain, eye = (render_bokeh(image, defocus, linear=True, cats_eye=c)[0, ..., 0] - 0.3 for c in (0.0, 1.0))
    out = (0.5**0.5, 0.5**0.5)
    plain, eye = plain.clamp(min=1e-3) - 1e-3, eye.clamp(min=1e-3) - 1e-3
    assert extent(eye, out) < 0.85 * extent(plain, out)


def test_spherical_aberration_turns_over_at_the_focal_plane():
    for amount, bubble in ((0.8, 16), (-0.8, -16)):
        middle, rim = rings(discs(bubble, [(40, 40)], 81, spherical=amount, quality="fast"), bubble)
        assert rim[0] > 2 * middle[0]
        middle, rim = rings(discs(-bubble, [(40, 40)], 81, spherical=amount, quality="fast"), bubble)
        assert middle[0] > 1.5 * rim[0]


def test_spherical_aberration_keeps_the_light():
    assert abs(discs(16, [(40, 40)], 81, spherical=0.8, quality="fast").sum() / 3000 - 1) < 0.02


def test_longitudinal_chromatic_aberration_is_green_behind_and_magenta_in_front():
    behind, front = (discs(r, [(40, 40)], 81, chromatic=3.0, quality="fast") for r in (16, -16))
    for disc in (behind, front):
        assert (disc.sum((0, 1)) / 1000 - 1).abs().max() < 0.02  # white as a whole
    c = torch.arange(81) - 40
    rho = torch.hypot(c[:, None].float(), c[None].float())
    outer = behind[(rho > 14) & (rho < 15.5)].mean(0)
    assert outer[1] > 5 * outer[0] and outer[1] > 5 * outer[2]
    outer = front[(rho > 17) & (rho < 18.5)].mean(0)
    assert outer[0] > 5 * outer[1] and outer[2] > 5 * outer[1]


def test_character_goes_with_any_aperture():
    heart = aperture_mask(shape="heart")
    plain = discs(14, [(40, 40)], 81, quality="fast", aperture=heart)
    for options in ({"cats_eye": 0.5}, {"spherical": 0.5}, {"chromatic": 2.0}):
        assert (
            discs(14, [(40, 40)], 81, quality="fast", aperture=heart, **options)[..., 1] > 0
        ).float().mean() > 0.5 * (plain[..., 1] > 0).float().mean()


@pytest.mark.parametrize(
    "options", [{"cats_eye": 1.5}, {"spherical": -2.0}, {"chromatic": -1.0}, {"cats_eye": float("nan")}]
)
def test_wrong_character_is_one_sentence(options):
    with pytest.raises(RefocusError, match=r"is (1\.5|-2|-1|nan), but a number from -?[01] to") as error:
        discs(4, [(10, 10)], 21, **options)
    assert "\n" not in str(error.value)
