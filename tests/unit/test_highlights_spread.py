"""Highlights out of focus, piece by piece: split from the scene, sorted by radius, spread over the aperture's image."""

import math

import pytest
import torch
import torch.nn.functional as F

from rackfocus.pipelines.image.progress import Counter
from rackfocus.pipelines.optical.bokeh import highlights as h
from rackfocus.pipelines.optical.bokeh import render_bokeh
from rackfocus.pipelines.optical.bokeh.highlights import Highlights
from rackfocus.pipelines.optical.bokeh.lens import Field, Lens, make_lens
from rackfocus.pipelines.optics import DefocusMap, aperture_kernel, aperture_mask

NO_CLOCK = Counter(None, 0)


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_light_above_white_or_four_times_its_surroundings_is_a_highlight():
    linear, radius = torch.full((30, 47, 3), 0.1), torch.full((30, 47), -5.0)
    linear[10, 20] = torch.tensor([3.0, 1.5, 0.0])
    linear[10, 40] = torch.tensor([0.2, 0.4, 0.8])
    scene, light = h.split_highlights(linear, radius)
    assert torch.allclose(scene + light, linear)
    cap = 4 * (0.1 * (25 * 19 - 1) + 0.8) / (25 * 19)  # 25 rows high, 7 + 12 columns wide: the frame cuts it
    assert light[10, 40].tolist() == pytest.approx([0.2 * (1 - cap / 0.8), 0.4 * (1 - cap / 0.8), 0.8 - cap], abs=2e-3)
    cap = 4 * (0.1 * (25 * 23 - 1) + 3.0) / (25 * 23)
    assert light[10, 20].tolist() == pytest.approx([3 - cap, 1.5 * (1 - cap / 3), 0.0], abs=2e-3)
    assert light[20, 30].tolist() == [0, 0, 0]
    bright = torch.full((30, 47, 3), 0.6)
    bright[4, 5] = 1.7
    assert h.split_highlights(bright, radius)[1][4, 5].tolist() == pytest.approx(
        [0.7] * 3, abs=1e-5
    )  # white is the cap


def test_in_focus_nothing_is_a_highlight():
    linear = torch.full((30, 47, 3), 0.1)
    linear[10, 20] = 5.0
    for radius, some in ((2.0, False), (-2.0, False), (2.1, True), (-2.1, True)):
        assert bool(h.split_highlights(linear, torch.full((30, 47), radius))[1].any()) == some


def test_those_that_shine_are_gathered_with_their_place():
    light, radius = torch.zeros(6, 9, 3), random(6, 9)
    light[2, 7], light[5, 1, 2] = 0.5, 3.0
    found = h.gather_highlights(light, radius)
    assert (found.x.tolist(), found.y.tolist()) == ([7, 1], [2, 5])
    assert found.light.tolist() == [[0.5] * 3, [0, 0, 3]] and found.radius.tolist() == [radius[2, 7], radius[5, 1]]


def test_a_highlight_is_shared_by_the_two_radii_about_its_own():
    radius = torch.tensor([0.25, 3.0, -3.0, 3.2, -7.9, 19.8, 20.0, 33.3, -150.0])
    share, mean = torch.zeros(9), torch.zeros(9)
    for step, (which, part) in h.sort_by_radius(radius).items():
        share.index_add_(0, which, part)
        mean.index_add_(0, which, part * h.radius_of_step(step))
        apart = (h.radius_of_step(step) - radius[which]).abs()
        assert (apart[part > 1e-4] <= (radius[which].abs() / 40).clamp(min=0.5)[part > 1e-4] + 1e-3).all()
    assert torch.allclose(share, torch.ones(9))
    assert torch.allclose(mean, radius, rtol=1e-3)


def test_steps_are_half_a_pixel_and_then_a_fortieth():
    assert [h.radius_of_step(n) for n in (0, 1, -1, 7, -40, 40)] == [0, 0.5, -0.5, 3.5, -20, 20]
    assert h.radius_of_step(41) == pytest.approx(20.5) and h.radius_of_step(-42) == pytest.approx(-20 * 1.025**2)


