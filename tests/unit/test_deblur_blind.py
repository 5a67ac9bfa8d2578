"""estimate_defocus, and deblur without a map."""

import sys

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optical import deblur, estimate_coarse, estimate_defocus
from rackfocus.pipelines.optical.deconvolution import estimate as estimate_
from rackfocus.pipelines.optics import DefocusMap
from rackfocus.tests.pictures import photograph, psnr, texture

H, W = 96, 136
door = sys.modules[deblur.__module__]  # the module, which the function hides


@pytest.fixture(scope="module")
def blurred():
    """A photo through one disc of 3 px, and the picture that it shows."""
    image = texture(H, W)
    return photograph(image, 3.0), image


@pytest.mark.parametrize("radius", [2.0, 6.0])
def test_a_uniform_radius_is_found(radius):
    found = estimate_defocus(photograph(texture(H, W), radius)).radius
    assert found.shape == (1, H, W)
    assert float(found.median()) == pytest.approx(radius, abs=0.15 * radius)
    assert found.min() >= 0


def test_a_large_disc_is_found_in_the_smaller_copies():
    assert float(estimate_defocus(photograph(texture(192, 256), 10.0)).radius.median()) == pytest.approx(10, abs=1)


def test_a_sharp_picture_is_found_sharp_and_left_alone():
    image = (texture(H, W) * 255).round() / 255
    assert estimate_defocus(image).radius.mean() < 0.2
    assert psnr(deblur(image), image) > 38


def test_a_flat_picture_is_left_alone():
    image = torch.full((1, 64, 96, 3), 0.4)
    assert estimate_defocus(image).radius.max() == 0
    assert (deblur(image) - image).abs().max() < 1e-4


def test_it_tells_the_sharp_quarter_from_the_blurred_rest():
    """The lower right quarter alone is sharp: rows are rows and columns are columns."""
    image = texture(152, 216, seed=1)
    photo = photograph(image, 5.0)
    photo[:, 76:, 108:] = image[:, 76:, 108:]
    found = estimate_defocus(photo).radius[0]
    assert found[92:, 124:].median() < 0.5
    for rest in (found[:60, :92], found[:60, 124:], found[92:, :92]):
        assert float(rest.median()) == pytest.approx(5.0, abs=1.0)


def test_blind_deblurring_gains(blurred):
    photo, image = blurred
    assert psnr(deblur(photo), image) > psnr(photo, image) + 1.0


def test_blind_deblurring_trusts_an_estimate_less_than_a_map(blurred, monkeypatch):
    photo, seen = blurred[0], []
    real = door.restore
    monkeypatch.setattr(
        door, "restore", lambda *a: seen.append((a[3], a[4])) or real(*a)
    )  # image, radius, aperture, margin, noise, tick
    deblur(photo)
    deblur(photo, DefocusMap(torch.full((1, H, W), 3.0)))
    (_, blind), (margin, known) = seen
    assert (blind, known) == (door.NOISE_BLIND, door.NOISE)
    assert margin == (2 * 3 + 16) // 2


def test_each_frame_is_estimated_by_itself():
    """Bit for bit, at any place in a batch."""
    frames = torch.cat([photograph(texture(40, 61, seed=s), r) for s, r in ((0, 2.0), (5, 5.0))])
    both = estimate_defocus(frames).radius
    for i in range(2):
        assert torch.equal(both[i : i + 1], estimate_defocus(frames[i : i + 1]).radius)
    small = estimate_coarse(frames, pixels=1800).radius
    assert torch.equal(small[1:2], estimate_coarse(frames[1:2], pixels=1800).radius)
    assert torch.equal(deblur(frames)[1:2], deblur(frames[1:2]))


@pytest.mark.parametrize(("pixels", "width"), [(96 * 128, 256), (12_500, 300)])
def test_a_large_blur_is_found_in_a_small_copy(pixels, width, monkeypatch):
    """In pixels of the photo, on a picture four or five times as large as what is looked at."""
    seen = []
    real = estimate_.estimate_defocus
    monkeypatch.setattr(estimate_, "estimate_defocus", lambda image, **k: seen.append(image) or real(image, **k))
    photo = photograph(texture(192, width), 8.0)
    found = estimate_coarse(photo, pixels=pixels).radius
    assert found.shape == photo.shape[:3] and float(found.median()) == pytest.approx(8.0, abs=1.6)
    (small,) = seen
    assert 0.97 * pixels < small.shape[1] * small.shape[2] <= pixels
    assert small.mean((1, 2)).allclose(photo.mean((1, 2)), atol=0.02)


def test_a_small_photo_is_not_reduced():
    photo = photograph(texture(40, 61), 3.0)
    assert torch.equal(estimate_coarse(photo).radius, estimate_defocus(photo).radius)


def test_wrong_input_is_one_sentence():
    with pytest.raises(RefocusError, match="is a dict"):
        estimate_defocus({"samples": torch.zeros(1, 4, 8, 8)})


def test_progress_counts_to_its_total_and_may_cancel():
    image, seen = texture(70, 100), []
    estimate_defocus(image, progress=lambda done, total: seen.append((done, total)))
    done = [d for d, _ in seen]
    assert done == sorted(done) and set(done) == set(range(seen[-1][1] + 1))

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deblur(image, progress=stop)
