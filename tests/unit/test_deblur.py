"""deblur with a known defocus map: what any deconvolution of a lens must hold."""

import sys

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.optical import deblur
from rackfocus.pipelines.optics import DefocusMap, aperture_mask
from rackfocus.tests.pictures import photograph, psnr, ramp, random, stripes, texture

door = sys.modules[deblur.__module__]  # the module, which the function hides


def flat(radius, image):
    return DefocusMap(torch.full(image.shape[:3], float(radius)))


def test_nothing_out_of_focus_is_left_bit_for_bit():
    image = texture(48, 64)
    assert torch.equal(deblur(image, flat(0, image)), image)


def test_sharp_parts_stay_bit_for_bit():
    image = texture(64, 96)
    radius = torch.zeros(1, 64, 96)
    radius[..., 60:] = 4
    out = deblur(image, DefocusMap(radius))
    assert torch.equal(out[:, :, :48], image[:, :, :48])
    assert not torch.equal(out, image)


@pytest.mark.parametrize("radius", [3.0, -5.0])
def test_a_flat_picture_stays_flat_to_the_corners(radius):
    image = torch.full((1, 48, 70, 3), 0.5)
    assert (deblur(image, DefocusMap(ramp(48, 70, 0, radius))) - image).abs().max() < 1e-4


@pytest.mark.parametrize(("radius", "gain"), [(2.0, 2.2), (-4.0, 2.0), (6.0, 1.8)])
def test_a_known_disc_is_undone(radius, gain):
    image = texture(90, 130)
    photo = photograph(image, abs(radius))
    assert psnr(deblur(photo, flat(radius, photo)), image) > psnr(photo, image) + gain


def test_a_heart_shaped_aperture_is_undone_with_its_own_mask_and_the_right_way_up():
    image, heart = texture(80, 120), aperture_mask(shape="heart")
    photo = photograph(image, 5.0, aperture=heart)
    behind = psnr(deblur(photo, flat(5, photo), aperture=heart), image)
    assert behind > psnr(photo, image) + 1.5
    assert behind > psnr(deblur(photo, flat(-5, photo), aperture=heart), image) + 0.5
    assert behind > psnr(deblur(photo, flat(5, photo)), image)


def test_two_regions_each_by_its_own_radius():
    image = texture(80, 160)
    left, right = photograph(image, 2.0), photograph(image, 5.0)
    photo = torch.cat([left[:, :, :80], right[:, :, 80:]], 2)
    out = deblur(photo, DefocusMap(stripes(80, 160, 2.0, 5.0)))
    for part in (slice(0, 70), slice(90, 160)):
        assert psnr(out[:, :, part], image[:, :, part]) > psnr(photo[:, :, part], image[:, :, part]) + 1.5


def test_noise_is_not_amplified_beyond_twice():
    image = torch.full((1, 60, 90, 3), 0.5)
    photo = image + 0.01 * torch.randn(image.shape, generator=torch.Generator().manual_seed(3))
    for radius in (2.0, 5.0):
        assert (deblur(photo, flat(radius, photo)) - image).std() < 2 * (photo - image).std()


def test_no_ringing_beside_an_edge():
    image = torch.full((1, 64, 96, 3), 0.3)
    image[:, :, 48:] = 0.7
    photo = photograph(image, 4.0)
    out = deblur(photo, flat(4, photo))
    assert out.min() > 0.3 - 0.03
    assert out.max() < 0.7 + 0.03
    assert psnr(out, image) > psnr(photo, image) + 6


def test_strength_grows_from_the_input_to_the_full_correction():
    image = photograph(texture(48, 64), 3.0)
    outs = [deblur(image, flat(3, image), strength=s) for s in (0, 0.25, 0.5, 1)]
    assert torch.equal(outs[0], image)
    change = [float((o - image).abs().mean()) for o in outs]
    assert change == sorted(change)
    assert change[2] == pytest.approx(change[3] / 2, rel=0.02)


def test_a_clipped_light_shrinks_to_where_it_stands_and_a_white_wall_does_not():
    wall = torch.full((1, 96, 160, 3), 0.3)
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(160.0), indexing="ij")
    light = wall.clone()
    light[0, torch.hypot(y - 48, x - 40) < 8] = 1.0
    rim = ((torch.arange(160.0) - 92) / 16).clamp(0, 1)[None, :, None]  # the wall's edge through the same lens
    light[0] = torch.maximum(light[0], encode_srgb(decode_srgb(wall[0]) * (1 - rim) + rim))
    out = deblur(light, flat(8, light))
    lit = (out > 0.99).all(-1)[0]
    assert lit[48, 40]
    assert lit[:, :80].sum() < 30
    assert (out[0, 30:66, 20:60][~lit[30:66, 20:60]] - 0.3).abs().max() < 0.1
    assert out[:, 20:76, 110:150].min() > 0.93


