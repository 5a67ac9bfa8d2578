"""The explicit reference against the published inference, and what the method promises."""

import json
import struct

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file, save_file

from rackfocus.pipelines.flux.blocks import Branch, double_block, single_block
from rackfocus.pipelines.flux.sampling import sigmas
from rackfocus.pipelines.flux.tokens import position_ids
from rackfocus.pipelines.genfocus import (
    BOKEH,
    DEBLUR,
    DEBLUR_PRE,
    FLUX_1,
    Condition,
    LowRank,
    architecture_of,
    generate,
    load_transformer,
    read_lora,
    velocity,
    with_aperture,
)
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.tests.parity.golden import GIVEN, TOLERANCE, error


def plain(transformer, noise, text, pooled, t, guidance):
    """diffusers' own forward pass on a token grid."""
    b, h, w, _ = noise.shape
    return transformer(
        noise.flatten(1, 2),
        text,
        pooled,
        torch.full((b,), t),
        position_ids(h, w),
        torch.zeros(text.shape[1], 3),
        torch.full((b,), guidance),
    ).sample.unflatten(1, (h, w))


@pytest.mark.parametrize("name", GIVEN.single)
def test_one_velocity(name):
    case, tensors = GIVEN.cases[name], GIVEN.tensors
    conditions = [Condition(GIVEN.grid(case, f"c{i}"), GIVEN.lora) for i in range(case["conditions"])]
    out = velocity(
        GIVEN.transformer,
        GIVEN.grid(case, "img"),
        conditions,
        tensors["txt"],
        tensors["pooled"],
        case["timestep"],
        case["guidance_scale"],
    )
    assert error(out.flatten(1, 2), tensors[f"{name}.out"]) < TOLERANCE


@pytest.mark.parametrize("name", GIVEN.sampled)
def test_whole_runs(name):
    noise, grids, text, pooled = GIVEN.inputs(name)
    out = generate(
        GIVEN.transformer, GIVEN.setup(name), noise, grids, [GIVEN.lora], text, pooled, **GIVEN.settings(name)
    )
    assert error(out.flatten(1, 2), GIVEN.tensors[f"{name}.out"]) < TOLERANCE


def test_the_published_setups_are_those_of_the_golden_data(genfocus):
    for name, setup in (("deblur_small", DEBLUR), ("predeblur_small", DEBLUR_PRE), ("bokeh_small", BOKEH)):
        golden = genfocus.setup(name)
        assert [s.offset for s in golden.slots] == [s.offset for s in setup.slots]
        assert genfocus.cases[name]["guidance_scale"] == setup.guidance
    assert [s.signed for s in BOKEH.slots] == [True, False]


def test_sigmas_are_the_published_schedulers(genfocus):
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(**json.loads((genfocus.folder / "scheduler_config.json").read_text()))
    for steps, tokens in ((4, 48), (28, 1024), (28, 4096), (7, 9000)):
        mu = 0.5 + (tokens - 256) * (1.15 - 0.5) / (4096 - 256)
        scheduler.set_timesteps(sigmas=torch.linspace(1, 1 / steps, steps).numpy(), mu=mu)
        assert torch.allclose(sigmas(steps, tokens), scheduler.sigmas, atol=1e-6)


def test_defaults_are_the_published_settings(genfocus, transformer, lora):
    noise, grids, text, pooled = genfocus.inputs("bokeh_small")
    seen = []

    def stop(done, total):
        seen.append((done, total))
        raise KeyboardInterrupt

    for setup in (DEBLUR, DEBLUR_PRE, BOKEH):
        with pytest.raises(KeyboardInterrupt):
            generate(transformer, setup, noise, grids[: len(setup.slots)], [lora], text, pooled, progress=stop)
    assert seen == [(1, 28)] * 3
    assert [s.guidance for s in (DEBLUR, DEBLUR_PRE, BOKEH)] == [3.5, 3.5, 1.0]


def test_without_conditions_it_is_plain_flux(genfocus, transformer):
    noise, _, text, pooled = genfocus.inputs("bokeh_small")
    out = velocity(transformer, noise, [], text, pooled, 0.6, 2.0)
    assert error(out, plain(transformer, noise, text, pooled, 0.6, 2.0)) < 1e-6


