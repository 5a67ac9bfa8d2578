"""Tiles: which pixels each one makes, sees and knows; and no seam between them."""

import math

import pytest
import torch
import torch.nn.functional as F

from rackfocus.pipelines.optical.bokeh import render_bokeh, tiles
from rackfocus.pipelines.optical.bokeh.surfaces import FILL_REACH, GRID
from rackfocus.pipelines.optical.bokeh.tiles import Window
from rackfocus.pipelines.optics import DefocusMap


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_window_finds_its_place_in_a_larger_one():
    window = Window(5, 9, 20, 27)
    assert (window.height, window.width) == (4, 7)
    assert window.within(Window(-2, 30, 12, 99)) == (slice(7, 11), slice(8, 15))


@pytest.mark.parametrize("height, width", [(100, 230), (230, 100)])
def test_the_cores_are_the_picture_and_what_they_see_goes_past_its_frame(monkeypatch, height, width):
    monkeypatch.setattr(tiles, "TILE", 96)
    count, radius = torch.zeros(height, width), 20.0
    for tile in tiles.tiles(height, width, radius):
        count[tile.core.within(tile.picture)] += 1
        assert tile.picture == (0, height, 0, width)
        border = 16  # 0.6 * 20 + 1 pixels, on the prefilter's grid
        reach = 61  # 2.25 * 20 + 16
        c = tile.core
        assert tile.seen == (
            max(-border, c.top - reach),
            min(height + border, c.bottom + reach),
            max(-border, c.left - reach),
            min(width + border, c.right + reach),
        )
        for known, seen, first in ((tile.known.top, tile.seen.top, c.top), (tile.known.left, tile.seen.left, c.left)):
            assert known <= seen and known in (-border, first - 4 * FILL_REACH)  # 20 + 16 + 192, on FILL_REACH's grid
        assert tile.field.x == tile.seen.left and tile.field.y == tile.seen.top
        assert (tile.field.width, tile.field.height) == (width, height)
    assert (count == 1).all()


def test_past_the_frame_lie_most_of_the_blur_and_at_most_so_many_pixels():
    borders = [-tiles.tiles(50, 70, r)[0].seen.left for r in (0.6, 10, 40, 400)]
    assert borders == [GRID, GRID, 2 * GRID, tiles.BORDER]


@pytest.mark.parametrize("radius", [3.0, 90.0, 500.0])
def test_a_tile_sees_what_reaches_it_and_knows_what_tells_that(monkeypatch, radius):
    monkeypatch.setattr(tiles, "TILE", 64)
    tile = tiles.tiles(4000, 64, radius)[30]  # 1920 pixels from the top
    seen, known = tile.core.top - tile.seen.top, tile.core.top - tile.known.top
    assert seen >= min(2 * radius, known) and known % FILL_REACH == 0
    assert known >= radius + 3 * FILL_REACH and known <= radius + 5 * FILL_REACH
    assert (tile.seen.bottom - tile.core.bottom, tile.known.bottom - tile.core.bottom) == (seen, known)


def test_a_tile_takes_its_known_part_with_the_frame_s_last_pixels_around(monkeypatch):
    monkeypatch.setattr(tiles, "TILE", 64)
    plane = random(90, 150)
    for tile in tiles.tiles(90, 150, 10.0):
        padded = F.pad(plane[None, None], (300,) * 4, mode="replicate")[0, 0]
        k, s = tile.known, tile.seen
        expected = padded[k.top + 300 : k.bottom + 300, k.left + 300 : k.right + 300]
        assert torch.equal(tile.take(plane), expected)
        assert torch.equal(tile.take(torch.stack([plane, -plane], -1))[..., 1], -expected)
        y, x = torch.arange(s.top, s.bottom)[:, None], torch.arange(s.left, s.right)[None]
        assert torch.equal(tile.in_frame(), (y >= 0) & (y < 90) & (x >= 0) & (x < 150))


def blocks(h, w, seed, amount):
    cells = random(1, 1, math.ceil(h / 30), math.ceil(w / 30), seed=seed) * 2 - 1
    return F.interpolate(cells, (h, w), mode="nearest")[:, 0] * amount


@pytest.mark.parametrize("h, w", [(40, 400), (400, 40)])
@pytest.mark.parametrize("cats_eye", [0.0, 0.9])
def test_tiles_leave_no_seam(monkeypatch, h, w, cats_eye):
    """Long enough that the last tile does not know the whole picture."""
    image, plate, defocus = random(1, h, w, 3), None, DefocusMap(blocks(h, w, 2, 9))
    if cats_eye:
        # One cat's eye serves many highlights, and a tile has fewer: leave them out.
        image, plate = image * 0.4 + 0.3, random(1, h, w, 3, seed=1)
    whole = render_bokeh(image, defocus, background=plate, quality="fast", cats_eye=cats_eye)
    monkeypatch.setattr(tiles, "TILE", 160)
    tiled = render_bokeh(image, defocus, background=plate, quality="fast", cats_eye=cats_eye)
    assert (whole - image).abs().max() > 0.1
    assert (whole - tiled).abs().max() < 1e-5


def test_clipped_highlights_leave_no_seam(monkeypatch):
    image, defocus = torch.full((1, 40, 200, 3), 0.2), DefocusMap(torch.full((1, 40, 200), 6.0))
    for x in (3, 61, 65, 130, 195):
        image[0, 8 + x // 10, x : x + 2] = 1.0
    whole = render_bokeh(image, defocus, quality="fast")
    monkeypatch.setattr(tiles, "TILE", 64)
    assert (whole - render_bokeh(image, defocus, quality="fast")).abs().max() < 1e-5
    assert whole.max() > 0.5
