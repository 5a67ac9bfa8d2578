"""Tokens: packing, positions, one row of tokens, tiles."""

import math
from itertools import pairwise

import pytest
import torch

from rackfocus.pipelines.flux.blocks import sees
from rackfocus.pipelines.flux.tokens import (
    ALL,
    CONDITIONS,
    OWN,
    Rows,
    by_tiles,
    pack,
    pad_to_tokens,
    position_ids,
    starts,
    tiles,
    unpack,
    use_tiles,
    window,
)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_pack_and_back():
    latents = torch.arange(2 * 3 * 4 * 6.0).reshape(2, 3, 4, 6)
    grid = pack(latents)
    assert grid.shape == (2, 2, 3, 12) and torch.equal(unpack(grid), latents)
    assert grid[1, 0, 1].tolist() == latents[1, :, 0:2, 2:4].flatten().tolist()  # channel, then row, then column


def test_positions_count_down_and_to_the_right():
    assert position_ids(2, 3).tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 1, 0], [0, 1, 1], [0, 1, 2]]
    assert position_ids(2, 3, (5, 32)).tolist() == [[0, 5.0 + y, 32.0 + x] for y in (0, 1) for x in (0, 1, 2)]


@pytest.mark.parametrize(("h", "w"), [(250, 333), (16, 32), (1, 17), (33, 16)])
def test_padding_repeats_the_last_row_and_column(h, w):
    image = random(2, h, w, 3)
    out = pad_to_tokens(image)
    assert out.shape == (2, math.ceil(h / 16) * 16, math.ceil(w / 16) * 16, 3)
    assert torch.equal(out[:, :h, :w], image)
    assert torch.equal(out[:, h:, :w], image[:, -1:].expand(-1, out.shape[1] - h, -1, -1))
    assert torch.equal(out[:, :, w:], out[:, :, w - 1 : w].expand(-1, -1, out.shape[2] - w, -1))


# The row of tokens


@pytest.mark.parametrize("rule", [OWN, ALL, CONDITIONS])
@pytest.mark.parametrize("conditions", [(), (3,), (3, 3), (2, 4, 1)])
def test_groups_of_queries_follow_the_rule(conditions, rule):
    sizes = [2, 3, *conditions]  # text, noise, conditions
    owner = [i for i, n in enumerate(sizes) for _ in range(n)]
    seen = torch.zeros(len(owner), len(owner), dtype=torch.bool)
    end = 0
    for asks, ranges in Rows(2, 3, conditions, (0,) * len(conditions)).query_groups(rule):
        assert asks.start == end  # in the order of the tokens
        end = asks.stop
        for r in ranges:
            assert not seen[asks, r].any()  # no key twice
            seen[asks, r] = True
    assert seen.tolist() == [[sees(i, j, rule) for j in owner] for i in owner]


def test_a_condition_sees_text_noise_and_itself():
    rule = [[sees(i, j) for j in range(4)] for i in range(4)]  # text, noise, condition 0, condition 1
    assert rule == [[True] * 4, [True] * 4, [True, True, True, False], [True, True, False, True]]
    assert all(sees(i, j, ALL) for i in range(4) for j in range(4))


def test_conditions_of_one_lora_are_one_range():
    rows = Rows(7, 10, (4, 4, 4), (0, 0, 1))
    assert rows.condition_ranges == [(10, 18, 0), (18, 22, 1)]
    assert Rows(7, 10, (4, 5, 6), (0, 1, 0)).condition_ranges == [(10, 14, 0), (14, 19, 1), (19, 25, 0)]
    # vec's row 0 is the step's; the text's tokens come first in single-stream blocks
    assert rows.modulation_ranges(int, text=False) == [(0, 10, 0), (10, 18, 1), (18, 22, 2)]
    assert rows.modulation_ranges(int, text=True) == [(0, 17, 0), (17, 25, 1), (25, 29, 2)]
    assert rows.modulation_ranges(lambda i: slice(i, i + 1), text=True)[1] == (17, 25, slice(1, 2))


# Tiles


@pytest.mark.parametrize("length", [1, 31, 32, 33, 34, 59, 60, 61, 64, 100, 256])
def test_tiles_cover_without_leaving(length):
    found = starts(length)
    assert found[0] == 0 and found[-1] == max(length - 32, 0)
    assert all(0 < b - a <= 28 for a, b in pairwise(found))


def test_tiles_start_every_seven_eighths():
    assert starts(100) == [0, 28, 56, 68] and starts(60) == [0, 28] and starts(61) == [0, 28, 29]
    assert starts(9, 5) == [0, 4] and starts(40, 16) == [0, 14, 24]
    assert tiles(3, 9, 5) == [(slice(0, 3), slice(0, 5)), (slice(0, 3), slice(4, 9))]
    assert tiles(6, 9, 5)[1:3] == [(slice(0, 5), slice(4, 9)), (slice(1, 6), slice(0, 5))]  # row by row


def test_when_tiles_are_used():
    assert [use_tiles(h, w) for h, w in ((31, 64), (64, 31), (32, 32), (32, 64))] == [False, False, True, True]
    assert use_tiles(31, 64, "on") and use_tiles(33, 5, "on") and not use_tiles(32, 32, "on")
    assert not use_tiles(64, 64, "off") and use_tiles(5, 6, "auto", 5) and not use_tiles(4, 6, "auto", 5)


def test_a_tiles_weights():
    weights = window(3, 5)
    assert weights.shape == (3, 5)
    for (y, x), r2 in {(1, 2): 0, (0, 2): 4, (1, 0): 4, (1, 1): 1, (2, 4): 8, (0, 3): 5}.items():
        assert weights[y, x] == pytest.approx(math.exp(-r2), rel=1e-6)


def test_blending_keeps_what_the_tiles_agree_on():
    whole = random(2, 34, 60, 4)
    out = by_tiles(lambda y, x: whole[:, y, x], whole)
    assert torch.allclose(out, whole, atol=1e-5)
    assert by_tiles(lambda y, x: whole[:, y, x], whole.bfloat16()).dtype == torch.bfloat16


def test_where_tiles_overlap_their_weighted_mean_counts():
    """A row of 9 in tiles 0..4 and 4..8: alone but for token 4, which is the rim of both."""
    out = by_tiles(lambda y, x: torch.full((1, 3, 5, 1), 1.0 + 2 * x.start), torch.zeros(1, 3, 9, 1), 5)
    assert out[0, 1, :, 0].tolist() == pytest.approx([1, 1, 1, 1, 5, 9, 9, 9, 9])
    # a column of 8 in tiles 0..4 and 3..7: token 3 stands 1 from the first's middle, 2 from the second's
    out = by_tiles(lambda y, x: torch.full((1, 5, 2, 1), float(y.start > 0)), torch.zeros(1, 8, 2, 1), 5)
    near, far = math.exp(-1), math.exp(-4)
    assert out[0, 3, 1, 0] == pytest.approx(far / (near + far), rel=1e-5)
    assert out[0, 4, 0, 0] == pytest.approx(near / (near + far), rel=1e-5)