def test_keys_are_sorted_with_their_places():
    groups = h.sort_by(torch.tensor([5, -2, 5, 9, -2]))
    assert {k: v.tolist() for k, v in groups.items()} == {-2: [1, 4], 5: [0, 2], 9: [3]}


def brute_force(out, x, y, light, kernel):
    out, k = out.clone(), kernel.shape[0]
    for n in range(len(x)):
        for row in range(k):
            for column in range(k):
                at = int(y[n]) + row - k // 2, int(x[n]) + column - k // 2
                if 0 <= at[0] < out.shape[0] and 0 <= at[1] < out.shape[1]:
                    out[at] += kernel[row, column] * light[n]
    return out


@pytest.mark.parametrize("cost", [1e9, 0], ids=["one by one", "by FFT"])
@pytest.mark.parametrize("height, width", [(13, 22), (22, 13)])
def test_images_are_added_around_their_highlights(monkeypatch, cost, height, width):
    monkeypatch.setattr(h, "_FFT_COST", cost)
    x, y = torch.tensor([0, 3, 3, width - 1]), torch.tensor([height - 1, 2, 2, 0])
    light, kernel = random(4, 3), random(5, 5, seed=1)
    for some in (slice(None), slice(1, 3)):  # over the whole window, and in a box inside it
        out = random(height, width, 3, seed=2)
        expected = brute_force(out, x[some], y[some], light[some], kernel)
        h._add_images(out, x[some], y[some], light[some], kernel)
        assert torch.allclose(out, expected, atol=1e-5)


def test_scatter_is_the_full_convolution():
    light, kernel = random(4, 9, 3), random(3, 3, seed=1)
    expected = brute_force(
        torch.zeros(6, 11, 3),
        torch.arange(9).repeat(4) + 1,
        torch.arange(4).repeat_interleave(9) + 1,
        light.reshape(-1, 3),
        kernel,
    )
    assert torch.allclose(h.scatter(light, kernel), expected, atol=1e-5)


def test_each_pixel_of_an_image_belongs_to_its_nearest_lens_point():
    points = torch.tensor([[0.6, -0.2], [-0.6, 0.1], [0.0, 0.7]])
    lens = Lens(points, *[torch.ones(3) / 3] * 2, *[aperture_mask()] * 2)
    near = h.nearest_lens_point(lens, 21, 9.0)
    for row, column in ((10, 19), (10, 1), (19, 10), (3, 15), (14, 4)):
        x, y = (column - 10) / 9, (row - 10) / 9
        distance = [math.hypot(x - px, y - py) for px, py in points.tolist()]
        assert int(near[row, column]) == distance.index(min(distance))


def test_the_exit_pupil_cuts_an_image_on_the_side_it_leaves():
    lens = make_lens(aperture_mask(), 40)
    pupil = h.exit_pupil(lens, 25, 10.0, torch.tensor(0.5), torch.tensor(-0.2))
    for row, column in ((12, 12), (12, 2), (12, 22), (2, 12), (22, 12), (20, 6)):
        x, y = (column - 12) / 10, (row - 12) / 10
        inside = (1 - math.hypot(x - 0.5, y + 0.2)) * 10 + 1  # pixels
        assert float(pupil[row, column]) == pytest.approx(min(max(inside, 0), 1), abs=1e-4)


H, W = 61, 83


def one(radius, light=(2.0, 1.0, 0.5), x=40, y=30):
    return Highlights(torch.tensor([x]), torch.tensor([y]), torch.tensor([light]), torch.tensor([float(radius)]))


def spread(shining, visible, lens=None, field=None):
    lens = lens or make_lens(aperture_mask(), 40)
    out = torch.zeros(H, W, 3)
    visible = torch.ones(len(shining.x), len(lens.points), dtype=torch.uint8) if visible is None else visible(lens)
    h.add_highlights(out, shining, visible, lens, field or Field(0, 0, W, H))
    return out


