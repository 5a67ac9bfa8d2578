"""What the lens points see, against brute force: every lens point and every surface point, one at a time."""

import math

import pytest
import torch

from rackfocus.pipelines.image.progress import Counter
from rackfocus.pipelines.optical.bokeh.highlights import Highlights
from rackfocus.pipelines.optical.bokeh.lens import Field, Lens
from rackfocus.pipelines.optical.bokeh.surfaces import PARALLAX, Points
from rackfocus.pipelines.optical.bokeh.views import _Projection, depth_level, render_views

H, W = 7, 11
FIELD = Field(x=-2, y=3, width=23, height=17)
NO_CLOCK = Counter(None, 0)


def random(*shape, seed):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def eighths(*shape, seed, limit):
    """Multiples of 1/8 in -limit..limit: exact in floating point, so that halves are halves."""
    return (random(*shape, seed=seed) * 16 * limit).round() / 8 - limit


def surface(count=70, seed=0, coverage=1.0):
    at = torch.stack([(random(count, seed=seed) * W).floor(), (random(count, seed=seed + 1) * H).floor()], 1)
    radius = eighths(count, seed=seed + 2, limit=4)
    return Points(at, radius, random(count, 3, seed=seed + 3), torch.full((count,), coverage))


def lens(cats_eye=0.0, one_sided=True, count=9):
    points, weights = eighths(count, 2, seed=7, limit=1), random(2, count, seed=8)
    mask, other = torch.ones(1, 4, 4), torch.ones(1, 4, 4)
    if one_sided:
        return Lens(points, weights[0], weights[1], mask, other, cats_eye)
    return Lens(points, weights[0], weights[0], mask, mask, cats_eye)


def highlights(count=40):
    x, y = (random(count, seed=20) * W).floor().long(), (random(count, seed=21) * H).floor().long()
    return Highlights(x, y, random(count, 3, seed=22), eighths(count, seed=23, limit=6))


def no_highlights():
    none = torch.zeros(0, dtype=torch.int64)
    return Highlights(none, none, torch.zeros(0, 3), torch.zeros(0))


def cell(x, y, radius, p):
    """Row and column at which lens point p = (x right, y down) sees a point; half a pixel counts as the next."""
    return math.floor(y + radius * p[1] + 0.5), math.floor(x + radius * p[0] + 0.5)


def brute_force(points, lens, field, shining):
    exposed, visible = torch.zeros(H, W, 4), torch.ones(len(shining.x), len(lens.points))
    radius = points.radius.tolist()
    half_diagonal = math.hypot(field.width, field.height) / 2
    for i, p in enumerate(lens.points.tolist()):
        nearest = {}
        for n, (x, y) in enumerate(points.at.tolist()):
            at = cell(x, y, radius[n], p)
            if at not in nearest or radius[n] <= radius[nearest[at]]:
                nearest[at] = n
        for (row, column), n in nearest.items():
            if not (0 <= row < H and 0 <= column < W):
                continue
            weight = float(lens.front[i] if radius[n] < 0 else lens.behind[i])
            if lens.cats_eye:
                away_x = (column + field.x + 0.5 - field.width / 2) / half_diagonal * lens.cats_eye
                away_y = (row + field.y + 0.5 - field.height / 2) / half_diagonal * lens.cats_eye
                weight *= math.hypot(p[0] - away_x, p[1] - away_y) <= lens.rim
            exposed[row, column] += weight * torch.cat([points.colour[n], torch.ones(1)])
        for k, r in enumerate(shining.radius.tolist()):
            row, column = cell(int(shining.x[k]), int(shining.y[k]), r, p)
            n = nearest.get((row, column)) if 0 <= row < H and 0 <= column < W else None
            visible[k, i] = n is None or radius[n] > r - PARALLAX
    return exposed, visible


@pytest.mark.parametrize(
    "options", [{}, {"one_sided": False}, {"cats_eye": 0.8}, {"cats_eye": 0.8, "one_sided": False}]
)
def test_every_lens_point_sees_the_nearest_surface(options):
    points, shining = surface(), highlights()
    exposed, visible = render_views(points, H, W, lens(**options), FIELD, shining, NO_CLOCK)
    expected, expected_visible = brute_force(points, lens(**options), FIELD, shining)
    assert torch.allclose(exposed, expected, atol=1e-5)
    assert torch.equal(visible.float(), expected_visible)
    assert 0.5 < float(visible.float().mean()) < 0.9 and exposed[..., 3].std() > 0.5  # the scene tests both


def test_a_mechanical_vignette_cuts_some_rays():
    eye, none = (
        render_views(surface(), H, W, lens(cats_eye=c), FIELD, no_highlights(), NO_CLOCK)[0][..., 3].sum()
        for c in (0.8, 0.0)
    )
    assert 0.5 * none < eye < 0.98 * none


