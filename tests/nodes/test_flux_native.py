"""The native velocity on a stock ComfyUI FLUX of tiny random weights against the reference, branch by branch."""

import pytest
import torch

from rackfocus.dev.host.library import use_comfy

use_comfy()
from comfy.ldm.flux.layers import timestep_embedding  # noqa: E402

from rackfocus.dev.tiny import native_flux as native  # noqa: E402
from rackfocus.nodes.flux import forward  # noqa: E402
from rackfocus.nodes.flux.hook import attach as attach_to_flux  # noqa: E402
from rackfocus.nodes.flux.lora import FusedLowRank, LoraWeights, loras_on_conditions  # noqa: E402
from rackfocus.nodes.genfocus.prepare import attach  # noqa: E402
from rackfocus.pipelines.flux.tokens import Rows, position_ids  # noqa: E402
from rackfocus.pipelines.genfocus import (  # noqa: E402
    BOKEH,
    DEBLUR,
    DEBLUR_PRE,
    Condition,
    LowRank,
    architecture_of,
    generate,
    pack,
    unpack,
    velocity,
    with_aperture,
)
from rackfocus.tests.parity.golden import OURS, error  # noqa: E402


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def other(lora):
    """A second LoRA, of other ranks."""
    g = torch.Generator().manual_seed(8)

    def random(layer, rank):
        low = lora[layer]
        down, up = (rank, low.down.shape[1]), (low.up.shape[0], rank)
        return LowRank(*(torch.randn(shape, generator=g) * 0.2 for shape in (down, up)))

    return {layer: random(layer, 1 + i % 3) for i, layer in enumerate(lora)}


@pytest.fixture(scope="module")
def model(transformer):
    return native.stock_model(transformer)


@pytest.fixture
def small():
    """(noise, three condition grids, text, pooled) of 5 x 9 tokens; a batch of two that differ."""
    noise, grids, text, pooled = OURS.inputs("bokeh_small")
    grids = [*grids, grids[0].flip(1)]
    noise, text, pooled, *grids = (torch.cat([x, x.flip(1) * 0.8]) for x in (noise, text, pooled, *grids))
    return noise, grids, text, pooled


# Whole runs


def test_the_published_run(model, transformer, lora):
    """One of the published inference's own; tests/parity holds all of them."""
    name = "predeblur_small"
    noise, grids, text, pooled = OURS.inputs(name)
    patcher, settings = native.patchers([lora], transformer), OURS.settings(name)
    out = native.generate(model, DEBLUR_PRE, noise, grids, patcher, text, pooled, **settings)
    assert error(out.flatten(1, 2), OURS.tensors[f"{name}.out"]) < 1e-4


@pytest.mark.parametrize(
    ("setup", "which", "tiling", "image_guidance"),
    [
        (DEBLUR, (0,), "off", 1.0),
        (DEBLUR_PRE, (0,), "off", 1.7),
        (DEBLUR_PRE, (1, 0), "on", 1.0),
        (with_aperture(BOKEH), (0, 0, 1), "on", 1.7),
        (with_aperture(BOKEH), (0, 1, 0), "off", 1.0),
    ],
)
def test_it_is_the_reference(model, transformer, lora, other, small, setup, which, tiling, image_guidance):
    """Two frames at once, one, two and three conditions, one and two LoRAs."""
    noise, grids, text, pooled = small
    grids = grids[: len(setup.slots)]
    settings = {
        "steps": 2,
        "guidance": 2.0,
        "tiling": tiling,
        "tile": 5,
        "image_guidance": image_guidance,
        "black": [g * 0 - 0.3 for g in grids],
    }
    loras = [(lora, other)[i] for i in which]
    patchers = native.patchers([lora, other], transformer)
    expected = generate(transformer, setup, noise, grids, loras, text, pooled, **settings)
    out = native.generate(model, setup, noise, grids, [patchers[i] for i in which], text, pooled, **settings)
    assert error(out, expected) < 1e-4


def test_without_a_hook_it_is_plain_flux(model, transformer, small):
    noise, _, text, pooled = small
    out = native.velocity(model, noise, [], text, pooled, 0.6, 2.0)
    assert error(out, velocity(transformer, noise, [], text, pooled, 0.6, 2.0)) < 1e-5


