"""render_bokeh's own work: batches, channels, progress, what stays as it is."""

import math

import pytest
import torch

from rackfocus.pipelines.image.light import decode_srgb
from rackfocus.pipelines.optical.bokeh import SAMPLES, render, render_bokeh, tiles
from rackfocus.pipelines.optical.bokeh.highlights import find_clipped_highlights
from rackfocus.pipelines.optical.bokeh.render import radius_of_channels
from rackfocus.pipelines.optics import DefocusMap, aperture_mask

H, W = 45, 70  # large enough for a highlight of two pixels to be small against it


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def scene(seed):
    """(image [1, H, W, 3] with two clipped highlights, radius [1, H, W] of three layers, background)."""
    image = random(1, H, W, 3, seed=seed) * 0.3
    image[0, 10 + seed : 12 + seed, 20:22] = torch.tensor([1.0, 0.8, 0.3])
    image[0, 25, 6 + 9 * seed] = 1.0
    radius = torch.full((1, H, W), 5.0 - seed)
    radius[:, 15:, 10 : 30 + 4 * seed] = -4.0
    radius[:, :9] = 0.0
    return image, radius, random(1, H, W, 3, seed=seed + 10)


@pytest.mark.parametrize("options", [{}, {"cats_eye": 0.7, "spherical": 0.5, "chromatic": 2.0}, {"linear": True}])
def test_each_frame_of_a_batch_is_as_if_it_were_alone(options):
    images, radii, plates = (torch.cat(t) for t in zip(*(scene(s) for s in range(3)), strict=True))
    radii[2] *= 8  # its tiles are other tiles
    together = render_bokeh(images, DefocusMap(radii), background=plates, quality="fast", **options)
    assert all(find_clipped_highlights(image) is not None for image in images)
    for i in range(3):
        one = slice(i, i + 1)
        alone = render_bokeh(images[one], DefocusMap(radii[one]), background=plates[one], quality="fast", **options)
        assert torch.equal(together[one], alone)


def test_maps_of_another_size_are_scaled_one_by_one():
    images, radii, _ = (torch.cat(t) for t in zip(*(scene(s) for s in range(2)), strict=True))
    small = torch.stack([radii[0, ::2, ::2], radii[1, ::2, ::2]])
    together = render_bokeh(images, DefocusMap(small), quality="fast")
    assert torch.equal(together[1:], render_bokeh(images[1:], DefocusMap(small[1:]), quality="fast"))


def test_one_of_each_serves_a_whole_batch():
    images, radii, plates = (torch.cat(t) for t in zip(*(scene(s) for s in range(2)), strict=True))
    maps = render_bokeh(images[:1], DefocusMap(radii), quality="fast")
    assert torch.equal(maps[1:], render_bokeh(images[:1], DefocusMap(radii[1:]), quality="fast"))
    frames = render_bokeh(images, DefocusMap(radii[:1]), background=plates[1:], quality="fast")
    alone = render_bokeh(images[:1], DefocusMap(radii[:1]), background=plates[1:], quality="fast")
    assert torch.equal(frames[:1], alone) and not torch.equal(frames[1:], alone)


def test_red_and_blue_blur_less_behind_and_more_in_front():
    radius = torch.tensor([-10.0, -6.0, -3.0, 0.0, 3.0, 6.0, 10.0])
    (green, r_green), (others, r_others) = radius_of_channels(radius, 3.0)
    assert green == (1,) and others == (0, 2)
    assert torch.equal(r_green, radius)
    assert r_others.tolist() == pytest.approx([-13.0, -9.0, -4.5, 0.0, 1.5, 3.0, 7.0])
    assert radius_of_channels(radius, 0.0) == [((0, 1, 2), radius)]


def test_each_channel_is_the_photograph_of_its_own_radius():
    image, radius, _ = scene(1)
    image = image.clamp(max=0.5)
    out = render_bokeh(image, DefocusMap(radius), chromatic=1.5, quality="fast")
    for channels, r in radius_of_channels(radius, 1.5):
        alone = render_bokeh(image, DefocusMap(r), quality="fast")
        # How far the picture goes on past its frame depends on the largest radius: look inside.
        inner = (out - alone)[:, 8:-8, 8:-8, list(channels)]
        assert inner.abs().max() < 1e-5


def test_tiles_are_cut_for_each_frame_s_largest_blur(monkeypatch):
    told = []
    monkeypatch.setattr(render, "tiles", lambda *size: told.append(size) or tiles.tiles(*size))
    radii = torch.stack([scene(0)[1][0], -7 + 0 * scene(0)[1][0]])
    render_bokeh(scene(0)[0], DefocusMap(radii), chromatic=1.5, quality="fast")
    assert told == [(H, W, 6.5), (H, W, 8.5)]  # red and blue blur more than green in front


@pytest.mark.parametrize("chromatic, passes", [(0.0, 1), (2.0, 2)])
def test_progress_counts_preparations_and_lens_points_of_every_tile(monkeypatch, chromatic, passes):
    monkeypatch.setattr(tiles, "TILE", 40)  # 2 x 2 tiles
    images, radii, _ = (torch.cat(t) for t in zip(*(scene(s) for s in range(2)), strict=True))
    radii[1] = 0
    told = []
    render_bokeh(images, DefocusMap(radii), chromatic=chromatic, quality="fast", progress=lambda *n: told.append(n))
    tile = 24 + SAMPLES["fast"]
    total = 2 * 4 * tile * passes
    assert {t for _, t in told} == {total}
    done = [d for d, _ in told]
    assert done[0] == 0 and done[-1] == total and done == sorted(done)
    assert {tile + step for step in (2, 14, 20, *range(24, tile))} <= set(done)  # lens points one by one


