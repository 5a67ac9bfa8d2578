"""estimate_defocus, and deblur without a map."""

import importlib.util
from pathlib import Path

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optical import deblur, estimate_coarse, estimate_defocus
from rackfocus.pipelines.optical.deconvolution import estimate as coarse

_spec = importlib.util.spec_from_file_location("deblur_properties", Path(__file__).with_name("test_deblur.py"))
_known = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_known)
texture, photograph, psnr = _known.texture, _known.photograph, _known.psnr


@pytest.mark.parametrize("radius", [2.0, 4.0, 6.0])
def test_a_uniform_radius_is_found(radius):
    photo = photograph(texture(192, 256), radius)
    found = estimate_defocus(photo).radius
    assert found.shape == (1, 192, 256)
    assert float(found.median()) == pytest.approx(radius, abs=0.2 * radius)
    assert found.min() >= 0


def test_a_sharp_picture_is_found_sharp_and_left_alone():
    image = (texture(192, 256) * 255).round() / 255
    assert estimate_defocus(image).radius.mean() < 0.2
    assert psnr(deblur(image), image) > 38


def test_a_flat_picture_is_left_alone():
    image = torch.full((1, 64, 96, 3), 0.4)
    assert (deblur(image) - image).abs().max() < 1e-4


def test_it_tells_the_sharp_half_from_the_blurred():
    image = texture(192, 320)
    photo = torch.cat([image[:, :, :160], photograph(image, 5.0)[:, :, 160:]], 2)
    found = estimate_defocus(photo).radius
    assert found[..., :120].median() < 0.5
    assert float(found[..., 200:].median()) == pytest.approx(5.0, abs=1.0)


def test_blind_deblurring_gains():
    image = texture(192, 256)
    photo = photograph(image, 3.0)
    assert psnr(deblur(photo), image) > psnr(photo, image) + 1.0


def test_each_frame_is_estimated_by_itself():
    a, b = photograph(texture(64, 96), 2.0), photograph(texture(64, 96, seed=5), 5.0)
    both = estimate_defocus(torch.cat([a, b])).radius
    assert torch.equal(both[:1], estimate_defocus(a).radius)
    assert torch.equal(both[1:], estimate_defocus(b).radius)


@pytest.mark.parametrize("pixels", [192 * 256, 50_000])
def test_a_large_blur_is_found_in_a_small_copy(pixels, monkeypatch):
    """In pixels of the photo, on a picture four or five times as large as what is looked at."""
    seen = []
    real = coarse.estimate_defocus
    monkeypatch.setattr(coarse, "estimate_defocus", lambda image, **k: seen.append(image.shape) or real(image, **k))
    photo = photograph(texture(384, 512 if pixels == 192 * 256 else 600), 8.0)
    found = estimate_coarse(photo, pixels=pixels).radius
    assert found.shape == photo.shape[:3] and float(found.median()) == pytest.approx(8.0, abs=1.6)
    (small,) = seen
    assert 0.98 * pixels < small[1] * small[2] <= pixels


def test_a_small_photo_is_not_reduced():
    photo = photograph(texture(64, 96), 3.0)
    assert torch.equal(estimate_coarse(photo).radius, estimate_defocus(photo).radius)


def test_wrong_input_is_one_sentence():
    with pytest.raises(RefocusError, match="is a dict"):
        estimate_defocus({"samples": torch.zeros(1, 4, 8, 8)})


def test_progress_counts_to_its_total_and_may_cancel():
    image, seen = texture(70, 100), []
    estimate_defocus(image, progress=lambda done, total: seen.append((done, total)))
    assert [d for d, _ in seen] == list(range(1, seen[-1][1] + 1))

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deblur(image, progress=stop)