def test_nothing_hides_a_highlight_of_its_own_surface():
    """Less than PARALLAX pixels of radius apart they are one surface; from there on the nearer one occludes."""
    at = torch.tensor([[5.0, 3.0]])
    one = Lens(torch.zeros(1, 2), torch.ones(1), torch.ones(1), *[torch.ones(1, 4, 4)] * 2)
    shining = Highlights(torch.tensor([5]), torch.tensor([3]), torch.ones(1, 3), torch.tensor([4.0]))
    for radius, seen in ((4.0, 1), (3.1, 1), (3.0, 0), (-6.0, 0), (9.0, 1)):
        points = Points(at, torch.tensor([radius]), torch.ones(1, 3), torch.ones(1))
        assert int(render_views(points, H, W, one, FIELD, shining, NO_CLOCK)[1]) == seen


def test_a_smaller_radius_is_nearer():
    radius = torch.tensor([9.0, 3.0, 3 - 1 / 64, 0.0, -2.0, -300.0])
    assert (depth_level(radius).diff() > 0).all()
    assert depth_level(torch.tensor([5e4, 4e4])).tolist() == [0, 0]


def sheet(coverage, radius, colour, x0=0, y0=0, h=12, w=20):
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    at = torch.stack([x - x0, y - y0], -1).reshape(-1, 2).float()
    n = len(at)
    return Points(at, torch.full((n,), radius), torch.tensor(colour).expand(n, 3), torch.full((n,), coverage))


def two_sheets(coverage, **options):
    front, wall = sheet(coverage, -1.0, [1.0, 0.0, 0.0], **options), sheet(1.0, 0.0, [0.0, 0.0, 1.0], **options)
    names = ("at", "radius", "colour", "coverage")
    return Points(*(torch.cat([getattr(front, n), getattr(wall, n)]) for n in names))


def pinholes(count):
    """Lens points all in the aperture's centre: nothing moves, only who takes part changes."""
    share = torch.full((count,), 1 / count)
    return Lens(torch.zeros(count, 2), share, share, *[torch.ones(1, 4, 4)] * 2)


@pytest.mark.parametrize("coverage", [0.2, 0.75])
def test_a_point_takes_part_in_its_coverage_of_the_views(coverage):
    exposed, _ = render_views(two_sheets(coverage), 12, 20, pinholes(64), FIELD, no_highlights(), NO_CLOCK)
    assert torch.allclose(exposed[..., 3], torch.ones(12, 20))
    assert (exposed[..., 0] - coverage).abs().max() < 0.05  # each pixel over the lens points
    assert torch.allclose(exposed[..., 0] + exposed[..., 2], torch.ones(12, 20))
    once, _ = render_views(two_sheets(coverage), 12, 20, pinholes(1), FIELD, no_highlights(), NO_CLOCK)
    assert abs(once[..., 0].mean() - coverage) < 0.05  # all pixels at one lens point
    assert once[..., 0].mean(0).std() < 0.2 and once[..., 0].mean(1).std() < 0.2  # in no rows or columns


def test_a_window_elsewhere_sees_the_same():
    """Rounding and transparency go by the place in the picture, so that tiles agree."""
    here, _ = render_views(two_sheets(0.4), 12, 20, pinholes(3), FIELD, no_highlights(), NO_CLOCK)
    moved = Field(FIELD.x + 5, FIELD.y + 2, FIELD.width, FIELD.height)
    there, _ = render_views(two_sheets(0.4, x0=5, y0=2), 12, 20, pinholes(3), moved, no_highlights(), NO_CLOCK)
    assert torch.equal(here[2:, 5:], there[:-2, :-5])
    assert not torch.equal(here[:-2, :-5], there[:-2, :-5])


@pytest.mark.parametrize("width", [50, (1 << 23) + 3])
def test_cells_are_counted_row_by_row_however_many_there_are(width):
    """From 2^24 on float32 knows only every second number."""
    x, y, radius = torch.tensor([5.0, 6.0, 40.0]), torch.tensor([3.0, 3.0, 0.0]), torch.tensor([2.0, -2.0, 0.0])
    cells = _Projection(x, y, radius, 9, width, FIELD).cells((0.5, -1.0))
    places = [(5 + 1, 3 - 2), (6 - 1, 3 + 2), (40, 0)]
    assert cells.tolist() == [(row + 1) * (width + 2) + column + 1 for column, row in places]


def test_the_clock_ticks_once_per_lens_point():
    told = []
    render_views(surface(), H, W, lens(), FIELD, highlights(), Counter(lambda *n: told.append(n), 9))
    assert told == [(i + 1, 9) for i in range(9)]