def test_progress_ends_where_nothing_is_to_be_done():
    told = []
    image, radius, _ = scene(0)
    assert torch.equal(render_bokeh(image, DefocusMap(0 * radius), progress=lambda *n: told.append(n)), image)
    assert told[0] == (0, 24 + SAMPLES["best"]) and told[-1] == (24 + SAMPLES["best"],) * 2


def test_cancelling_is_possible_while_highlights_spread():
    image, radius, _ = scene(0)
    told = []
    render_bokeh(image, DefocusMap(radius.clamp(min=3)), quality="fast", progress=lambda *n: told.append(n))
    assert told.count((24 + SAMPLES["fast"],) * 2) > 2


def test_best_looks_through_more_points_than_fast():
    assert SAMPLES["best"] >= 4 * SAMPLES["fast"] and SAMPLES["fast"] >= 32


@pytest.mark.parametrize("linear, level, tolerance", [(False, 0.5, 5e-5), (True, 20.0, 21 * 5e-5)])
def test_what_changes_by_less_than_can_be_seen_stays_bit_for_bit(monkeypatch, linear, level, tolerance):
    image, radius = torch.full((1, H, W, 3), level), DefocusMap(torch.full((1, H, W), 4.0))

    def off_by(amount):
        monkeypatch.setattr(render, "render_tile", lambda light, r, lens, tile, *_: light[:H, :W] + amount)
        monkeypatch.setattr(render, "encode_srgb", lambda x: x)
        monkeypatch.setattr(render, "decode_srgb", lambda x: x)
        monkeypatch.setattr(render, "find_clipped_highlights", lambda *_: None)
        return render_bokeh(image, radius, linear=linear, quality="fast")

    for sign in (1, -1):
        assert torch.equal(off_by(0.8 * sign * tolerance), image)
        assert not torch.equal(off_by(1.3 * sign * tolerance), image)


def test_a_disc_averages_all_its_pixels_and_not_one_for_each_lens_point():
    """Noise of deviation s becomes s / sqrt(pixels of the disc); through 40 pinholes it would stay s / sqrt(40)."""
    image, radius = 0.4 + 0.2 * random(1, 60, 90, 3), 12.0
    out = render_bokeh(image, DefocusMap(torch.full((1, 60, 90), radius)), linear=True, quality="fast")
    left = float(out[0, 15:-15, 15:-15].std((0, 1)).mean() / image.std())
    assert left < 2 / math.sqrt(math.pi * radius**2) < 0.7 / math.sqrt(SAMPLES["fast"])


def test_a_clipped_highlight_is_as_many_times_white_as_asked():
    image, defocus = scene(0)[0], DefocusMap(torch.full((1, H, W), 6.0))
    none, some, more = (
        decode_srgb(render_bokeh(image, defocus, highlights=g, quality="fast")).sum() for g in (1, 6, 11)
    )
    assert float((more - none) / (some - none)) == pytest.approx(2, rel=0.05)


def test_a_blur_within_a_pixel_changes_nothing():
    image, radius, _ = scene(0)
    assert torch.equal(render_bokeh(image, DefocusMap(torch.full_like(radius, -0.49)), linear=True), image)
    assert not torch.equal(render_bokeh(image, DefocusMap(torch.full_like(radius, 0.9)), linear=True), image)


def disc(radius, mask, quality="fast", h=41, w=57):
    """The image [h, w] of one bright point at (x, y) = (20, 18)."""
    image = torch.zeros(1, h, w, 3)
    image[0, 18, 20] = 1000.0
    return render_bokeh(image, DefocusMap(torch.full((1, h, w), radius)), aperture=mask, linear=True, quality=quality)[
        0, ..., 0
    ]


def centre(light):
    """(x, y) of the centre of light."""
    y, x = torch.meshgrid(*(torch.arange(n).float() for n in light.shape), indexing="ij")
    return float((x * light).sum() / light.sum()), float((y * light).sum() / light.sum())


def test_a_heart_stands_upright_behind_and_upside_down_in_front():
    heart = aperture_mask(shape="heart")
    behind, front = disc(12.0, heart), disc(-12.0, heart)
    widest = lambda d: int((d > 0).sum(1).argmax())  # noqa: E731
    assert widest(behind) < 18 < widest(front)  # the lobes: above the middle, and below
    assert centre(behind)[1] < 18 < centre(front)[1]
    assert abs(centre(behind)[0] - 20) < 0.2 and abs(centre(front)[0] - 20) < 0.2


@pytest.mark.parametrize("radius, corner", [(10.0, (-1, -1)), (-10.0, (1, 1))])
def test_surfaces_are_turned_like_highlights(radius, corner):
    """An aperture open in one quarter, seen by a highlight and by a patch too dim to be one."""
    mask = torch.zeros(1, 64, 64)
    mask[:, :32, 32:] = 1  # upper right from the front: upper left in the picture
    x, y = centre(disc(radius, mask))
    assert (x - 20) * corner[0] > 2 and (y - 18) * corner[1] > 2
    image = torch.full((1, 41, 57, 3), 0.3)
    image[0, 16:21, 18:23] = 0.6
    out = render_bokeh(image, DefocusMap(torch.full((1, 41, 57), radius)), aperture=mask, linear=True, quality="fast")[
        0, ..., 0
    ]
    x, y = centre((out - 0.3).clamp(min=0))
    assert (x - 20) * corner[0] > 2 and (y - 18) * corner[1] > 2
