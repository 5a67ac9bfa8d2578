"""Frames as the artist gets them: sizes, the photo kept, a contact sheet, and detail transfer on a known pair."""

import functools

import pytest
import torch
import torch.nn.functional as F

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.learn2refocus import resize
from rackfocus.pipelines.learn2refocus.finish import as_sharp, contact_sheet, finish, transfer_detail
from rackfocus.pipelines.optical import render_bokeh
from rackfocus.pipelines.optics import DefocusMap
from rackfocus.tests.pictures import psnr, random

FULL, MODEL = (128, 224), (64, 112)
LEFT, RIGHT = (slice(None), slice(None), slice(0, 48)), (slice(None), slice(None), slice(64, 112))


@functools.cache
def texture():
    """Detail of all sizes, [1, H, W, 3]."""
    sizes = (1, 2, 4, 8, 16, 32)
    layers = [
        F.interpolate(random(1, 3, FULL[0] // s, FULL[1] // s, seed=s) - 0.5, FULL, mode="bicubic") * s**0.6
        for s in sizes
    ]
    found = sum(layers)
    return (found / found.std() * 0.15 + 0.5).clamp(0, 1).movedim(1, -1)


@functools.cache
def shot(focus: float):
    """The scene at full size: its left half lies at 0, its right half at 1; 10 pixels of blur for each unit."""
    plane = torch.zeros(1, *FULL)
    plane[..., FULL[1] // 2 :] = 1
    return render_bokeh(texture(), DefocusMap(10 * (focus - plane)), highlights=1.0)


@functools.cache
def generated(focus: float, seed=3):
    """As a model gives it: half the size, softened and with noise of its own."""
    x = resize(shot(focus), *MODEL)
    x = F.avg_pool2d(F.pad(x.movedim(-1, 1), (1, 1, 1, 1), mode="replicate"), 3, 1).movedim(1, -1) * 0.35 + x * 0.65
    return (x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))).clamp(0, 1)


@functools.cache
def transferred(focus: float):
    """(plain, with detail, truth) of the frame at that focus; the photo, focused at 0, is the stack's first frame."""
    frames = torch.cat([generated(0.0), generated(focus, seed=4)])
    return resize(frames[1:], *FULL), transfer_detail(frames, shot(0.0), 0)[1:], shot(focus)


# Sizes, and the photo itself


def test_frames_of_the_models_or_the_photos_size():
    frames, image = random(9, 64, 128, 3), random(1, 75, 133, 3)
    assert torch.equal(finish(frames, image, 4, size="model"), frames)
    assert torch.equal(finish(frames, image, 4), resize(frames, 75, 133))
    with pytest.raises(RefocusError, match="frame_size is 'big'"):
        finish(frames, image, 4, size="big")


@pytest.mark.parametrize("position", [0, 3, 8])
def test_the_photo_is_returned_bit_for_bit_at_its_own_position(position):
    frames, image = random(9, 64, 128, 3), random(1, 75, 133, 3)
    before = frames.clone()
    plain, kept = finish(frames, image, position), finish(frames, image, position, keep_input=True)
    others = [i for i in range(9) if i != position]
    assert torch.equal(kept[position], image[0]) and not torch.equal(plain[position], image[0])
    assert torch.equal(kept[others], plain[others])
    small = finish(frames, image, position, size="model", keep_input=True)
    assert torch.equal(small[position], resize(image, 64, 128)[0]) and torch.equal(small[others], frames[others])
    assert torch.equal(frames, before)


def test_a_contact_sheet_has_a_row_for_each_position_and_a_line_round_the_photos_own_frame():
    stacks = [torch.full((3, 20, 40, 3), 0.1 * r) + torch.tensor([0.0, 0.2, 0.4]).view(3, 1, 1, 1) for r in range(3)]
    sheet = contact_sheet(stacks, 20)
    assert sheet.shape == (1, 3 * 10, 3 * 20, 3)
    cells = sheet[0, ..., 0].unflatten(0, (3, 10)).unflatten(1 + 1, (3, 20)).movedim(2, 1)  # [row, frame, y, x]
    for r in range(3):
        for n in range(3):
            inside = cells[r, n, 2:-2, 2:-2]
            assert torch.allclose(inside, torch.full_like(inside, 0.1 * r + 0.2 * n), atol=1e-5)
            line = torch.ones(10, 20, dtype=torch.bool)
            line[2:-2, 2:-2] = False
            assert bool((cells[r, n][line] == 1).all()) == (r == n)
    assert contact_sheet([torch.zeros(1, 2, 100, 3)], 16).shape == (1, 1, 16, 3)


# Detail transfer


@pytest.mark.parametrize(("focus", "gain"), [(0.0, 7.0), (0.05, 6.5), (0.1, 2.5)])
def test_small_focus_shifts_gain_detail(focus, gain):
    plain, made, truth = transferred(focus)
    assert made.shape == truth.shape and psnr(made, truth) > psnr(plain, truth) + gain


@pytest.mark.parametrize("focus", [0.2, 0.5, 1.0])
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
    shares = [float(as_sharp(generated(f, seed=4), generated(0.0))[LEFT].mean()) for f in (0.0, 0.2, 0.5)]
    assert shares[0] > 0.95 and shares == sorted(shares, reverse=True) and shares[2] < 0.7
    assert float(as_sharp(generated(1.0, seed=4), generated(0.0))[RIGHT].mean()) < 0.5


def test_likeness_by_hand():
    """Of half the contrast: <a b> / max(<a a>, <b b>) = 1/2 in either order; opposite detail counts as none."""
    a = random(1, 64, 112, 3)
    half = 0.5 + (a - 0.5) / 2
    for x, y in ((a, half), (half, a)):
        assert torch.allclose(as_sharp(x, y), torch.full((1, 64, 112), 0.5), atol=0.01)
    assert torch.allclose(as_sharp(a, a), torch.ones(1, 64, 112)) and float(as_sharp(a, 1 - a).max()) == 0


def test_where_neither_shows_detail_they_are_alike_and_the_neighbourhood_decides_between():
    """Flat at the left, textured at the right, where one is blurred; near the texture the flat part goes with it."""
    a = torch.full((1, 64, 256, 3), 0.5)
    a[:, :, 192:] = random(1, 64, 64, 3)
    b = a.clone()
    b[:, :, 192:] = 0.5
    share = as_sharp(a, b)[0].mean(0)
    assert float(share[:60].min()) > 0.95 and float(share[150]) < 0.5 and float(share[220]) < 0.05


def test_what_is_taken_is_finer_than_the_model_can_show():
    """A wave that TAKEN leaves alone is not exchanged; one a pixel of the model's picture long is."""
    x = torch.arange(224.0)
    coarse, fine = (
        0.5 + 0.2 * torch.sin(2 * torch.pi * x / n).view(1, 1, -1, 1).expand(1, 128, 224, 3) for n in (60, 3)
    )
    frames = resize(coarse, *MODEL)
    made = transfer_detail(frames, coarse + fine - 0.5, 0)
    assert psnr(made[:, :, 16:-16], (coarse + fine - 0.5)[:, :, 16:-16]) > 28
    shifted = transfer_detail(frames, coarse * 0.5 + 0.25, 0)
    assert float((shifted - resize(frames, *FULL))[:, :, 16:-16].abs().max()) < 0.02


def test_amount_is_a_share_and_flat_pictures_stay_flat():
    frames = torch.cat([generated(0.0), generated(0.05, seed=4)])
    none, half, whole = (transfer_detail(frames, shot(0.0), 0, a) for a in (0.0, 0.5, 1.0))
    assert torch.allclose(none, resize(frames, *FULL), atol=1e-6)
    inside = (whole > 0) & (whole < 1)
    assert torch.allclose(half[inside], ((none + whole) / 2)[inside], atol=1e-5)
    flat = torch.full((9, 64, 64, 3), 0.3)
    made = transfer_detail(flat, torch.full((1, 100, 90, 3), 0.3), 4)
    assert torch.allclose(made, torch.full((9, 100, 90, 3), 0.3), atol=1e-5)


def test_finish_takes_the_detail_at_either_size():
    own, photo = generated(0.0), shot(0.0)
    frames = torch.cat([generated(1.0), own, own])  # the photo's own frame is the last
    for size, expected in (("input", FULL), ("model", MODEL)):
        truth = resize(photo, *expected)
        made = finish(frames, photo, 2, size=size, detail=1.0)
        assert made.shape == (3, *expected, 3)
        assert psnr(made[2:], truth) > psnr(resize(own, *expected), truth) + 3
        assert torch.equal(made[2], made[1])
    for wrong in (2.0, -0.1):
        with pytest.raises(RefocusError, match=f"detail is {wrong:g}"):
            finish(frames, photo, 2, detail=wrong)
