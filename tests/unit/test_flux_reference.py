"""One velocity branch by branch, on a tiny random FLUX: what the method promises."""

import copy
import sys

import pytest
import torch
from diffusers import FluxTransformer2DModel

from rackfocus.pipelines.flux.architecture import FLUX_1, Architecture
from rackfocus.pipelines.flux.blocks import Branch, Condition, branch_attention, double_block, rotate, single_block
from rackfocus.pipelines.flux.lora_file import LowRank
from rackfocus.pipelines.flux.reference import architecture_of, load_transformer, velocity
from rackfocus.pipelines.flux.tokens import ALL, OWN, position_ids
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.tests.parity.golden import OURS, error


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture
def small():
    """(noise, two condition grids, text, pooled) of 5 x 9 tokens; a batch of two that differ."""
    noise, grids, text, pooled = OURS.inputs("bokeh_small")
    noise, text, pooled, *grids = (torch.cat([x, x.flip(1) * 0.8]) for x in (noise, text, pooled, *grids))
    return noise, grids, text, pooled


def plain(transformer, noise, text, pooled, t, guidance, ids):
    """diffusers' own forward pass on tokens [B, n, C] at positions ids."""
    b, ids_text = len(noise), torch.zeros(text.shape[1], 3)
    t, g = torch.full((b,), t), torch.full((b,), guidance)
    return transformer(noise, text, pooled, t, ids, ids_text, g).sample


# The whole velocity


def test_the_published_velocity():
    """One of the published inference's own, with two conditions; tests/parity holds all of them."""
    case, t = OURS.cases["velocity"], OURS.tensors
    conditions = [Condition(OURS.grid(case, f"c{i}"), OURS.lora) for i in (0, 1)]
    out = velocity(OURS.transformer, OURS.grid(case, "img"), conditions, t["txt"], t["pooled"], 0.37, 3.5)
    assert error(out.flatten(1, 2), t["velocity.out"]) < 1e-4


def test_without_conditions_it_is_plain_flux(small, transformer):
    noise, _, text, pooled = small
    out = velocity(transformer, noise, [], text, pooled, 0.6, 2.0)
    expected = plain(transformer, noise.flatten(1, 2), text, pooled, 0.6, 2.0, position_ids(5, 9))
    assert out.shape == noise.shape and error(out.flatten(1, 2), expected) < 1e-6


def test_conditions_that_share_all_are_more_tokens_of_plain_flux(small, transformer):
    """Without LoRA, at the conditions' own time and guidance, and if all see all: one longer row of tokens."""
    noise, grids, text, pooled = small
    conditions = [
        Condition(grids[0], {}, (2, 32), mutual=True),
        Condition(grids[1][:, :4, :6], {}, (0, -3), mutual=True),
    ]
    out = velocity(transformer, noise, conditions, text, pooled, 0.0, 1.0)
    row = torch.cat([noise.flatten(1, 2), grids[0].flatten(1, 2), grids[1][:, :4, :6].flatten(1, 2)], dim=1)
    at = [[0, y, x] for y in range(5) for x in range(9)]
    at += [[0, y + 2, x + 32] for y in range(5) for x in range(9)]
    at += [[0, y, x - 3] for y in range(4) for x in range(6)]
    expected = plain(transformer, row, text, pooled, 0.0, 1.0, torch.tensor(at, dtype=torch.float32))
    assert error(out.flatten(1, 2), expected[:, :45]) < 1e-5
    one = [Condition(grids[0], {}, (2, 32))]  # alone it has no other to see
    out = velocity(transformer, noise, one, text, pooled, 0.0, 1.0)
    expected = plain(transformer, row[:, :90], text, pooled, 0.0, 1.0, torch.tensor(at[:90], dtype=torch.float32))
    assert error(out.flatten(1, 2), expected[:, :45]) < 1e-5


