"""The native path on a stock ComfyUI MODEL against the published inference and the reference."""

import copy

import comfy.controlnet
import comfy.ldm.flux.layers
import comfy.model_management as mm
import comfy.ops
import comfy.patcher_extension
import comfy.sd
import pytest
import torch
from diffusers import FluxTransformer2DModel

from rackfocus.dev.tiny import native_flux as native
from rackfocus.nodes.flux import model as flux_check
from rackfocus.nodes.flux.forward import OVERRIDE
from rackfocus.nodes.flux.hook import with_conditions
from rackfocus.nodes.flux.lora import LoraWeights
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
    unpack,
    velocity,
    with_aperture,
)
from rackfocus.pipelines.image.checks import RefocusError
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


def hooks(model):
    return [m for m in model.model.diffusion_model.modules() if m._forward_hooks or m._forward_pre_hooks]


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


def style_lora(lora):
    """({module: (down, up)}, the same as a file for the host) of a LoRA that an artist might stack."""
    g = torch.Generator().manual_seed(3)
    style = {
        m: [torch.randn(shape, generator=g) * 0.3 for shape in ((3, low.down.shape[1]), (low.up.shape[0], 3))]
        for m, low in lora.items()
        if ".attn." in m or "proj_out" in m
    }
    return style, {f"transformer.{m}.lora_{ab}.weight": p[i] for m, p in style.items() for i, ab in enumerate("AB")}


def test_with_a_lora_that_the_host_stacked(model, transformer, lora, patcher, small):
    """The artist's LoRA is on all branches: it equals the reference on merged weights."""
    noise, grids, text, pooled = small
    style, file = style_lora(lora)
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
        weights = LoraWeights(lora, flux_check.require_flux(flux))
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
    style, file = style_lora(lora)
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


def test_latents_are_scaled_as_the_host_scales_them(model, patcher, small):
    """Conditions come as the VAE gives them: the model's own latent format is applied to them too."""
    noise, grids, text, pooled = small
    expected = native.generate(model, BOKEH, noise, grids, patcher, text, pooled, **RUN)
    plain = model.model.latent_format
    try:
        model.model.latent_format = native.PlainLatent()
        model.model.latent_format.scale_factor = 0.5
        out = native.generate(model, BOKEH, noise, [g * 2 for g in grids], patcher, text, pooled, **RUN)
    finally:
        model.model.latent_format = plain
    assert error(out * 0.5, expected) < 1e-6


# Nothing remains


def test_the_artists_model_is_bit_identical(model, patcher, small):
    noise, grids, text, pooled = small
    base = native.conditioning(text, pooled, 3.5)
    before, options = native.sample(model, noise, base, steps=2), copy.deepcopy(model.model_options)
    weights = {k: v.clone() for k, v in model.model.state_dict().items()}
    native.generate(model, BOKEH, noise, grids, patcher, text, pooled, **RUN)
    assert torch.equal(native.sample(model, noise, base, steps=2), before)
    assert model.model_options == options and not model.additional_models and not any(model.wrappers.values())
    assert not hooks(model)
    assert all(torch.equal(v, weights[k]) for k, v in model.model.state_dict().items())


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("how", ["cancel", "error"])
def test_also_when_a_run_stops_in_the_middle(model, patcher, lora, small, how, stacked):
    """Stopped inside the second block of the second step, with the LoRA's hooks in place; with a LoRA on the MODEL."""
    noise, grids, text, pooled = small
    base = native.conditioning(text, pooled, 3.5)
    if stacked:
        model, _ = comfy.sd.load_lora_for_models(model, None, style_lora(lora)[1], 0.8, 0)
    before, calls, during = native.sample(model, noise, base, steps=2), [], []

    def stop(args, extra):
        calls.append(1)
        if len(calls) == 2:
            during.append(len(hooks(model)))
            if how == "error":
                raise MemoryError
            mm.interrupt_current_processing()
        return extra["original_block"](args)

    watched = model.clone()
    watched.set_model_patch_replace(stop, "dit", "single_block", 0)
    with pytest.raises(MemoryError if how == "error" else mm.InterruptProcessingException):
        native.generate(watched, BOKEH, noise, grids, patcher, text, pooled, steps=3, guidance=1.0)
    assert len(calls) == 2 and during[0] == 1 + 2 * 4 + 2 * 3
    assert not hooks(model)
    assert torch.equal(native.sample(model, noise, base, steps=2), before)