@pytest.mark.parametrize("radius", [9.5, -9.5, 9.2])
@pytest.mark.parametrize("shape", ["iris", "heart"])
def test_a_highlight_becomes_the_image_of_the_aperture(radius, shape):
    mask = aperture_mask(shape=shape)
    out = spread(one(radius), None, make_lens(mask, 40))
    assert torch.allclose(out.sum((0, 1)), torch.tensor([2.0, 1.0, 0.5]), rtol=1e-3)
    kernel = aperture_kernel(mask, abs(radius))
    kernel = kernel.flip(0, 1) if radius < 0 else kernel
    half = kernel.shape[0] // 2
    image = F.pad(kernel, (40 - half, W - 41 - half, 30 - half, H - 31 - half))
    assert (out[..., 0] / 2 - image).abs().max() < (1e-6 if abs(radius) == 9.5 else 0.4 * float(image.max()))
    assert (out[..., 0] / 2 - image).abs().mean() < 1e-5


@pytest.mark.parametrize("radius", [10, -10])
def test_what_is_occluded_leaves_the_visible_part_of_the_image(radius):
    """Only lens points at x < -0.1 see the highlight: the left of its image behind the plane, the right in front."""
    out = spread(one(radius), lambda lens: (lens.points[:, 0] < -0.1)[None].byte())[..., 0]
    left, right = out[:, :38].sum(), out[:, 43:].sum()
    shown, hidden = (left, right) if radius > 0 else (right, left)
    assert hidden < 0.02 * shown and 0.6 < float(shown) < 1.0  # less than half of 2: the rest is lost
    up = spread(one(radius), lambda lens: (lens.points[:, 1] < -0.1)[None].byte())[..., 0]
    above, below = up[:28].sum(), up[33:].sum()
    shown, hidden = (above, below) if radius > 0 else (below, above)
    assert hidden < 0.02 * shown


def test_each_highlight_is_occluded_by_itself():
    """Two of one depth, far apart: one is free, the other is seen from half the lens; together as alone."""
    half = lambda lens: (lens.points[:, 0] < 0).byte()  # noqa: E731
    x, y = torch.tensor([20, 60]), torch.tensor([30, 31])
    both = Highlights(x, y, torch.ones(2, 3), torch.full((2,), 8.0))
    out = spread(both, lambda lens: torch.stack([torch.ones(len(lens.points)).byte(), half(lens)]))
    alone = spread(one(8, (1.0,) * 3, 20, 30), None) + spread(one(8, (1.0,) * 3, 60, 31), lambda lens: half(lens)[None])
    assert torch.allclose(out, alone, atol=1e-6)
    swapped = spread(both, lambda lens: torch.stack([half(lens), torch.ones(len(lens.points)).byte()]))
    assert not torch.allclose(out, swapped, atol=1e-4)


def test_highlights_of_many_radii_add_up():
    places = [(20, 30, 8.4), (60, 31, -8.1), (40, 20, 8.1), (30, 45, 8.3)]
    x, y, radius = (torch.tensor(t) for t in zip(*places, strict=True))
    out = spread(Highlights(x, y, torch.ones(4, 3), radius), None)
    alone = sum(spread(one(r, (1.0,) * 3, px, py), None) for px, py, r in places)
    assert torch.allclose(out, alone, atol=1e-5)


def test_neighbours_share_what_they_see_by_their_light():
    """Within a block one image serves: it is as visible as its highlights on the whole, weighted by their light."""
    x, y = torch.tensor([40, 41]), torch.tensor([30, 30])
    light = torch.tensor([[3.0, 3.0, 3.0], [1.0, 1.0, 1.0]])
    both = Highlights(x, y, light, torch.full((2,), 16.0))
    none = lambda lens: torch.zeros(len(lens.points)).byte()  # noqa: E731
    whole = lambda lens: (torch.arange(len(lens.points)) > 0).byte()  # noqa: E731
    out = spread(both, lambda lens: torch.stack([whole(lens), none(lens)]))
    assert float(out[..., 0].sum()) == pytest.approx(4 * 0.75, rel=0.06)