def test_a_batch_is_its_pictures(small, transformer, lora):
    noise, grids, text, pooled = small
    t = torch.tensor([0.4, 0.9])
    both = velocity(transformer, noise, [Condition(g, lora) for g in grids], text, pooled, t, 2.0)
    for i in (0, 1):
        one = [x[i : i + 1] for x in (noise, *grids, text, pooled)]
        out = velocity(transformer, one[0], [Condition(g, lora) for g in one[1:3]], one[3], one[4], float(t[i]), 2.0)
        assert error(both[i : i + 1], out) < 1e-6


def test_conditions_keep_their_own_time_and_guidance(small, transformer, lora):
    noise, grids, text, pooled = small
    seen = []
    handle = transformer.transformer_blocks[0].norm1.silu.register_forward_pre_hook(lambda m, x: seen.append(x[0]))
    try:
        for t, g in ((0.9, 3.5), (0.2, 1.5)):
            velocity(transformer, noise, [Condition(grids[0], lora)], text, pooled, t, g)
    finally:
        handle.remove()
    for i, (t, g) in enumerate(((900.0, 3500.0), (0.0, 1000.0), (200.0, 1500.0), (0.0, 1000.0))):
        expected = transformer.time_text_embed(torch.full((2,), t), torch.full((2,), g), pooled)
        assert torch.allclose(seen[i], expected, rtol=1e-4, atol=1e-5), i


def test_the_conditions_order_does_not_matter_but_their_offsets_do(small, transformer, lora):
    noise, grids, text, pooled = small
    first, second = Condition(grids[0], lora, (0, 32)), Condition(grids[1], {}, (32, 0))

    def run(*conditions):
        return velocity(transformer, noise, list(conditions), text, pooled, 0.6, 2.0)

    assert error(run(second, first), run(first, second)) < 1e-5
    swapped = run(Condition(grids[0], lora, (32, 0)), Condition(grids[1], {}, (0, 32)))
    assert error(swapped, run(first, second)) > 1e-3


# The blocks


def branches_of(transformer, grids, text, loras):
    """Text, then grids as branches, each with a random embedding of its own."""
    g = torch.Generator().manual_seed(5)
    temb = [torch.randn(len(text), transformer.inner_dim, generator=g) for _ in range(len(grids) + 1)]
    none = transformer.pos_embed(torch.zeros(text.shape[1], 3))
    out = [Branch(transformer.context_embedder(text), temb[0], none)]
    for i, (grid, lora) in enumerate(zip(grids, loras, strict=True)):
        b = Branch(grid, temb[i + 1], transformer.pos_embed(position_ids(*grid.shape[1:3], (0, 7 * i))), lora)
        b.x = b.linear("x_embedder", transformer.x_embedder, grid.flatten(1, 2))
        out.append(b)
    return out


def one_block(transformer, kind):
    """(block, its name, the function that runs it)."""
    return {
        "double": (transformer.transformer_blocks[1], "transformer_blocks.1", double_block),
        "single": (transformer.single_transformer_blocks[1], "single_transformer_blocks.1", single_block),
    }[kind]


@pytest.mark.parametrize("kind", ["double", "single"])
def test_a_condition_never_sees_another(small, transformer, lora, kind):
    """In one block: changing condition 1 changes text and noise, and leaves condition 0 bit for bit."""
    noise, grids, text, _ = small
    block, name, run = one_block(transformer, kind)

    def after(second, rule=OWN):
        branches = branches_of(transformer, [noise, grids[0], second], text, [{}, lora, lora])
        run(block, name, branches, rule)
        return [b.x for b in branches]

    a, b = after(grids[1]), after(grids[1] + 1)
    assert torch.equal(a[2], b[2])
    assert not torch.allclose(a[0], b[0]) and not torch.allclose(a[1], b[1])
    assert not torch.allclose(after(grids[1], ALL)[2], after(grids[1] + 1, ALL)[2])


