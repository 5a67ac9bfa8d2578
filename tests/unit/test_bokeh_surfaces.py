"""Surface points of scenes whose surfaces are known by construction: matting, and the background that they hide."""

import math

import pytest
import torch

from rackfocus.pipelines.optical.bokeh.surfaces import (
    FILL_REACH,
    PARALLAX,
    Points,
    build_points,
    hidden_background,
    join,
    matting,
)

H, W, EDGE = 9, 40, 17  # the near surface stands in columns 0 .. EDGE - 1
NEAR, FAR = -6.0, 3.0
FRONT, BEHIND = torch.tensor([0.8, 0.2, 0.1]), torch.tensor([0.1, 0.5, 0.7])
SHARES = {EDGE - 1: 0.7, EDGE: 0.3}  # of the near surface in the two columns on the depth edge


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def step(upright=True):
    """(linear [H, W, 3], radius [H, W]): near on the left, far on the right, or near above and far below."""
    linear, radius = BEHIND.repeat(H, W, 1), torch.full((H, W), FAR)
    linear[:, :EDGE], radius[:, :EDGE] = FRONT, NEAR
    for column, share in SHARES.items():
        linear[:, column] = share * FRONT + (1 - share) * BEHIND
    return (linear, radius) if upright else (linear.transpose(0, 1).contiguous(), radius.T.contiguous())


def at_column(points, column, upright=True):
    return points.where(points.at[:, 0 if upright else 1] == column)


def own(points, h, w):
    n = h * w
    return Points(points.at[:n], points.radius[:n], points.colour[:n], points.coverage[:n])


def further(points, h, w):
    n = h * w
    return Points(points.at[n:], points.radius[n:], points.colour[n:], points.coverage[n:])


