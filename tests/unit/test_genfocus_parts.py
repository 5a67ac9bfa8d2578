"""The pure parts of Genfocus: tiles, tokens, pixels, attention rule, names."""

from itertools import pairwise

import pytest
import torch

from rackfocus.pipelines.flux.architecture import fused_layers
from rackfocus.pipelines.flux.blocks import sees
from rackfocus.pipelines.flux.sampling import sigmas, time_shift
from rackfocus.pipelines.flux.tokens import Rows, by_tiles, pad_to_tokens, position_ids, starts, use_tiles
from rackfocus.pipelines.genfocus import FLUX_1, pack, unpack
from rackfocus.pipelines.genfocus.setups import defocus_image


def test_pack_and_back():
    latents = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    grid = pack(latents)
    assert grid.shape == (2, 2, 3, 12) and torch.equal(unpack(grid), latents)
    assert grid[0, 0, 1].tolist() == latents[0, :, 0:2, 2:4].flatten().tolist()  # channel, then row, then column


def test_positions():
    assert position_ids(2, 3, (0, 32)).tolist() == [[0, y, 32.0 + x] for y in (0, 1) for x in (0, 1, 2)]


@pytest.mark.parametrize("length", [1, 31, 32, 33, 34, 59, 60, 61, 64, 100, 256])
def test_tiles_cover_without_leaving(length):
    found = starts(length)
    assert found[0] == 0 and found[-1] == max(length - 32, 0)
    assert all(0 < b - a <= 28 for a, b in pairwise(found))


def test_when_tiles_are_used():
    assert [use_tiles(h, w) for h, w in ((31, 64), (32, 32), (32, 64), (64, 64))] == [False, True, True, True]
    assert use_tiles(31, 64, "on") and not use_tiles(32, 32, "on") and not use_tiles(64, 64, "off")


def test_blending_keeps_what_the_tiles_agree_on():
    whole = torch.randn(2, 34, 60, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(by_tiles(lambda y, x: whole[:, y, x], whole), whole, atol=1e-5)


def test_a_tiles_middle_outweighs_anothers_rim():
    row = by_tiles(lambda y, x: torch.full((1, 32, 32, 1), float(x.start > 0)), torch.zeros(1, 32, 60, 1))[0, 16, :, 0]
    assert row[:28].eq(0).all() and row[32:].eq(1).all()
    assert (row[28:32].diff() > 0).all() and torch.allclose(row[28:32] + row[28:32].flip(0), torch.ones(4))


def test_the_shift_of_the_schedule():
    assert time_shift(256) == 0.5 and abs(time_shift(4096) - 1.15) < 1e-12
    s = sigmas(28, 1024)
    assert len(s) == 29 and s[0] == 1 and s[-1] == 0 and (s.diff() < 0).all()
    assert (sigmas(28, 4096)[1:-1] > s[1:-1]).all()  # more tokens, more noise for longer


@pytest.mark.parametrize(("h", "w"), [(250, 333), (16, 32), (1, 17)])
def test_padding_repeats_the_border(h, w):
    image = torch.rand(2, h, w, 3)
    out = pad_to_tokens(image)
    assert out.shape[1] % 16 == out.shape[2] % 16 == 0 and out.shape[1] - h < 16 and out.shape[2] - w < 16
    assert torch.equal(out[:, :h, :w], image)
    assert torch.equal(out[:, -1, :w], image[:, -1]) and torch.equal(out[:, :h, -1], image[:, :, -1])


def test_defocus_as_an_image():
    out = defocus_image(torch.tensor([[[-50.0, 0.0, 25.0, 1000.0]]]))
    assert out.shape == (1, 1, 4, 3) and out[0, 0].tolist() == [[0.5] * 3, [0.0] * 3, [0.25] * 3, [1.0] * 3]


@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("conditions", [[], [3], [3, 3], [2, 4, 1]])
def test_groups_of_queries_follow_the_rule(conditions, mutual):
    sizes = [2, 3, *conditions]  # text, noise, conditions
    owner = [i for i, n in enumerate(sizes) for _ in range(n)]
    seen = torch.zeros(len(owner), len(owner), dtype=torch.bool)
    for asks, ranges in Rows(2, 3, tuple(conditions), (0,) * len(conditions)).query_groups(mutual):
        for r in ranges:
            assert not seen[asks, r].any()  # no key twice
            seen[asks, r] = True
    assert seen.tolist() == [[sees(i, j, mutual) for j in owner] for i in owner]


def test_every_adapted_layer_has_one_place_in_the_fused_names():
    adapted, fused = FLUX_1.lora_layers(), fused_layers(FLUX_1)
    parts = [p.layer for parts in fused.values() for p in parts]
    assert sorted(parts) == sorted(adapted)
    for parts in fused.values():
        ends = [p.start + adapted[p.layer][1] for p in parts]
        assert [p.start for p in parts] == [0, *ends[:-1]]  # side by side
        assert len({adapted[p.layer][0] for p in parts}) == 1  # one input


def test_rows_of_one_lora_are_one_range():
    rows = Rows(7, 10, (4, 4, 4), (0, 0, 1))
    assert rows.condition_ranges == [(10, 18, 0), (18, 22, 1)]
    assert rows.modulation_ranges(int, False) == [(0, 10, 0), (10, 18, 1), (18, 22, 2)]
    assert rows.modulation_ranges(int, True) == [(0, 17, 0), (17, 25, 1), (25, 29, 2)]
    assert Rows(7, 10, (4, 4, 4), (0, 1, 0)).condition_ranges == [(10, 14, 0), (14, 18, 1), (18, 22, 0)]