def test_tiles_leave_no_seam(monkeypatch):
    image = photograph(texture(70, 130), 3.0)
    whole = deblur(image, flat(3, image))
    monkeypatch.setattr(door, "TILE", 64)
    assert (deblur(image, flat(3, image)) - whole).abs().max() < 0.008


@pytest.mark.parametrize(("n", "tile"), [(120, 64), (53, 64), (200, 50)])
def test_tiles_share_each_pixel(n, tile, monkeypatch):
    """Spans cover the axis once; ramps add up to 1, reach no farther than half a feather, and end with the picture."""
    monkeypatch.setattr(door, "TILE", tile)
    spans = door._spans(n)
    assert [a for a, _ in spans[1:]] == [b for _, b in spans[:-1]] and spans[0][0] == 0 and spans[-1][1] == n
    assert len(spans) == -(-n // tile) and max(b - a for a, b in spans) <= tile
    total = torch.zeros(n)
    for span in spans:
        start, end = door._widened(span, 8, n)
        assert (start, end) == (max(0, span[0] - 8), min(n, span[1] + 8))
        r = door._ramp(span, n, start, end, total)
        total[start:end] += r
        assert (door._ramp(span, n, 0, n, total)[: max(0, span[0] - 8)] == 0).all()
    assert torch.allclose(total, torch.tensor(1.0))


def test_tiles_read_two_radii_and_a_feather_round_them(monkeypatch):
    monkeypatch.setattr(door, "TILE", 60)
    radius = torch.zeros(100, 400)
    radius[:, 340:] = -7.3
    plan = {(rows, columns): halo for rows, columns, halo in door._tiles(radius)}
    assert len(plan) == 2 * 7
    assert plan[(0, 50), (343, 400)] == plan[(50, 100), (286, 343)] == 2 * 8 + 16
    assert plan[(0, 50), (229, 286)] == 32  # 54 px away, within the farthest that is looked at
    assert plan[(50, 100), (0, 57)] == 16
    assert {halo for *_, halo in door._tiles(radius * 20)} == {16, 96}


def test_each_frame_has_its_own_map():
    images = torch.cat([photograph(texture(32, 41, seed=s), r) for s, r in ((1, 2.0), (2, 4.0))])
    maps = torch.stack([torch.full((32, 41), 2.0), torch.full((32, 41), 4.0)])
    both = deblur(images, DefocusMap(maps))
    for i in range(2):
        assert torch.equal(both[i : i + 1], deblur(images[i : i + 1], DefocusMap(maps[i : i + 1])))
    assert not torch.equal(both, deblur(images, DefocusMap(maps.flip(0))))


def test_batches_one_map_or_one_each_and_nothing_else():
    images = torch.cat([photograph(texture(32, 40, seed=s), 2.0) for s in (1, 2)])
    one = deblur(images, DefocusMap(torch.full((1, 32, 40), 2.0)))
    assert torch.equal(one, deblur(images, DefocusMap(torch.full((2, 32, 40), 2.0))))
    assert torch.equal(one[1:], deblur(images[1:], DefocusMap(torch.full((1, 32, 40), 2.0))))
    with pytest.raises(RefocusError, match="3 frames and image has 2"):
        deblur(images, DefocusMap(torch.full((3, 32, 40), 2.0)))


def test_a_map_of_another_size_is_resized_with_its_radii():
    image = photograph(texture(48, 64), 4.0)
    small = DefocusMap(torch.full((1, 24, 32), 2.0))
    assert torch.allclose(deblur(image, small), deblur(image, flat(4, image)), atol=1e-5)


def test_progress_counts_up_and_its_exception_passes_through():
    image = photograph(texture(40, 48), 2.0)
    seen = []
    deblur(image, flat(2, image), progress=lambda done, total: seen.append((done, total)))
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)
    assert seen[-1][0] == seen[-1][1]

    class Stop(Exception):
        pass

    def stop(done, total):
        if done > 5:
            raise Stop

    with pytest.raises(Stop):
        deblur(image, flat(2, image), progress=stop)


def test_wrong_inputs_are_one_sentence_each():
    image = texture(16, 16)
    bad = image.clone()
    bad[0, 0, 0, 0] = float("nan")
    for args, kw, words in (
        (({"samples": image},), {}, "is a dict"),
        ((image[:0],), {}, "empty batch"),
        ((bad,), {}, "not numbers"),
        ((image, torch.zeros(1, 16, 16)), {}, "DefocusMap is needed"),
        ((image,), {"strength": -1}, "strength"),
        ((image, flat(2, image)), {"aperture": torch.zeros(1, 8, 8)}, "all black"),
    ):
        with pytest.raises(RefocusError, match=words) as e:
            deblur(*args, **kw)
        assert "\n" not in str(e.value)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (33, 2)])
def test_tiny_pictures_pass(size):
    image = random(1, *size, 3)
    out = deblur(image, flat(3, image))
    assert out.shape == image.shape
    assert torch.isfinite(out).all()
    assert deblur(image).shape == image.shape