def test_any_offset_and_only_those_conditions(model, transformer, lora, small):
    """For engines to come: offsets on both axes, as attached."""
    noise, grids, text, pooled = small
    clone = attach_to_flux(model, [(3, 0), (0, 32)], native.patchers([lora], transformer))
    out = native.velocity(clone, noise, grids[:2], text, pooled, 0.6, 2.0)
    given = [Condition(grids[0], lora, (3, 0)), Condition(grids[1], lora, (0, 32))]
    assert error(out, velocity(transformer, noise, given, text, pooled, 0.6, 2.0)) < 1e-4
    swapped = attach_to_flux(model, [(0, 3), (32, 0)], native.patchers([lora], transformer))
    assert error(native.velocity(swapped, noise, grids[:2], text, pooled, 0.6, 2.0), out) > 1e-3


def test_sides_of_an_odd_number_of_latents_are_kept(model, transformer, lora, small):
    noise, grids, text, pooled = small
    clone = attach(model, DEBLUR, native.patchers([lora], transformer))
    options = {"wrappers": {kind: dict(found) for kind, found in clone.wrappers.items()}}
    x, ref = unpack(noise)[..., :9, :17], unpack(grids[0])[..., :9, :17]
    t, g = torch.full((2,), 0.6), torch.full((2,), 2.0)
    given = {"ref_latents_method": "rackfocus", "transformer_options": options}
    out = model.model.diffusion_model(x, t, text, pooled, g, [ref], **given)
    assert out.shape == x.shape
    # what is missing is repeated from the other end, as the host itself does it
    padded = [torch.nn.functional.pad(a, (0, 1, 0, 1), mode="circular") for a in (x, ref)]
    expected = velocity(transformer, pack(padded[0]), [Condition(pack(padded[1]), lora)], text, pooled, 0.6, 2.0)
    assert error(out, unpack(expected)[..., :9, :17]) < 1e-4


def test_without_pooled_text_or_guidance(model, transformer, lora, small):
    """As in the host: no pooled text is zeros, no guidance is no guidance embedding for the noise."""
    noise, grids, text, pooled = small
    flux, weights = model.model.diffusion_model, [LoraWeights(lora, architecture_of(transformer))]
    condition = forward.NativeCondition(grids[0], (0, 0), 0)

    def run(pooled, guidance):
        inputs = forward.Inputs(text, pooled, torch.full((2,), 0.6), guidance, {})
        return forward.velocity(flux, weights, noise, [condition], inputs)

    g = torch.full((2,), 2.0)
    assert torch.equal(run(None, g), run(torch.zeros_like(pooled), g))
    assert error(run(pooled, None), run(pooled, g)) > 1e-3
    assert torch.equal(run(pooled, g[:1]), run(pooled, g))  # one guidance for all


# Its steps


def test_row_0_is_the_steps_and_the_others_stand_still(model, small):
    """Row 0 of vec: the step's time and guidance; each LoRA's row: time 0 and guidance 1, whatever the step."""
    flux, (noise, _, text, pooled) = model.model.diffusion_model, small
    t, g = torch.tensor([0.9, 0.2]), torch.tensor([3.5, 2.0])
    inputs = forward.Inputs(text, pooled, t, g, {})
    vec = forward._embed(flux, inputs, noise.new_zeros(2, 45, 32), 2)

    def embed(t, g):
        return (
            flux.time_in(timestep_embedding(t, 256))
            + flux.guidance_in(timestep_embedding(g, 256))
            + flux.vector_in(pooled)
        )

    assert vec.shape == (2, 3, 32)
    assert torch.allclose(vec[:, 0], embed(t, g), atol=1e-5)
    for row in (1, 2):
        assert torch.allclose(vec[:, row], embed(torch.zeros(2), torch.ones(2)), atol=1e-5)


