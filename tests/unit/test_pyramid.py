"""Octaves, push-pull, tiles and the counter, by hand."""

import pytest
import torch

from rackfocus.pipelines.image.progress import Counter
from rackfocus.pipelines.image.pyramid import analyse, down, fill, synthesise, up
from rackfocus.pipelines.image.tiles import GRID, tiles
from rackfocus.tests.pictures import random


def plane(h, w, dx, dy):
    return dx * torch.arange(w)[None] + dy * torch.arange(h)[:, None] + torch.zeros(1, 1, h, w)


def test_down_takes_every_other_pixel_of_the_smoothed_picture():
    x = torch.zeros(1, 2, 12, 17)
    x[0, 1, 6, 9] = 1  # between samples 4 and 5 along x, on sample 3 along y
    y = down(x)
    assert y.shape == (1, 2, 6, 9) and (y[0, 0] == 0).all()
    want = torch.zeros(6, 9)
    want[2:5, 4:6] = torch.tensor([1, 6, 1])[:, None] * torch.tensor([4, 4]) / 256
    assert torch.allclose(y[0, 1], want)
    assert torch.allclose(down(torch.full((1, 1, 5, 8), 0.3)), torch.tensor(0.3))


@pytest.mark.parametrize("size", [(33, 46), (21, 64)])
def test_samples_lie_where_they_were_taken(size):
    """Sample i on pixel 2 i, along both axes."""
    x = plane(*size, 2.0, -3.0)
    assert torch.allclose(down(x)[..., 1:-1, 1:-1], x[..., ::2, ::2][..., 1:-1, 1:-1])
    assert torch.allclose(up(down(x), *size)[..., 4:-4, 4:-4], x[..., 4:-4, 4:-4], atol=1e-4)
    assert torch.allclose(up(x[..., ::4, ::4], *size, 4)[..., :-4, :-4], x[..., :-4, :-4], atol=1e-4)


def test_bands_add_up_to_the_picture():
    x = random(2, 3, 37, 53)
    bands = analyse(x, 3)
    assert [b.shape[-2:] for b in bands] == [(37, 53), (19, 27), (10, 14), (5, 7)]
    assert torch.allclose(synthesise(bands), x, atol=1e-6)
    assert all(b.abs().max() < 1e-6 for b in analyse(torch.full((1, 1, 37, 53), 0.7), 3)[:-1])


def test_fill_keeps_what_is_known_and_takes_the_hole_from_what_lies_beside_it():
    x = torch.zeros(2, 37, 53)
    x[0, :, 26:] = 1  # left and right
    x[1, 18:] = 1  # above and below
    hole = torch.zeros(37, 53, dtype=torch.bool)
    hole[10:27, 12:41] = True
    y = fill(torch.where(hole, torch.tensor(float("nan")), x), hole)
    assert torch.equal(y[:, ~hole], x[:, ~hole])
    assert y.min() >= 0 and y.max() <= 1
    assert y[0, 18, 13] < 0.1 and y[0, 18, 39] > 0.9 and 0.2 < y[0, 18, 26] < 0.8
    assert y[1, 10, 26] < 0.2 and y[1, 26, 26] > 0.8
    assert (y[0, 18].diff() > -1e-6).all()  # smooth: it only rises


def test_fill_leaves_a_picture_without_a_hole_or_with_nothing_else():
    x = random(3, 9, 14)
    for hole in (torch.zeros(9, 14, dtype=torch.bool), torch.ones(9, 14, dtype=torch.bool)):
        assert torch.equal(fill(x, hole), x)


@pytest.mark.parametrize(
    ("size", "halo", "area"), [((300, 517), 32, 160 * 160), ((64, 1000), 8, 100 * 100), ((5, 9), 32, 1)]
)
def test_tiles_keep_every_pixel_once_and_read_their_halo(size, halo, area):
    count = torch.zeros(size, dtype=torch.int)
    plan = tiles(*size, halo=halo, area=area)
    for t in plan:
        count[t.core] += 1
        for n, outer, core, inner in zip(size, t.outer, t.core, t.inner, strict=True):
            assert outer.start + inner.start == core.start and outer.start + inner.stop == core.stop
            assert outer.start % GRID == core.start % GRID == 0
            assert max(0, core.start - halo - GRID) <= outer.start <= max(0, core.start - halo)
            assert outer.stop == min(n, core.stop + halo)
            side = max(8 * GRID, int(area**0.5) - 2 * halo)
            assert core.stop - core.start <= side + GRID and core.stop <= n
    assert (count == 1).all()
    assert len(plan) == -(-size[0] // side) * -(-size[1] // side)


def test_a_counter_counts_reports_and_lets_what_is_raised_through():
    seen = []
    counter = Counter(lambda done, total: seen.append((done, total)), 5)
    counter.tick()
    counter.pulse()
    counter.to(4)
    counter.tick()
    assert seen == [(1, 5), (1, 5), (4, 5), (5, 5)]
    Counter(None, 2).tick()

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Counter(stop, 2).pulse()