def test_the_lora_is_loaded_and_freed_by_the_host(model, patcher):
    clone = attach(model, BOKEH, patcher)
    ours = clone.get_nested_additional_models()
    assert [p.model for p in ours] == [patcher[0].model]
    listed = {f"{name}.{p}" for _, _, name, _, params in patcher[0]._load_list() for p in params}
    assert listed == {name for name, _ in patcher[0].model.named_parameters()}


def test_attaching_twice_replaces(model, patcher, small):
    noise, grids, text, pooled = small
    expected = native.generate(model, BOKEH, noise, grids, patcher, text, pooled, **RUN)
    again = native.generate(attach(model, DEBLUR, patcher), BOKEH, noise, grids, patcher, text, pooled, **RUN)
    assert torch.equal(again, expected)


# Together with what else an artist puts on a model


def test_an_attention_override_is_called_inside(model, patcher, small):
    noise, grids, text, pooled = small
    expected = native.generate(model, BOKEH, noise, grids, patcher, text, pooled, **RUN)
    lengths = []

    def override(attention, q, k, v, heads, *args, **kwargs):
        lengths.append((q.shape[2], k.shape[2]))
        return attention(q, k, v, heads, *args, **kwargs)

    clone = model.clone()
    clone.model_options["transformer_options"][OVERRIDE] = override
    out = native.generate(clone, BOKEH, noise, grids, patcher, text, pooled, **RUN)
    assert torch.equal(out, expected)
    t, n = text.shape[1], 45
    assert lengths == [(t + n, t + 3 * n), (n, t + 2 * n), (n, t + 2 * n)] * 4 * 2  # blocks, steps


@pytest.mark.parametrize("when", ["before", "after"])
def test_other_wrappers_run_too(model, patcher, small, when):
    """A wrapper of another pack, put on before or after Genfocus, sees every step and may change it."""
    noise, grids, text, pooled = small
    steps = []

    def other(executor, *args, **kwargs):
        steps.append(1)
        return executor(*args, **kwargs) * 0.5

    def add(m):
        m = m.clone()
        m.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, "other", other)
        return m

    clone = attach(add(model), BOKEH, patcher) if when == "before" else add(attach(model, BOKEH, patcher))
    conditions = with_conditions(native.conditioning(text, pooled, 1.0), [unpack(g) for g in grids])
    plain = native.sample(attach(model, BOKEH, patcher), noise, conditions, steps=1)
    out = native.sample(clone, noise, conditions, steps=1)
    assert len(steps) == 1 and error(out - noise, (plain - noise) * 0.5) < 1e-5  # one Euler step from 1 to 0


def test_replaced_blocks_are_called(model, patcher, small):
    noise, grids, text, pooled = small
    expected = native.generate(model, BOKEH, noise, grids, patcher, text, pooled, **RUN)
    seen, clone = [], model.clone()
    for kind in ("double_block", "single_block"):
        for i in range(2):

            def call(args, extra, at=(kind, i)):
                options = args["transformer_options"]
                seen.append((*at, options["block_type"], options["block_index"]))
                return extra["original_block"](args)

            clone.set_model_patch_replace(call, "dit", kind, i)
    assert torch.equal(native.generate(clone, BOKEH, noise, grids, patcher, text, pooled, **RUN), expected)
    once = [(f"{kind}_block", i, kind, i) for kind in ("double", "single") for i in range(2)]
    assert seen == once * 2


class Residuals(comfy.controlnet.ControlBase):
    """A ControlNet in the conditioning that gives the same residuals at every step."""

    def __init__(self, **residuals):
        super().__init__()
        self.residuals = residuals

    def get_control(self, x, t, cond, batched_number, transformer_options):
        return self.residuals


