"""What the artist is shown of a defocus map: zones, colours, the cross."""

import pytest
import torch

from rackfocus.pipelines.optics import DefocusMap, show_defocus, show_depth, show_focus, zones
from rackfocus.tests.pictures import random, stripes

H, W = 41, 120
NEAR, IN_FOCUS, FAR = (0.20, 0.45, 1.0), (0.25, 1.0, 0.35), (1.0, 0.35, 0.20)  # blue, green, red
SIDES = stripes(H, W, -4.0, 0.2, 2.0)
PARTS = (slice(0, 40), slice(40, 80), slice(80, 120))


def test_zones_are_near_in_focus_far():
    near, sharp, far = zones(DefocusMap(torch.tensor([[[-3.0, -0.51, -0.5, 0.2, 0.5, 0.51, 4.0]]])))
    assert near.tolist() == [[[1, 1, 0, 0, 0, 0, 0]]]
    assert sharp.tolist() == [[[0, 0, 1, 1, 1, 0, 0]]]
    assert far.tolist() == [[[0, 0, 0, 0, 0, 1, 1]]]


def test_blue_is_near_green_in_focus_red_far():
    image = torch.full((1, H, W, 3), 0.4)
    out = show_focus(image, DefocusMap(SIDES))
    for part, colour in zip(PARTS, (NEAR, IN_FOCUS, FAR), strict=True):
        grey = 0.75 * 0.4
        expected = [grey + 0.35 * (c - grey) + 0.25 * (0.4 - grey) for c in colour]
        assert torch.allclose(out[:, :, part], torch.tensor(expected).expand(1, H, 40, 3), atol=1e-6)


def test_the_tint_keeps_some_of_the_pictures_colour_and_stays_in_range():
    image = random(2, H, W, 3)
    out = show_focus(image, DefocusMap(SIDES.expand(2, -1, -1)))
    grey = 0.75 * image.mean(-1, keepdim=True)
    tints = torch.tensor([NEAR, IN_FOCUS, FAR]).repeat_interleave(40, 0)
    assert torch.allclose(out, (grey + 0.35 * (tints - grey) + 0.25 * (image - grey)).clamp(0, 1), atol=1e-5)
    bright = show_focus(torch.full((1, H, W, 3), 3.0), DefocusMap(SIDES))
    assert bright.max() == 1


@pytest.mark.parametrize("x, y, column, row", [(0.25, 0.5, 30, 20), (0.9, 0.2, 108, 8)])
def test_the_cross_stands_at_the_point(x, y, column, row):
    image = torch.full((2, H, W, 3), 0.4)
    plain = show_focus(image, DefocusMap(SIDES))
    out = show_focus(image, DefocusMap(SIDES), (x, y))
    white, black = (out == 1).all(-1), (out == 0).all(-1)
    ys, xs = white[0].nonzero(as_tuple=True)
    arm, thick = W // 40, 1
    assert (int(xs.min()), int(xs.max())) == (column - arm, column + arm)
    assert (int(ys.min()), int(ys.max())) == (row - arm, row + arm)
    assert int(white[0].sum()) == 2 * (2 * arm + 1) * (2 * thick + 1) - (2 * thick + 1) ** 2
    assert white[0, row, column] and not white[0, row - arm, column - arm]
    assert black[0, row + arm + 1, column] and black[0, row, column - arm - 1]  # a rim tells it from a white picture
    assert torch.equal(white[0], white[1])
    assert torch.equal(out[~(white | black)], plain.expand(2, -1, -1, -1)[~(white | black)])


def test_the_cross_grows_with_the_picture():
    image = torch.full((1, 50, 900, 3), 0.4)
    white = (show_focus(image, DefocusMap(torch.zeros(1, 50, 900)), (0.5, 0.5)) == 1).all(-1)[0]
    ys, xs = white.nonzero(as_tuple=True)
    assert (int(xs.min()), int(xs.max())) == (450 - 22, 450 + 22) and (int(ys.min()), int(ys.max())) == (3, 47)
    assert int(white[:, 440].sum()) == 2 * 2 + 1 and int(white[5].sum()) == 2 * 2 + 1


def test_the_cross_is_cut_at_the_border():
    image = torch.full((1, H, W, 3), 0.4)
    out = show_focus(image, DefocusMap(SIDES), (0.0, 1.0))
    assert (out[0, H - 1, 0] == 1).all() and (out[0, H - 1, 3] == 1).all() and (out[0, H - 4, 0] == 1).all()
    assert not (out[0, 0] == 1).all(-1).any() and not (out[0, :, W - 1] == 1).all(-1).any()


def test_the_maps_own_point_is_marked():
    image = torch.full((1, H, W, 3), 0.4)
    own = show_focus(image, DefocusMap(SIDES, focus_point=(0.25, 0.5)))
    assert torch.equal(own, show_focus(image, DefocusMap(SIDES), (0.25, 0.5)))
    assert not torch.equal(own, show_focus(image, DefocusMap(SIDES)))


def test_defocus_is_black_in_focus_blue_in_front_red_behind():
    made = show_defocus(DefocusMap(torch.tensor([[[-4.0, -1.0, 0.0, 0.4, 2.0, 3.2]]])))[0, 0]
    share = torch.tensor([1.0, 0.25, 0.0, 0.1, 0.5, 0.8])
    colour = torch.tensor([NEAR, NEAR, FAR, FAR, FAR, FAR])
    hot = torch.tensor([0.3, 0, 0, 0, 0, 0.1])
    assert torch.allclose(made, (share[:, None] * colour + hot[:, None]).clamp(0, 1), atol=1e-6)
    assert show_defocus(DefocusMap(torch.zeros(1, H, W))).abs().max() == 0


def test_defocus_is_white_hot_at_the_largest_of_all_frames():
    made = show_defocus(DefocusMap(torch.tensor([[[1.0]], [[2.0]]])))
    assert made[1].mean() > made[0].mean() and made.max() == 1


def test_depth_is_shown_near_white_on_one_scale_for_all_frames():
    disparity = torch.cat([stripes(H, W, 0.2, 0.5, 0.8), stripes(H, W, 0.2, 0.2, 0.5)])
    for kind, depth in (("disparity", disparity), ("inverse_metres", disparity * 9), ("metres", 1 / disparity)):
        out = show_depth(depth, kind)
        assert out.shape == (2, H, W, 3)
        assert torch.allclose(out[:, 5, [5, 60, 110], 1], torch.tensor([[0, 0.5, 1.0], [0, 0, 0.5]]), atol=1e-5)
    assert torch.equal(out[..., 0], out[..., 2])


def test_one_outlier_in_depth_darkens_nothing_and_a_flat_one_is_shown():
    depth = stripes(H, W, 0.2, 0.5, 0.8)
    before = show_depth(depth, "disparity")
    depth[0, 0, 0] = 900.0
    assert torch.allclose(show_depth(depth, "inverse_metres")[0, 1:], before[0, 1:])
    assert show_depth(torch.full((1, 3, 5), 2.0), "metres").isfinite().all()


def test_large_depth_is_shown_small_with_its_proportions():
    assert show_depth(torch.rand(1, 700, 1400, generator=torch.manual_seed(0)), "disparity").shape == (1, 234, 467, 3)
