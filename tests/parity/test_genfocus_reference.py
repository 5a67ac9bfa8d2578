"""The explicit reference against the published inference, and the public files' layout."""

import json
import struct

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import save_file

from rackfocus.pipelines.flux.sampling import sigmas
from rackfocus.pipelines.genfocus import (
    BOKEH,
    DEBLUR,
    DEBLUR_PRE,
    FLUX_1,
    Condition,
    architecture_of,
    generate,
    read_lora,
    velocity,
)
from rackfocus.tests.parity.golden import GIVEN, TOLERANCE, error


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