def test_the_lora_touches_conditions_only(genfocus, transformer, lora):
    """A zero LoRA equals none; a large one on the conditions leaves text and noise on the base weights."""
    noise, grids, text, pooled = genfocus.inputs("bokeh_small")
    zero = {m: LowRank(low.down, torch.zeros_like(low.up)) for m, low in lora.items()}

    def run(weights):
        return velocity(transformer, noise, [Condition(g, weights) for g in grids], text, pooled, 0.6, 2.0)

    assert torch.equal(run(zero), run({}))
    assert error(run(lora), run({})) > 0.01
    branches = _branches(transformer, [noise, *grids], text, [{}, lora, lora])
    bare = _branches(transformer, [noise, *grids], text, [{}, {}, {}])
    assert all(torch.equal(branches[i].x, bare[i].x) for i in (0, 1))
    assert not torch.allclose(branches[2].x, bare[2].x)


def _branches(transformer, grids, text, loras):
    g = torch.Generator().manual_seed(5)
    temb = torch.randn(1, transformer.inner_dim, generator=g)
    rope = transformer.pos_embed(position_ids(*grids[0].shape[1:3]))
    out = [Branch(transformer.context_embedder(text), temb, transformer.pos_embed(torch.zeros(text.shape[1], 3)))]
    for grid, lora in zip(grids, loras, strict=True):
        b = Branch(grid, temb, rope, lora)
        b.x = b.linear("x_embedder", transformer.x_embedder, grid.flatten(1, 2))
        out.append(b)
    return out


@pytest.mark.parametrize("kind", ["double", "single"])
def test_a_condition_never_sees_another(genfocus, transformer, lora, kind):
    """In one block: changing condition 1 changes text and noise, and leaves condition 0 bit for bit."""
    noise, grids, text, _ = genfocus.inputs("bokeh_small")
    block, name, run = {
        "double": (transformer.transformer_blocks[0], "transformer_blocks.0", double_block),
        "single": (transformer.single_transformer_blocks[0], "single_transformer_blocks.0", single_block),
    }[kind]

    def after(second, mutual=False):
        branches = _branches(transformer, [noise, grids[0], second], text, [{}, lora, lora])
        run(block, name, branches, mutual)
        return [b.x for b in branches]

    a, b = after(grids[1]), after(grids[1] + 1)
    assert torch.equal(a[2], b[2])
    assert not torch.allclose(a[0], b[0]) and not torch.allclose(a[1], b[1])
    assert not torch.allclose(after(grids[1], True)[2], after(grids[1] + 1, True)[2])


def test_conditions_keep_their_own_time_and_guidance(genfocus, transformer, lora):
    """With attention cut to nothing new, a condition's tokens do not depend on the timestep; the noise's do."""
    noise, grids, text, pooled = genfocus.inputs("deblur_small")
    seen = {}

    def note(module, args):
        seen.setdefault(len(seen), args[0])

    handle = transformer.transformer_blocks[0].norm1.silu.register_forward_pre_hook(note)
    try:
        for t, g in ((0.9, 3.5), (0.2, 1.5)):
            velocity(transformer, noise, [Condition(grids[0], lora)], text, pooled, t, g)
    finally:
        handle.remove()
    (noise_a, condition_a), (noise_b, condition_b) = (seen[0], seen[1]), (seen[2], seen[3])
    assert torch.equal(condition_a, condition_b) and not torch.allclose(noise_a, noise_b)
    still = transformer.time_text_embed(torch.zeros(1), torch.full((1,), 1000.0), pooled)
    assert torch.allclose(condition_a, still)


def test_a_batch_is_its_pictures(genfocus, transformer, lora):
    noise, grids, text, pooled = genfocus.inputs("bokeh_small")
    two = [torch.cat([x, x.flip(1) * 0.5]) for x in (noise, *grids, text, pooled)]
    both = velocity(transformer, two[0], [Condition(g, lora) for g in two[1:3]], two[3], two[4], 0.4, 1.0)
    for i in (0, 1):
        one = [x[i : i + 1] for x in two]
        out = velocity(transformer, one[0], [Condition(g, lora) for g in one[1:3]], one[3], one[4], 0.4, 1.0)
        assert error(both[i : i + 1], out) < 1e-6