@pytest.mark.parametrize("kind", ["double", "single"])
def test_a_blocks_lora_is_the_merged_weight_for_its_branch(small, transformer, lora, kind):
    """With a LoRA of all image branches a block is the block of merged weights; of one branch, that branch differs."""
    noise, grids, text, _ = small
    block, name, run = one_block(transformer, kind)
    merged = copy.deepcopy(block)
    for layer, low in lora.items():
        if layer.startswith(name + "."):
            merged.get_submodule(layer.removeprefix(name + ".")).weight += low.up @ low.down

    def after(block, loras):
        branches = branches_of(transformer, [noise, *grids], text, [{}, {}, {}])
        for b, own in zip(branches, loras, strict=True):
            b.lora = own
        run(block, name, branches)
        return [b.x for b in branches]

    # a single block has no weights of the text's own
    everywhere = after(block, [lora if kind == "single" else {}, lora, lora, lora])
    for x, expected in zip(everywhere, after(merged, [{}] * 4), strict=True):
        assert error(x, expected) < 1e-5
    # a LoRA of the last condition is not seen by the one before it
    last, none = after(block, [{}, {}, {}, lora]), after(block, [{}] * 4)
    assert (
        torch.equal(last[2], none[2]) and not torch.allclose(last[3], none[3]) and not torch.allclose(last[1], none[1])
    )


def test_the_lora_touches_conditions_only(small, transformer, lora):
    """A zero LoRA equals none; without a condition there is none."""
    noise, grids, text, pooled = small
    zero = {m: LowRank(low.down, torch.zeros_like(low.up)) for m, low in lora.items()}

    def run(weights):
        return velocity(transformer, noise, [Condition(g, weights) for g in grids], text, pooled, 0.6, 2.0)

    assert torch.equal(run(zero), run({})) and error(run(lora), run({})) > 0.01
    branches = branches_of(transformer, [noise, *grids], text, [{}, lora, lora])
    bare = branches_of(transformer, [noise, *grids], text, [{}, {}, {}])
    assert all(torch.equal(branches[i].x, bare[i].x) for i in (0, 1))
    assert not torch.allclose(branches[2].x, bare[2].x)


def test_rotary_positions():
    """(a, b) turned by 90 degrees is (-b, a); by 0 it stays."""
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(1, 1, 2, 4)
    cos, sin = torch.tensor([[0.0] * 4, [1.0] * 4]), torch.tensor([[1.0] * 4, [0.0] * 4])
    assert rotate(x, (cos, sin))[0, 0].tolist() == [[-2, 1, -4, 3], [1, 2, 3, 4]]


def test_attention_is_each_branchs_own():
    """Keys that one branch alone knows: what it sees is the mean of the values in reach."""
    g = torch.Generator().manual_seed(0)
    qkv = [tuple(torch.randn(2, 3, n, 4, generator=g) for _ in range(3)) for n in (2, 3, 4, 1)]
    zero = [(torch.zeros_like(q), k, v) for q, k, v in qkv]  # without a query all keys count alike
    out = branch_attention(zero)
    assert [tuple(y.shape) for y in out] == [(2, n, 12) for n in (2, 3, 4, 1)]
    reach = [(0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2), (0, 1, 3)]
    for y, seen in zip(out, reach, strict=True):
        mean = torch.cat([qkv[j][2] for j in seen], dim=2).mean(2)  # [B, heads, d]
        assert torch.allclose(y, mean.flatten(1)[:, None].expand_as(y), atol=1e-6)


# What can be loaded


def test_sizes(transformer, tmp_path):
    assert architecture_of(transformer) == Architecture(channels=16, hidden=32, mlp=128, double=2, single=2)
    transformer.save_pretrained(tmp_path)
    loaded = load_transformer(str(tmp_path))
    assert architecture_of(loaded) == architecture_of(transformer) and not loaded.training
    assert Architecture(64, 3072, 12288, 19, 38) == FLUX_1


def test_schnell_is_refused(small):
    noise, _, text, pooled = small
    with torch.device("meta"):
        schnell = FluxTransformer2DModel(**{**OURS.transformer.config, "guidance_embeds": False})
    with pytest.raises(RefocusError, match=r"FLUX\.1-schnell.*load FLUX\.1-dev"):
        velocity(schnell, noise, [], text, pooled, 0.5, 1.0)


def test_a_missing_diffusers_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(RefocusError, match="diffusers is not installed"):
        load_transformer("somewhere")