def test_a_smooth_picture_is_its_own_points():
    linear, radius = random(5, 8, 3), torch.linspace(0, 3, 8).expand(5, 8)
    points = build_points(linear, radius)
    assert points.at[:9].tolist() == [[float(i % 8), float(i // 8)] for i in range(9)]  # (x, y), row by row
    assert torch.equal(points.radius, radius.reshape(-1)) and torch.equal(points.colour, linear.reshape(-1, 3))
    assert torch.equal(points.coverage, torch.ones(40))


def test_surfaces_part_where_their_images_part_by_more_than_a_pixel():
    linear, radius = random(6, 9, 3), torch.zeros(6, 9)
    radius[:, 5:] = PARALLAX
    assert len(build_points(linear, radius).radius) == 54
    radius[:, 5:] = PARALLAX + 0.01
    assert len(build_points(linear, radius).radius) > 54


@pytest.mark.parametrize("upright", [True, False])
def test_a_pixel_on_a_depth_edge_becomes_both_its_surfaces(upright):
    points = build_points(*step(upright))
    h, w = (H, W) if upright else (W, H)
    # The pixel whose centre sees the near surface: that, as much as it covers, and the far one beneath.
    seen = at_column(own(points, h, w), EDGE - 1, upright)
    beneath = at_column(further(points, h, w), EDGE - 1, upright)
    assert (seen.radius == NEAR).all() and torch.allclose(seen.coverage, torch.tensor(0.7), atol=0.01)
    assert torch.allclose(seen.colour, FRONT.expand(H, 3), atol=0.01)
    assert len(beneath.radius) == H and torch.allclose(beneath.radius, torch.tensor(FAR), atol=0.05)
    assert (beneath.coverage == 1).all() and torch.allclose(beneath.colour, BEHIND.expand(H, 3), atol=0.01)
    # The pixel beside it, whose centre sees the far surface: that, and as much of the near one as covers it.
    seen = at_column(own(points, h, w), EDGE, upright)
    above = at_column(further(points, h, w), EDGE, upright)
    assert (seen.radius == FAR).all() and (seen.coverage == 1).all()
    assert torch.allclose(seen.colour, BEHIND.expand(H, 3), atol=0.01)
    assert len(above.radius) == H and torch.allclose(above.radius, torch.tensor(NEAR), atol=0.05)
    assert torch.allclose(above.coverage, torch.tensor(0.3), atol=0.01)
    assert torch.allclose(above.colour, FRONT.expand(H, 3), atol=0.01)
    # Off the edge nothing is split.
    clean = at_column(own(points, h, w), EDGE + 1, upright)
    assert torch.equal(clean.colour, BEHIND.expand(H, 3)) and (clean.coverage == 1).all()
    assert not len(at_column(further(points, h, w), EDGE + 1, upright).radius)


def test_a_front_that_hardly_covers_a_pixel_is_left_out_of_it():
    linear, radius = step()
    for share, count in ((0.02, 0), (0.06, H)):
        linear[:, EDGE] = share * FRONT + (1 - share) * BEHIND
        assert len(at_column(further(build_points(linear, radius), H, W), EDGE).radius) == count


def split(linear, radius):
    """matting of the two columns on the edge: (EDGE - 1, EDGE) of each row in turn."""
    edge = torch.zeros(H, W, dtype=torch.bool)
    edge[:, EDGE - 1 : EDGE + 1] = True
    pixels = edge.reshape(-1).nonzero()[:, 0]
    return matting(linear, radius, edge, pixels, torch.full((len(pixels),), (NEAR + FAR) / 2))


def test_the_ray_through_the_centre_says_who_covers_at_least_half():
    linear, radius = step()
    linear[:, EDGE - 1], linear[:, EDGE] = 0.2 * FRONT + 0.8 * BEHIND, 0.9 * FRONT + 0.1 * BEHIND
    matte = split(linear, radius)
    assert matte.sees_front.tolist() == [True, False] * H
    assert torch.allclose(matte.alpha, torch.tensor([0.5, 0.5] * H), atol=1e-3)
    linear[:, EDGE - 1] = 1.5 * FRONT - 0.5 * BEHIND.clamp(max=0.2)
    linear[:, EDGE] = BEHIND - 0.2 * (FRONT - BEHIND)
    matte = split(linear, radius)
    assert torch.allclose(matte.alpha, torch.tensor([1.0, 0.0] * H), atol=1e-3)


def test_where_the_colours_are_alike_the_centre_decides():
    _, radius = step()
    matte = split(torch.full((H, W, 3), 0.4), radius)
    assert matte.alpha.tolist() == [1.0, 0.0] * H


def test_a_matte_adds_up_to_its_pixel():
    """c = alpha f + (1 - alpha) b for any colour: what the clean colours leave goes to the surface that is seen."""
    linear, radius = step()
    linear = linear * 0.5 + 0.2 + 0.1 * random(H, W, 3)
    matte, pixels = split(linear, radius), linear[:, EDGE - 1 : EDGE + 1].reshape(-1, 3)
    a = matte.alpha[:, None]
    assert torch.allclose(a * matte.front + (1 - a) * matte.behind, pixels, atol=1e-5)
    other = torch.where(matte.sees_front[:, None], matte.behind, matte.front)
    clean = torch.where(matte.sees_front[:, None], BEHIND, FRONT) * 0.5 + 0.25
    assert (other - clean).abs().max() < 0.05  # the other surface keeps its clean colour
    assert torch.equal(matte.radius_front[matte.sees_front], torch.full((H,), NEAR))
    assert torch.equal(matte.radius_behind[~matte.sees_front], torch.full((H,), FAR))


def test_clean_colour_comes_from_near_by():
    """A pixel d pixels away weighs 1 / (1 + d^2), up to three pixels along each axis."""
    linear, radius = torch.zeros(H, W, 3), step()[1]
    linear[4, EDGE + 1 : EDGE + 3, 0] = torch.tensor([1.0, 0.0])  # one bright clean pixel two beside the edge
    weight = torch.zeros(H, W)
    y, x = torch.meshgrid(torch.arange(H) - 4, torch.arange(W) - (EDGE - 1), indexing="ij")
    weight = torch.where((x.abs() <= 3) & (y.abs() <= 3) & (x >= 2), 1 / (1.0 + x**2 + y**2), 0.0)
    expected = weight[4, EDGE + 1] / weight.sum()
    matte = split(linear, radius)
    assert float(matte.behind[2 * 4, 0]) == pytest.approx(float(expected), rel=0.02)


@pytest.mark.parametrize("missed_share, coverage", [(0.8, 0.75), (0.95, 0.5)])
def test_a_thin_structure_may_cover_more_than_half_of_a_pixel_whose_centre_misses_it(missed_share, coverage):
    """A line one pixel high, of which a depth map of one ray per pixel shows each second pixel. What looks more like
    the line than the line itself is none of its pixels."""
    linear, radius = BEHIND.repeat(H, W, 1), torch.full((H, W), FAR)
    linear[4] = missed_share * FRONT + (1 - missed_share) * BEHIND
    linear[4, ::2] = 0.85 * FRONT + 0.15 * BEHIND
    radius[4, ::2] = NEAR
    points = build_points(linear, radius)
    missed = further(points, H, W)
    missed = missed.where((missed.at[:, 1] == 4) & (missed.at[:, 0] % 2 == 1) & (missed.radius < 0))
    inner = missed.where((missed.at[:, 0] > 5) & (missed.at[:, 0] < W - 6))
    assert len(inner.radius) > 5 and torch.allclose(inner.coverage, torch.tensor(coverage))


def plate(seed=3):
    return random(H, W, 3, seed=seed)


def test_a_given_background_is_seen_wherever_the_picture_is_not():
    linear, radius = step()
    without, given = build_points(linear, radius), build_points(linear, radius, plate())
    assert torch.equal(given.colour[: H * W], without.colour[: H * W])  # what is seen stays
    far = further(given, H, W)
    far, near = far.where(far.radius > 0), far.where(far.radius < 0)
    assert len(far.radius) > H and len(near.radius) == H
    x, y = far.at.long().T
    assert torch.equal(far.colour, plate()[y, x])
    assert torch.allclose(near.colour, FRONT.expand(H, 3), atol=0.01)


def test_the_far_surface_goes_on_beneath_the_near_one_as_far_as_blur_uncovers_it():
    hidden = further(build_points(*step()), H, W)
    hidden = hidden.where(hidden.at[:, 0] < EDGE - 1)
    depth = EDGE - hidden.at[:, 0]  # pixels behind the depth edge
    assert (hidden.coverage == 1).all() and torch.allclose(hidden.radius, torch.tensor(FAR), atol=0.01)
    assert torch.allclose(hidden.colour, BEHIND.expand(len(depth), 3), atol=0.01)
    parallax = FAR - NEAR
    assert set(range(2, int(parallax) + 1)) <= set(depth.tolist())
    assert depth.max() <= 2 * parallax + 2
    behind_it = further(build_points(*step()), H, W)
    assert not (behind_it.at[:, 0] > EDGE).any()  # nothing lies hidden where the far surface is seen


def test_a_near_surface_on_the_other_side_hides_the_other_side():
    linear, radius = step()
    hidden = further(build_points(linear.flip(1), radius.flip(1)), H, W)
    columns = set(hidden.at[:, 0].tolist())
    assert set(range(W - EDGE, W - EDGE + 8)) <= columns and not columns & set(range(W - EDGE - 1))


def long_step(h, w, edge, near=-300.0):
    radius = torch.full((h, w), 3.0)
    radius[:, :edge] = near
    linear = random(h, w, 3, seed=5)
    linear[:, :edge] = torch.tensor([1.0, 0.0, 0.0])
    return linear, radius


def test_the_fill_has_a_reach():
    linear, radius = long_step(12, 300, 200)
    hidden = further(build_points(linear, radius), 12, 300)
    depth = 200 - hidden.at[:, 0]
    assert FILL_REACH <= depth.max() <= 2 * FILL_REACH


def fill(linear, radius, edge_at, origin=(0, 0)):
    edge = torch.zeros(radius.shape, dtype=torch.bool)
    edge[:, edge_at - 1 : edge_at + 1] = True
    middle = torch.where(edge, (radius.min() + radius.max()) / 2, 0.0)
    return hidden_background(linear, radius, edge, middle, origin)


def test_reach_is_the_size_of_the_cell_that_holds_the_background():
    linear, radius = long_step(12, 200, 128)
    _, filled, reach = fill(linear, radius, 128)
    seeds = torch.arange(129, 129 + 6)  # clean pixels up to six beside the edge
    for column in (126, 120, 110, 97, 70, 66):
        cells = [1 << level for level in range(1, 7)]
        holds = [size for size in cells if ((seeds // size - column // size).abs() <= 1).any()]
        assert float(reach[5, column]) == holds[0]
        assert abs(float(filled[5, column]) - 3) < 0.05 or holds[0] > 8
    assert math.isinf(float(reach[5, 20])) or float(reach[5, 20]) == FILL_REACH


def test_the_fill_follows_the_background_beside_it():
    """Bands across the edge go on beneath it at their own height."""
    linear, radius = long_step(64, 100, 60)
    linear[:, 60:] = torch.linspace(0, 1, 64)[:, None, None]
    colour, _, _ = fill(linear, radius, 60)
    for row in (16, 32, 48):
        assert abs(float(colour[row, 54].mean()) - row / 63) < 0.06


@pytest.mark.parametrize("left, top", [(24, 8), (8, 24)])
def test_a_window_elsewhere_in_the_picture_is_filled_alike(left, top):
    linear, radius = long_step(96, 150, 100)
    colour, filled, reach = fill(linear, radius, 100)
    part = fill(linear[top:, left:].contiguous(), radius[top:, left:].contiguous(), 100 - left, (left, top))
    inside = (slice(40, None), slice(60, None))
    near_by = (reach <= 16)[inside]
    moved = tuple(slice(s.start - o, None) for s, o in zip(inside, (top, left), strict=True))
    assert torch.equal(reach[inside], part[2][moved]) and near_by.float().mean() > 0.3
    assert (filled[inside] - part[1][moved])[near_by].abs().max() < 1e-4
    assert (colour[inside] - part[0][moved])[near_by].abs().max() < 0.02


def numbered(count):
    n = torch.arange(count).float()
    return Points(torch.stack([n % 4, n // 4], 1), n, n[:, None].expand(count, 3), torch.where(n % 3 == 0, 0.5, 1.0))


def test_points_are_picked_by_place_and_by_coverage():
    points = numbered(20)  # 4 wide, 5 high
    inside = points.within(slice(1, 4), slice(2, 4))
    assert inside.radius.tolist() == [6, 7, 10, 11, 14, 15]
    assert inside.at.tolist() == [[0, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 2]]
    assert points.within(slice(0, 5), slice(0, 4)).radius.tolist() == list(range(20))
    order = points.opaque_first()
    assert order.radius.tolist() == [n for n in range(20) if n % 3] + [n for n in range(20) if n % 3 == 0]
    assert order.colour[:, 2].tolist() == order.radius.tolist()
    both = join([points.pick(torch.tensor([3, 1])), points.where(points.radius > 18)])
    assert both.radius.tolist() == [3, 1, 19] and both.coverage.tolist() == [0.5, 1, 1]