def test_positions_follow_the_row(model, small):
    noise, grids, _, _ = small
    conditions = [
        forward.NativeCondition(grids[0], (0, 32), 0),
        forward.NativeCondition(grids[1][:, :4, :3], (-2, 1), 0),
    ]
    flux = model.model.diffusion_model
    pe = flux.pe_embedder(torch.cat(forward._ids(7, noise, conditions), 1))
    ids = [torch.zeros(7, 3), position_ids(5, 9), position_ids(5, 9, (0, 32)), position_ids(4, 3, (-2, 1))]
    assert torch.equal(pe, flux.pe_embedder(torch.cat(ids)[None].repeat(2, 1, 1)))


def test_a_fused_lora_adds_to_its_sections():
    g = torch.Generator().manual_seed(1)
    lows = [LowRank(torch.randn(r, 5, generator=g), torch.randn(n, r, generator=g)) for r, n in ((1, 3), (2, 2))]
    layer = FusedLowRank([(0, lows[0]), (4, lows[1])])
    x, y = torch.randn(2, 6, 5, generator=g), torch.randn(2, 6, 7, generator=g)
    out = y.clone()
    layer.add(x, out)
    assert torch.allclose(out[..., :3], y[..., :3] + lows[0](x), atol=1e-5)
    assert torch.equal(out[..., 3], y[..., 3])
    assert torch.allclose(out[..., 4:6], y[..., 4:6] + lows[1](x), atol=1e-5) and torch.equal(out[..., 6], y[..., 6])


@pytest.mark.parametrize(
    ("layer", "tokens", "changed"),
    [
        ("img_in", 15, {0: (4, 9), 1: (9, 15)}),  # noise 4, conditions 3 + 2 | 6
        ("double_blocks.0.img_attn.qkv", 15, {0: (4, 9), 1: (9, 15)}),
        ("double_blocks.1.img_mlp.2", 15, {0: (4, 9), 1: (9, 15)}),
        ("double_blocks.0.img_mod.lin", 3, {0: (1, 2), 1: (2, 3)}),
        ("single_blocks.1.linear1", 22, {0: (11, 16), 1: (16, 22)}),  # behind 7 of text
        ("single_blocks.0.linear2", 22, {0: (11, 16), 1: (16, 22)}),
        ("single_blocks.0.modulation.lin", 3, {0: (1, 2), 1: (2, 3)}),
    ],
)
def test_each_lora_reaches_its_conditions_alone(model, transformer, lora, other, layer, tokens, changed):
    flux, rows = model.model.diffusion_model, Rows(7, 4, (3, 2, 6), (0, 0, 1))
    weights = [LoraWeights(x, architecture_of(transformer)) for x in (lora, other)]
    linear = flux.get_submodule(layer)
    x = torch.randn(2, tokens, linear.in_features, generator=torch.Generator().manual_seed(2))
    before = linear(x)
    with loras_on_conditions(flux, weights, rows):
        during = linear(x)
    expected = before.clone()
    for index, (start, end) in changed.items():
        dict(weights[index].items())[layer].add(x[:, start:end], expected[:, start:end])
        assert not torch.allclose(expected[:, start:end], before[:, start:end])
    assert torch.equal(during, expected) and torch.equal(linear(x), before)


def test_residuals_land_on_the_noise():
    x = torch.zeros(1, 9, 2)
    control = {"input": [None, torch.ones(1, 4, 2)], "output": [torch.full((1, 2, 2), 5.0)]}
    for key, i in (("input", 0), ("input", 2), ("middle", 0), ("output", 1)):
        forward._add_residual(x, 3, 4, control, key, i)
    forward._add_residual(x, 3, 4, None, "input", 0)
    assert not x.any()
    forward._add_residual(x, 3, 4, control, "input", 1)
    assert x[0, :, 1].tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 0]
    forward._add_residual(x, 3, 4, control, "output", 0)  # shorter than the noise: its first tokens
    assert x[0, :, 0].tolist() == [0, 0, 0, 6, 6, 1, 1, 0, 0]
    forward._add_residual(x, 0, 1, control, "input", 1)  # longer: what fits
    assert x[0, :, 0].tolist() == [1, 0, 0, 6, 6, 1, 1, 0, 0]


def test_half_precision_stays_finite():
    x = torch.tensor([float("inf"), float("-inf"), float("nan"), 2.0])
    assert forward._finite(x.half()).tolist() == [65504, -65504, 0, 2]
    assert forward._finite(x).isinf().sum() == 2