@pytest.mark.parametrize("radius", [8, -8])
@pytest.mark.parametrize("width, height", [(200, 120), (120, 200)])
def test_a_cats_eye_opens_towards_the_centre_and_keeps_its_light(radius, width, height):
    lens = make_lens(aperture_mask(), 40, cats_eye=1.0)
    # The window is the picture's lower right corner.
    field = Field(width - W, height - H, width, height)
    out = spread(one(radius, x=70, y=50), None, lens, field)[..., 0]
    assert float(out.sum()) == pytest.approx(2, rel=1e-3)
    y, x = torch.meshgrid(torch.arange(H) - 50.0, torch.arange(W) - 70.0, indexing="ij")
    mean = torch.stack([(out * x).sum(), (out * y).sum()]) / out.sum()
    offset = torch.tensor([width - W + 70.5 - width / 2, height - H + 50.5 - height / 2])
    side = 1 if radius > 0 else -1
    along = float((mean * offset).sum() / offset.norm())
    across = float(mean[0] * offset[1] - mean[1] * offset[0]) / float(offset.norm())
    shift = float(offset.norm()) / (math.hypot(width, height) / 2)
    assert side * along == pytest.approx(shift / 2 * abs(radius), rel=0.15) and abs(across) < 0.4


def test_a_cats_eye_gives_no_light_back_that_a_surface_occludes():
    lens = make_lens(aperture_mask(), 40, cats_eye=0.8)
    half = (lens.points[:, 0] < 0)[None].byte()
    out = spread(one(9), lambda _: half, lens, Field(100, 60, 200, 120))[..., 0]
    assert 0.2 < float(out.sum()) < 1.8
    assert float(out.sum()) < float(spread(one(9), None, lens, Field(100, 60, 200, 120))[..., 0].sum()) - 0.2


def test_one_cats_eye_serves_a_twelfth_of_the_picture_s_width():
    lens = make_lens(aperture_mask(), 40, cats_eye=1.0)
    x, y, free = torch.tensor([5, 13, 30, 5]), torch.tensor([5, 5, 5, 40]), torch.ones(4, dtype=torch.bool)
    key = h._groups(x, y, free, 8.0, 1.0, lens, Field(0, 0, 120, 80))
    assert key[0] == key[1] and len(set(key.tolist())) == 3 and (key < 0).all()
    moved = h._groups(x - 7, y - 2, free, 8.0, 1.0, lens, Field(7, 2, 120, 80))
    assert torch.equal(moved, key)  # by the place in the picture
    plain = make_lens(aperture_mask(), 40)
    assert h._groups(x, y, free, 8.0, 1.0, plain, Field(0, 0, 120, 80)).tolist() == [0, 0, 0, 0]
    occluded = h._groups(x, y, ~free, 32.0, 1.0, plain, Field(0, 0, 120, 80)).tolist()  # blocks of 32 / 8 pixels
    assert len(set(occluded)) == 4 and min(occluded) > 0
    assert len(set(h._groups(x, y, ~free, 80.0, 1.0, plain, Field(0, 0, 120, 80)).tolist())) == 3
    assert len(set(h._groups(x, y, ~free, 8.0, 200.0, plain, Field(0, 0, 120, 80)).tolist())) == 1


@pytest.mark.parametrize("place", [(0, 26), (18, 0), (36, 26), (18, 52)])
def test_a_highlight_on_the_frame_s_edge_is_there_once(place):
    """The picture goes on past its frame as its outermost pixels, but a highlight there is not repeated with them."""
    image = torch.zeros(1, 37, 53, 3)
    image[0, place[0], place[1]] = 500.0
    radius = 7.0
    out = render_bokeh(image, DefocusMap(torch.full((1, 37, 53), radius)), linear=True, quality="fast")[0, ..., 0]
    y, x = torch.meshgrid(torch.arange(37) - place[0], torch.arange(53) - place[1], indexing="ij")
    disc = torch.hypot(y.float(), x.float()) < radius - 1
    assert abs(float(out[disc].mean()) * math.pi * radius**2 / 500 - 1) < 0.05


def test_the_scene_and_its_highlights_add_up_in_a_photograph():
    """A flat picture that is partly split off as highlights is still flat."""
    image = torch.full((1, 37, 53, 3), 3.0)
    out = render_bokeh(image, DefocusMap(torch.full((1, 37, 53), 6.0)), linear=True, quality="fast")
    assert (out[0, 14:-14, 14:-14] - 3).abs().max() < 0.02
