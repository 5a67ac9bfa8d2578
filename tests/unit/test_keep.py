"""keep_unchanged: the photo's own pixels where its blur is the one asked for, and no surface in front spreads there."""

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optics import DefocusMap, keep_unchanged
from rackfocus.pipelines.optics.keep import FEATHER, MARGIN
from rackfocus.tests.pictures import random

H, W = 60, 90
RIM = MARGIN + FEATHER // 2 + 1  # px at an edge of a map that may be mixed


def kept(before, after, h=H, w=W):
    """[h, w]: 1 where the photo (white) was kept, 0 where the result (black) is, of maps of one frame."""
    ones = torch.ones(1, h, w, 3)
    return keep_unchanged(ones, 0 * ones, DefocusMap(before), DefocusMap(after))[0, ..., 0]


def halves(left, right):
    r = torch.full((1, H, W), float(left))
    r[..., W // 2 :] = right
    return r


def test_what_has_the_blur_already_is_kept_bit_for_bit():
    photo, made = random(2, H, W, 3, seed=1), random(2, H, W, 3, seed=2)
    after = torch.cat([halves(0, 6), halves(6, 0)])
    out = keep_unchanged(photo, made, DefocusMap(torch.zeros(2, H, W)), DefocusMap(after))
    left, right = slice(0, W // 2 - RIM), slice(W // 2 + RIM, W)
    assert torch.equal(out[0, :, left], photo[0, :, left]) and torch.equal(out[0, :, right], made[0, :, right])
    assert torch.equal(out[1, :, right], photo[1, :, right]) and torch.equal(out[1, :, left], made[1, :, left])
    rim = out[0, :, W // 2 - RIM : W // 2]
    assert not torch.equal(rim, photo[0, :, W // 2 - RIM : W // 2])


def test_blurred_as_asked_is_unchanged_too_whatever_its_sign():
    for sign in (1, -1):
        assert (kept(halves(8, 8), sign * halves(8.4, 12)) == 1)[:, : W // 2 - 23].all()
    assert (kept(halves(8, 8), halves(12, 5)) == 0).all()


def test_a_surface_in_front_spreads_over_what_would_be_kept():
    """Radius 10 in front of the plane reaches 10 px into it; behind it, or unchanged, not at all."""

    def reach(before, after):
        return int((kept(halves(0, before), halves(0, after))[H // 2, : W // 2] != 1).sum())

    behind, front = reach(0, 10), reach(0, -10)
    assert 0 < behind <= RIM
    assert behind + 10 <= front <= behind + 18  # reaches are looked at in powers of two
    assert reach(10, -10) == 0


def test_a_large_reach_is_found_on_a_coarser_grid():
    before, after = torch.zeros(1, 300, 500), torch.zeros(1, 300, 500)
    after[:, 140:150, 20:30] = -200.0
    found = kept(before, after, 300, 500)[145]
    assert (found[:200] == 0).all() and (found[350:] == 1).all()


def test_maps_of_another_size_are_scaled_and_wrong_ones_refused():
    assert kept(torch.zeros(1, H // 2, W // 2), torch.zeros(1, H, W)).min() == 1
    with pytest.raises(RefocusError, match="3 frames"):
        kept(torch.zeros(3, H, W), torch.zeros(1, H, W))
