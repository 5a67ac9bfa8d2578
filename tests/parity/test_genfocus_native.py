"""The native path on a stock ComfyUI MODEL against the published inference and the reference."""

import copy

import comfy.controlnet
import comfy.ldm.flux.layers
import comfy.ops
import comfy.patcher_extension
import comfy.sd
import pytest
import torch
from diffusers import FluxTransformer2DModel

from rackfocus.dev.tiny import native_flux as native
from rackfocus.nodes.flux.lora import LoraWeights
from rackfocus.nodes.flux.lora import architecture_of as sizes_of
from rackfocus.nodes.genfocus.prepare import attach
from rackfocus.pipelines.genfocus import (
    BOKEH,
    DEBLUR,
    DEBLUR_PRE,
    FLUX_1,
    Condition,
    LowRank,
    Setup,
    Slot,
    generate,
    velocity,
    with_aperture,
)
from rackfocus.tests.parity.golden import GIVEN, TOLERANCE, error

RUN = {"steps": 2, "guidance": 2.0}


@pytest.fixture(scope="module")
def model(transformer):
    return native.stock_model(transformer)


@pytest.fixture(scope="module")
def patcher(lora, transformer):
    return native.patchers([lora], transformer)


@pytest.fixture
def small(genfocus):
    """(noise, two condition grids, text, pooled) of 5 x 9 tokens."""
    return genfocus.inputs("bokeh_small")


# Against the published inference


@pytest.fixture(scope="module")
def given():
    return native.stock_model(GIVEN.transformer), native.patchers([GIVEN.lora], GIVEN.transformer)


@pytest.mark.parametrize("name", GIVEN.sampled)
def test_whole_runs(given, name):
    model, patcher = given
    noise, grids, text, pooled = GIVEN.inputs(name)
    out = native.generate(model, GIVEN.setup(name), noise, grids, patcher, text, pooled, **GIVEN.settings(name))
    assert error(out.flatten(1, 2), GIVEN.tensors[f"{name}.out"]) < TOLERANCE


@pytest.mark.parametrize("name", GIVEN.single)
def test_one_velocity(given, name):
    model, patcher = given
    case, t = GIVEN.cases[name], GIVEN.tensors
    setup = Setup(name, (Slot("condition"),) * case["conditions"], "", 3.5)
    grids = [GIVEN.grid(case, f"c{i}") for i in range(case["conditions"])]
    out = native.velocity(
        attach(model, setup, patcher),
        GIVEN.grid(case, "img"),
        grids,
        t["txt"],
        t["pooled"],
        case["timestep"],
        case["guidance_scale"],
    )
    assert error(out.flatten(1, 2), t[f"{name}.out"]) < TOLERANCE


def test_without_the_wrapper_the_model_is_plain_flux(model, transformer, small):
    noise, _, text, pooled = small
    assert (
        error(
            native.velocity(model, noise, [], text, pooled, 0.6, 2.0),
            velocity(transformer, noise, [], text, pooled, 0.6, 2.0),
        )
        < 1e-6
    )


# Against the reference


@pytest.mark.parametrize("image_guidance", [1.0, 1.7])
@pytest.mark.parametrize("tiling", ["off", "on"])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 2])
def test_equals_the_reference(model, transformer, lora, small, batch, n, tiling, image_guidance):
    noise, grids, text, pooled = small
    other = {m: LowRank(low.down.flip(0), low.up * -0.7) for m, low in lora.items()}
    setup, loras = {1: (DEBLUR, [lora]), 2: (DEBLUR_PRE, [lora]), 3: (with_aperture(BOKEH), [lora, lora, other])}[n]
    grids = [*grids, grids[0].flip(1)][:n]
    if batch == 2:
        noise, text, pooled, *grids = (torch.cat([x, x.flip(1) * 0.8]) for x in (noise, text, pooled, *grids))
    settings = {
        **RUN,
        "image_guidance": image_guidance,
        "black": [g * 0 - 0.3 for g in grids],
        "tiling": tiling,
        "tile": 5,
    }
    expected = generate(transformer, setup, noise, grids, loras, text, pooled, **settings)
    weights = native.patchers(loras[:1], transformer) if n < 3 else native.patchers([lora, other], transformer)
    weights = weights if n < 3 else [weights[0], weights[0], weights[1]]
    out = native.generate(model, setup, noise, grids, weights, text, pooled, **settings)
    assert error(out, expected) < TOLERANCE
    if tiling == "on":
        untiled = native.generate(model, setup, noise, grids, weights, text, pooled, **{**settings, "tiling": "off"})
        assert error(untiled, expected) > 10 * TOLERANCE


