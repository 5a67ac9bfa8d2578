"""The hook on a stock ComfyUI MODEL of tiny random weights: it computes the reference, and leaves nothing behind."""

import copy

import pytest
import torch

from rackfocus.dev.host.library import use_comfy

use_comfy()
import comfy.controlnet  # noqa: E402
import comfy.ldm.flux.layers  # noqa: E402
import comfy.model_management as mm  # noqa: E402
import comfy.patcher_extension  # noqa: E402
import comfy.sd  # noqa: E402

from rackfocus.dev.tiny import native_flux as native  # noqa: E402
from rackfocus.nodes import abilities  # noqa: E402
from rackfocus.nodes.flux.forward import OVERRIDE  # noqa: E402
from rackfocus.nodes.flux.hook import with_conditions  # noqa: E402
from rackfocus.nodes.genfocus.prepare import attach  # noqa: E402
from rackfocus.pipelines.genfocus import BOKEH, DEBLUR, unpack  # noqa: E402
from rackfocus.pipelines.image.checks import RefocusError  # noqa: E402
from rackfocus.tests.parity.golden import error  # noqa: E402

RUN = {"steps": 2, "guidance": 2.0}


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def model(transformer):
    return native.stock_model(transformer)


def hooks(model):
    return [m for m in model.model.diffusion_model.modules() if m._forward_hooks or m._forward_pre_hooks]


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
        model, _ = comfy.sd.load_lora_for_models(model, None, native.style_lora(lora)[1], 0.8, 0)
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
    listed = {f"{name}.{p}" for *_, name, _, params in patcher[0]._load_list() for p in params}
    assert listed == {name for name, _ in patcher[0].model.named_parameters()}


def test_attaching_twice_replaces(model, patcher, small):
    noise, grids, text, pooled = small
    expected = native.generate(model, BOKEH, noise, grids, patcher, text, pooled, **RUN)
    again = native.generate(attach(model, DEBLUR, patcher), BOKEH, noise, grids, patcher, text, pooled, **RUN)
    assert torch.equal(again, expected)
    twice = attach(attach(model, DEBLUR, patcher), BOKEH, patcher)
    assert [len(hooks) for found in twice.wrappers.values() for hooks in found.values()] == [1]


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
    assert abilities.modulation_index()(1) == 1
    monkeypatch.setattr(comfy.ldm.flux.layers, "apply_mod", lambda x, m, a, d: x * m[:, d[0][2]])
    assert abilities.modulation_index()(1) == slice(1, 2)
    monkeypatch.setattr(comfy.ldm.flux.layers, "apply_mod", broken)
    with pytest.raises(RefocusError, match="update Rackfocus"):
        abilities.modulation_index()


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
    if "2" in said and not native.HAS_FLUX2:
        pytest.skip("this ComfyUI has no FLUX.2")
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
    more = with_conditions(base, [*latents, latents[0]])
    for wrong in (base, kontext, with_conditions(base, latents[:1]), more):
        with pytest.raises(RefocusError, match="connect the positive and negative outputs of GenfocusConditioning"):
            native.sample(clone, noise, wrong, steps=1)
    with pytest.raises(RefocusError, match=r"the latent is 18 x 10 and the condition 16 x 10"):
        native.sample(clone, noise, with_conditions(base, [x[..., :16] for x in latents]), steps=1)