@pytest.mark.parametrize("key", ["input", "output"])
def test_controlnet_residuals_reach_the_noise(model, patcher, transformer, small, key):
    """One residual on the last block is a change of the tokens before the final layer; tiles get their own part."""
    noise, grids, text, pooled = small
    g = torch.Generator().manual_seed(9)
    residual = torch.randn(1, 45, transformer.inner_dim, generator=g)

    def run(control, tiling):
        base = native.conditioning(text, pooled, 2.0)
        if control is not None:
            base[0][1]["control"] = Residuals(**{key: [None, control]})
        clone = attach(model, BOKEH, patcher, tiling, 5)
        return native.sample(clone, noise, with_conditions(base, [unpack(g) for g in grids]), steps=1)

    for tiling in ("off", "on"):
        assert error(run(residual, tiling), run(None, tiling)) > 0.01
        assert torch.equal(run(torch.zeros_like(residual), tiling), run(None, tiling))
    # Columns 0..3 lie in the first of the two tiles alone: a residual elsewhere in the row's last column must not
    # reach them, but untiled it does through attention ("input") or not at all ("output": after the last attention).
    last = torch.zeros(1, 5, 9, transformer.inner_dim)
    last[:, :, 8] = residual.unflatten(1, (5, 9))[:, :, 8]
    changed = (run(last.flatten(1, 2), "on") - run(None, "on")).abs().amax((0, 1, 3))
    assert changed[8] > 1e-3 and changed[:4].max() == 0


def test_previews_and_progress(model, patcher, small):
    noise, grids, text, pooled = small
    seen = []
    native.generate(
        model,
        BOKEH,
        noise,
        grids,
        patcher,
        text,
        pooled,
        steps=3,
        guidance=1.0,
        callback=lambda step, denoised, x, total: seen.append((step, total, tuple(denoised.shape))),
    )
    assert seen == [(i, 3, (1, 4, 10, 18)) for i in range(3)]


def test_batched_modulation_on_either_kind_of_host(monkeypatch):
    """Hosts since 0.17 take an int for a batch; those before need a slice; anything else is said."""

    def newer(x, mult, add, dims):
        return x * mult[:, dims[0][2] : dims[0][2] + 1]

    def broken(x, mult, add, dims):
        return x

    monkeypatch.setattr(comfy.ldm.flux.layers, "apply_mod", newer)
    assert flux_check.modulation_index()(1) == 1
    monkeypatch.setattr(comfy.ldm.flux.layers, "apply_mod", lambda x, m, a, d: x * m[:, d[0][2]])
    assert flux_check.modulation_index()(1) == slice(1, 2)
    monkeypatch.setattr(comfy.ldm.flux.layers, "apply_mod", broken)
    with pytest.raises(RefocusError, match="update Rackfocus"):
        flux_check.modulation_index()


# Refusals


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"guidance_embed": False}, r"FLUX\.1-schnell.*load FLUX\.1-dev"),
        ({"in_channels": 8}, r"takes 8 latent channels and gives 4 .*Fill"),
        ({"global_modulation": True}, r"FLUX\.2"),
        ({"vec_in_dim": None}, r"FLUX\.2"),
    ],
)
def test_other_models_are_refused(transformer, patcher, changes, said):
    model = native.stock_model(transformer, weights=False, **changes)
    with pytest.raises(RefocusError, match=said):
        attach(model, BOKEH, patcher)


def test_a_replaced_transformer_is_refused(model, patcher):
    clone = model.clone()
    clone.add_object_patch("diffusion_model", torch.nn.Linear(1, 1))
    with pytest.raises(RefocusError, match=r"the MODEL is a Linear, but Genfocus needs FLUX\.1-dev"):
        attach(clone, BOKEH, patcher)


def test_wrong_conditioning_is_refused(model, patcher, small):
    noise, grids, text, pooled = small
    base, clone = native.conditioning(text, pooled, 1.0), attach(model, BOKEH, patcher)
    latents = [unpack(g) for g in grids]
    kontext = native.conditioning(text, pooled, 1.0)
    kontext[0][1]["reference_latents"] = latents
    for wrong in (base, kontext, with_conditions(base, latents[:1])):
        with pytest.raises(RefocusError, match="connect the positive and negative outputs of GenfocusConditioning"):
            native.sample(clone, noise, wrong, steps=1)
    with pytest.raises(RefocusError, match=r"the latent is 18 x 10 and the condition 16 x 10"):
        native.sample(clone, noise, with_conditions(base, [x[..., :16] for x in latents]), steps=1)