def test_with_float8_weights(transformer, lora, patcher, small):
    """float8 weights, computed in float32, equal the reference on the dequantised weights."""
    noise, grids, text, pooled = small
    kind = torch.float8_e4m3fn
    config = native.model_config(transformer)
    config.set_inference_dtype(kind, torch.float32)
    model = native.stock_model(transformer, config=config)
    assert model.model.diffusion_model.double_blocks[0].img_attn.qkv.weight.dtype == kind
    rounded = copy.deepcopy(transformer)
    rounded.load_state_dict({k: v.to(kind).float() for k, v in transformer.state_dict().items()})
    expected = generate(rounded, BOKEH, noise, grids, [lora], text, pooled, **RUN)
    out = native.generate(model, BOKEH, noise, grids, patcher, text, pooled, **RUN)
    assert error(out, expected) < TOLERANCE
    assert error(generate(transformer, BOKEH, noise, grids, [lora], text, pooled, **RUN), expected) > 10 * TOLERANCE


class Quantised(comfy.ops.manual_cast):
    """Linear layers as GGUF packs have them: weights of another shape and type, unpacked for each call."""

    class Linear(comfy.ops.manual_cast.Linear):
        def pack(self):
            scale = self.weight.abs().amax() / 127
            self.shape, self.scale = self.weight.shape, scale
            self.weight = torch.nn.Parameter((self.weight / scale).round().to(torch.int8).flatten(), False)

        def unpacked(self):
            return (self.weight.float() * self.scale).view(self.shape)

        def forward(self, x):
            return torch.nn.functional.linear(x, self.unpacked(), self.bias)


def test_with_gguf_style_layers(transformer, lora, patcher, small):
    noise, grids, text, pooled = small
    config = native.model_config(transformer)
    config.custom_operations = Quantised
    model = native.stock_model(transformer, config)
    for layer in model.model.diffusion_model.modules():
        if isinstance(layer, Quantised.Linear):
            layer.pack()
    unpacked = native.stock_model(transformer)
    for name, layer in model.model.diffusion_model.named_modules():
        if isinstance(layer, Quantised.Linear):
            unpacked.model.diffusion_model.get_submodule(name).weight.copy_(layer.unpacked())
    expected = native.generate(unpacked, BOKEH, noise, grids, patcher, text, pooled, **RUN)
    out = native.generate(model, BOKEH, noise, grids, patcher, text, pooled, **RUN)
    assert error(out, expected) < TOLERANCE
    assert error(generate(transformer, BOKEH, noise, grids, [lora], text, pooled, **RUN), expected) > 10 * TOLERANCE


def test_in_bfloat16(transformer, lora, small):
    """All in bfloat16: as far from the float32 result as the reference in bfloat16 is, not further."""
    noise, grids, text, pooled = (x if isinstance(x, list) else x.bfloat16() for x in small)
    grids = [g.bfloat16() for g in grids]
    half = copy.deepcopy(transformer).bfloat16()
    weights = {m: LowRank(low.down.bfloat16(), low.up.bfloat16()) for m, low in lora.items()}
    exact = velocity(transformer, small[0], [Condition(g, lora) for g in small[1]], *small[2:], 0.4, 2.0)
    reference = velocity(half, noise, [Condition(g, weights) for g in grids], text, pooled, 0.4, 2.0)
    clone = attach(native.stock_model(half), BOKEH, native.patchers([weights], transformer))
    out = native.velocity(clone, noise, grids, text, pooled, 0.4, 2.0)
    assert out.dtype == torch.bfloat16
    assert error(out, exact) < 1.3 * error(reference, exact) < 0.05