def test_a_third_condition_with_its_own_lora(genfocus, transformer, lora):
    noise, grids, text, pooled = genfocus.inputs("bokeh_small")
    setup, shape = with_aperture(BOKEH), grids[0].flip(1)
    other = {m: LowRank(low.down, -low.up) for m, low in lora.items()}

    def run(images, loras):
        return generate(transformer, setup, noise, images, loras, text, pooled, steps=1)

    own = run([*grids, shape], [lora, lora, other])
    assert error(own, run([*grids, shape], [lora])) > 1e-3
    assert error(own, run([*grids, shape * 0.5], [lora, lora, other])) > 1e-3
    with pytest.raises(RefocusError, match=r"2 condition images were given, but .* needs 3"):
        run(grids, [lora])
    with pytest.raises(RefocusError, match="2 LoRAs were given for 3"):
        run([*grids, shape], [lora, other])


def test_tiles_need_conditions_of_the_pictures_size(genfocus, transformer, lora):
    noise, grids, text, pooled = genfocus.inputs("bokeh_small")
    with pytest.raises(RefocusError, match=r"5 x 8 tokens .* 5 x 9"):
        generate(
            transformer,
            BOKEH,
            noise,
            [grids[0], grids[1][:, :, :8]],
            [lora],
            text,
            pooled,
            steps=1,
            tiling="on",
            tile=4,
        )


def test_tiles_forget_offsets_and_black_images_are_not_tiled(genfocus, transformer, lora):
    """As published: in a tile every position counts from 0; image guidance's black prediction sees the whole."""
    noise, grids, text, pooled = genfocus.inputs("bokeh_small")

    def run(setup, **settings):
        return generate(transformer, setup, noise, grids, [lora], text, pooled, steps=1, guidance=1.0, **settings)

    assert torch.equal(run(BOKEH, tiling="on", tile=4), run(DEBLUR_PRE, tiling="on", tile=4))
    assert error(run(DEBLUR_PRE, tiling="off"), run(BOKEH, tiling="off")) > 1e-3
    black = [torch.zeros_like(g) for g in grids]
    only_black = {"image_guidance": 0.0, "black": black}  # v_black + 0 * (v - v_black)
    assert torch.equal(run(BOKEH, tiling="on", tile=4, **only_black), run(BOKEH, tiling="off", **only_black))


def test_schnell_is_refused(genfocus):
    config = json.loads((genfocus.folder / "transformer_config.json").read_text(encoding="utf-8"))
    schnell = FluxTransformer2DModel(**{**config, "guidance_embeds": False})
    noise, _, text, pooled = genfocus.inputs("bokeh_small")
    with pytest.raises(RefocusError, match=r"FLUX\.1-schnell.*load FLUX\.1-dev"):
        velocity(schnell, noise, [], text, pooled, 0.5, 1.0)


def test_a_missing_diffusers_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(RefocusError, match="diffusers is not installed"):
        load_transformer("somewhere")


def test_a_transformer_from_its_folder(transformer, tmp_path):
    transformer.save_pretrained(tmp_path)
    assert architecture_of(load_transformer(str(tmp_path))) == architecture_of(transformer)


# The public file, without its weights


def public_layout():
    return {
        f"transformer.{m}.lora_{ab}.weight": shape
        for m, (n_in, n_out) in FLUX_1.lora_layers().items()
        for ab, shape in (("A", (64, n_in)), ("B", (n_out, 64)))
    }


