"""Detail transfer on a synthetic pair: generated frames that are known, and what they should have become."""

import pytest
import torch
import torch.nn.functional as F

from rackfocus.dev.bench.truth import psnr
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.learn2refocus import resize
from rackfocus.pipelines.learn2refocus.finish import as_sharp, finish, transfer_detail
from rackfocus.pipelines.optical import render_bokeh
from rackfocus.pipelines.optics import DefocusMap

FULL, MODEL = (256, 384), (128, 192)
LEFT, RIGHT = (slice(None), slice(None), slice(0, 88)), (slice(None), slice(None), slice(104, 192))


def texture(seed=0):
    """Detail of all sizes, [1, H, W, 3]."""
    g = torch.Generator().manual_seed(seed)
    layers = [
        F.interpolate(torch.rand(1, 3, FULL[0] // s, FULL[1] // s, generator=g) - 0.5, FULL, mode="bicubic") * s**0.6
        for s in (1, 2, 4, 8, 16, 32)
    ]
    found = sum(layers)
    return (found / found.std() * 0.15 + 0.5).clamp(0, 1).movedim(1, -1)


SHARP = texture()


def shot(focus: float):
    """The scene at full size: its left half lies at 0, its right half at 1; 10 pixels of blur for each unit."""
    plane = torch.zeros(1, *FULL)
    plane[..., FULL[1] // 2 :] = 1
    return render_bokeh(SHARP, DefocusMap(10 * (focus - plane)), highlights=1.0)


def generated(focus: float, seed=3):
    """As a model gives it: half the size, softened and with noise of its own."""
    x = resize(shot(focus), *MODEL)
    x = F.avg_pool2d(F.pad(x.movedim(-1, 1), (1, 1, 1, 1), mode="replicate"), 3, 1).movedim(1, -1) * 0.35 + x * 0.65
    return (x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))).clamp(0, 1)


PHOTO, OWN = shot(0.0), generated(0.0)


def transferred(focus: float):
    """(plain, with detail, truth) of the frame at that focus."""
    frames = torch.cat([OWN, generated(focus, seed=4)])
    return resize(frames[1:], *FULL), transfer_detail(frames, PHOTO, 0)[1:], shot(focus)


@pytest.mark.parametrize(("focus", "gain"), [(0.0, 7.0), (0.05, 7.0), (0.1, 3.0)])
def test_small_focus_shifts_gain_detail(focus, gain):
    plain, made, truth = transferred(focus)
    assert made.shape == PHOTO.shape and psnr(made, truth) > psnr(plain, truth) + gain


@pytest.mark.parametrize("focus", [0.2, 0.3, 0.5, 0.8, 1.0])
def test_large_ones_show_no_ghost(focus):
    plain, made, truth = transferred(focus)
    assert psnr(made, truth) > psnr(plain, truth) - 0.2
    if focus >= 0.5:
        assert float((made - plain).abs().mean()) < 5e-4


def test_what_comes_into_focus_is_left_as_sharp_as_it_is():
    """The photo's right half is blurred; a frame that is sharp there must not be given its blur."""
    plain, made, truth = transferred(1.0)
    right = (slice(None), slice(None), slice(FULL[1] // 2 + 16, None))
    assert float((made[right] - plain[right]).abs().max()) < 0.02
    assert psnr(made[right], truth[right]) == pytest.approx(psnr(plain[right], truth[right]), abs=0.05)


def test_likeness_falls_both_ways():
    shares = [float(as_sharp(generated(f, seed=4), OWN)[LEFT].mean()) for f in (0.0, 0.2, 0.5)]
    assert shares[0] > 0.95 and shares == sorted(shares, reverse=True) and shares[2] < 0.7
    assert float(as_sharp(generated(1.0, seed=4), OWN)[RIGHT].mean()) < 0.5


def test_amount_is_a_share_and_flat_pictures_stay_flat():
    frames = torch.cat([OWN, generated(0.05, seed=4)])
    none, half, all_ = (transfer_detail(frames, PHOTO, 0, a) for a in (0.0, 0.5, 1.0))
    assert torch.allclose(none, resize(frames, *FULL), atol=1e-6)
    inside = (all_ > 0) & (all_ < 1)
    assert torch.allclose(half[inside], ((none + all_) / 2)[inside], atol=1e-5)
    flat = torch.full((9, 64, 64, 3), 0.3)
    assert torch.allclose(
        transfer_detail(flat, torch.full((1, 100, 90, 3), 0.3), 4), torch.full((9, 100, 90, 3), 0.3), atol=1e-5
    )


def test_finish_takes_the_detail_at_either_size():
    frames = torch.cat([OWN] * 9)
    for size, expected in (("input", FULL), ("model", MODEL)):
        made = finish(frames, PHOTO, 2, size=size, detail=1.0)
        assert made.shape == (9, *expected, 3)
        assert psnr(made[:1], resize(PHOTO, *expected)) > psnr(resize(OWN, *expected), resize(PHOTO, *expected)) + 3
    with pytest.raises(RefocusError, match="detail is 2"):
        finish(frames, PHOTO, 2, detail=2.0)