def test_with_a_lora_that_the_host_stacked(model, transformer, lora, patcher, small):
    """The artist's LoRA is on all branches: it equals the reference on merged weights."""
    noise, grids, text, pooled = small
    style, file = native.style_lora(lora)
    stacked, _ = comfy.sd.load_lora_for_models(model, None, file, 0.8, 0)
    merged = copy.deepcopy(transformer)
    for m, (down, up) in style.items():
        merged.get_submodule(m).weight += 0.8 * up @ down
    expected = generate(merged, BOKEH, noise, grids, [lora], text, pooled, **RUN)
    assert error(native.generate(stacked, BOKEH, noise, grids, patcher, text, pooled, **RUN), expected) < TOLERANCE
    assert error(generate(transformer, BOKEH, noise, grids, [lora], text, pooled, **RUN), expected) > 10 * TOLERANCE


def test_a_lora_of_any_rank(model, transformer, lora, small):
    """Also of another rank in each layer, although the host's layers fuse several of them."""
    noise, grids, text, pooled = small
    g = torch.Generator().manual_seed(8)
    mixed = {
        m: LowRank(
            torch.randn(rank, low.down.shape[1], generator=g) * 0.2,
            torch.randn(low.up.shape[0], rank, generator=g) * 0.2,
        )
        for (m, low), rank in zip(lora.items(), [1, 3, 2, 7] * len(lora), strict=False)
    }
    expected = generate(transformer, BOKEH, noise, grids, [mixed], text, pooled, **RUN)
    out = native.generate(model, BOKEH, noise, grids, native.patchers([mixed], transformer), text, pooled, **RUN)
    assert error(out, expected) < TOLERANCE
    assert error(generate(transformer, BOKEH, noise, grids, [lora], text, pooled, **RUN), expected) > 10 * TOLERANCE


def test_every_public_tensor_has_its_place_in_a_full_size_flux():
    """On the meta device: the fused layers exist, their sizes fit, and every adapted layer is in one of them."""
    with torch.device("meta"):
        big = FluxTransformer2DModel(guidance_embeds=True)
        lora = {m: LowRank(torch.empty(64, a), torch.empty(b, 64)) for m, (a, b) in FLUX_1.lora_layers().items()}
        flux = native.stock_model(big, weights=False).model.diffusion_model
        weights = LoraWeights(lora, sizes_of(flux))
    assert sum(p.numel() for p in weights.parameters()) == sum(x.numel() for m in lora.values() for x in (m.down, m.up))
    assert sum(len(layer.starts) for _, layer in weights.items()) == 343
    for name, layer in weights.items():
        linear = flux.get_submodule(name)
        ends = [start + layer.get_parameter(f"up{i}").shape[0] for i, start in enumerate(layer.starts)]
        assert layer.down.shape[1] == linear.in_features and ends[-1] == linear.out_features, name
        assert layer.starts == [0, *ends[:-1]], name


def test_with_weights_that_stay_offloaded(transformer, lora, patcher, small):
    """Low VRAM: most layers are moved, and their LoRA patches applied, for each call."""
    noise, grids, text, pooled = small
    style, file = native.style_lora(lora)
    stacked, _ = comfy.sd.load_lora_for_models(native.stock_model(transformer), None, file, 0.8, 0)
    clone = attach(stacked, BOKEH, patcher)
    clone.load(torch.device("cpu"), lowvram_model_memory=20000)
    layers = [m for m in clone.model.diffusion_model.modules() if isinstance(m, torch.nn.Linear)]
    assert sum(m.comfy_cast_weights for m in layers) > len(layers) / 2 and any(m.weight_function for m in layers)
    merged = copy.deepcopy(transformer)
    for m, (down, up) in style.items():
        merged.get_submodule(m).weight += 0.8 * up @ down
    expected = velocity(merged, noise, [Condition(g, lora) for g in grids], text, pooled, 0.4, 2.0)
    out = native.velocity(clone, noise, grids, text, pooled, 0.4, 2.0)
    clone.detach()
    assert error(out, expected) < TOLERANCE