def safetensors_size(shapes, bytes_each, dtype, metadata):
    """Bytes of the file: 8, a header in JSON padded to a multiple of 8, the data in the order of the names."""
    header, at = {"__metadata__": metadata}, 0
    for name in sorted(shapes):
        size = bytes_each * int(torch.Size(shapes[name]).numel())
        header[name] = {"dtype": dtype, "shape": list(shapes[name]), "data_offsets": [at, at + size]}
        at += size
    text = len(json.dumps(header, separators=(",", ":")))
    return 8 + -(-text // 8) * 8 + at


def test_the_public_file_to_the_byte():
    shapes = public_layout()
    assert len(shapes) == 686
    assert safetensors_size(shapes, 2, "BF16", {"format": "pt"}) == 463_703_368


def test_the_size_rule_is_the_libraries(tmp_path):
    shapes = {"b.weight": (3, 5), "a.weight": (7, 2), "c": (1,)}
    tensors = {n: torch.zeros(s, dtype=torch.bfloat16) for n, s in shapes.items()}
    save_file(tensors, tmp_path / "t.safetensors", {"format": "pt"})
    size = (tmp_path / "t.safetensors").stat().st_size
    assert size == safetensors_size(shapes, 2, "BF16", {"format": "pt"})
    raw = (tmp_path / "t.safetensors").read_bytes()
    assert struct.unpack("<Q", raw[:8])[0] + 8 + 2 * (15 + 14 + 1) == size


def test_every_public_tensor_fits_a_full_size_flux():
    with torch.device("meta"):
        flux = FluxTransformer2DModel(guidance_embeds=True)
        tensors = {n: torch.empty(s, dtype=torch.bfloat16) for n, s in public_layout().items()}
    assert architecture_of(flux) == FLUX_1
    lora = read_lora(tensors, architecture_of(flux))
    assert 2 * len(lora) == len(tensors)
    for name, low in lora.items():
        linear = flux.get_submodule(name)
        assert (low.up.shape[0], low.down.shape[1]) == (linear.out_features, linear.in_features), name
    conditions = [Condition(torch.empty(1, 4, 4, 64, device="meta"), _Counted(lora))]
    out = velocity(
        flux,
        torch.empty(1, 4, 4, 64, device="meta"),
        conditions,
        torch.empty(1, 512, 4096, device="meta"),
        torch.empty(1, 768, device="meta"),
        0.5,
        3.5,
    )
    assert out.shape == (1, 4, 4, 64)
    assert conditions[0].lora.used == set(lora)  # every tensor of the file does something


class _Counted(dict):
    """A LoRA that notes which of its layers were used."""

    def __init__(self, items):
        super().__init__(items)
        self.used = set()

    def __getitem__(self, name):
        self.used.add(name)
        return super().__getitem__(name)


# Files


@pytest.fixture
def tensors(genfocus):
    return load_file(genfocus.folder / "lora.safetensors")


A, B = "transformer.x_embedder.lora_A.weight", "transformer.x_embedder.lora_B.weight"


def test_any_rank(tensors, transformer):
    tensors[A], tensors[B] = torch.ones(9, 16), torch.ones(32, 9)
    low = read_lora(tensors, architecture_of(transformer))["x_embedder"]
    assert torch.allclose(low(torch.ones(1, 2, 16)), torch.full((1, 2, 32), 9 * 16.0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop(A), rf"lacks 1 tensor \({A}\)"),
        (lambda t: [t.pop(k) for k in list(t) if ".to_q." in k], r"lacks 8 tensors .* and 5 more\)"),
        (lambda t: t.update({"transformer.x_embedder.alpha": torch.ones(())}), r"in excess 1 .*x_embedder\.alpha"),
        (
            lambda t: t.update({A: torch.ones(4, 20)}),
            r"wrong shape 1 .*x_embedder \(A 4 x 20, B 32 x 4, needed A r x 16",
        ),
        (lambda t: t.update({B: torch.ones(32, 5)}), r"wrong shape 1 .*x_embedder"),
        (lambda t: t.update({A: torch.ones(16)}), r"wrong shape 1 .*x_embedder"),
        (lambda t: t.update({A: torch.ones(0, 16), B: torch.ones(32, 0)}), r"wrong shape 1 .*x_embedder"),
    ],
)
def test_a_wrong_file_is_refused(tensors, transformer, change, said):
    change(tensors)
    with pytest.raises(RefocusError, match=said):
        read_lora(tensors, architecture_of(transformer))


def test_a_file_for_another_size_is_refused(genfocus):
    with pytest.raises(RefocusError, match=r"lora\.safetensors lacks 636 tensors"):
        read_lora(genfocus.folder / "lora.safetensors", FLUX_1)


def test_not_a_file(tmp_path, transformer):
    (tmp_path / "page.safetensors").write_text("<html>not found</html>")
    with pytest.raises(RefocusError, match=r"page\.safetensors cannot be read"):
        read_lora(tmp_path / "page.safetensors", architecture_of(transformer))
