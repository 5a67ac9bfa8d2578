"""LoRA files that adapt any layers of FLUX.1, with alpha in one of the places where trainers put it."""

import json

import pytest
import torch
from safetensors.torch import save_file

from rackfocus.pipelines.flux.lora_file import read_any_lora

LAYERS = {"proj_out": (6, 5), "transformer_blocks.0.attn.to_q": (6, 6), "transformer_blocks.0.attn.add_q_proj": (6, 6)}


def tensors(rank=4, layers=LAYERS):
    g = torch.Generator().manual_seed(3)
    found = {}
    for name, (n_in, n_out) in layers.items():
        found[f"transformer.{name}.lora_A.weight"] = torch.randn(rank, n_in, generator=g)
        found[f"transformer.{name}.lora_B.weight"] = torch.randn(n_out, rank, generator=g)
    return found


def saved(folder, given, **told):
    metadata = {"format": "pt"}
    if told:
        metadata["lora_adapter_metadata"] = json.dumps({f"transformer.{k}": v for k, v in told.items()})
    save_file(given, folder / "any.safetensors", metadata)
    return folder / "any.safetensors"


def scales(lora, given):
    """{layer: how much larger `up` is than in the file}."""
    return {name: float((low.up / given[f"transformer.{name}.lora_B.weight"]).mean()) for name, low in lora.items()}


def test_without_alpha_the_weights_are_those_of_the_file(tmp_path):
    given = tensors()
    lora = read_any_lora(saved(tmp_path, given), LAYERS)
    assert set(lora) == set(LAYERS)
    for name, low in lora.items():
        assert torch.equal(low.down, given[f"transformer.{name}.lora_A.weight"])
        assert torch.equal(low.up, given[f"transformer.{name}.lora_B.weight"])


def test_some_layers_alone_are_enough(tmp_path):
    some = {"proj_out": LAYERS["proj_out"]}
    assert set(read_any_lora(saved(tmp_path, tensors(layers=some)), LAYERS)) == {"proj_out"}


def test_alpha_of_the_metadata(tmp_path):
    """alpha / r, with the rank of the tensors; a pattern names layers by their end; sqrt(r) where it says so."""
    given = tensors(rank=4)
    path = saved(tmp_path, given, r=4, lora_alpha=8, alpha_pattern={"to_q": 1.0}, rank_pattern={})
    found = scales(read_any_lora(path, LAYERS), given)
    expected = {"proj_out": 2.0, "transformer_blocks.0.attn.to_q": 0.25, "transformer_blocks.0.attn.add_q_proj": 2.0}
    assert found == pytest.approx(expected)
    path = saved(tmp_path, given, r=4, lora_alpha=8, use_rslora=True)
    assert list(scales(read_any_lora(path, LAYERS), given).values()) == pytest.approx([4.0] * 3)


def test_alpha_as_a_tensor(tmp_path):
    given = tensors(rank=4)
    path = saved(tmp_path, {**given, "transformer.proj_out.alpha": torch.tensor(6.0)})
    assert scales(read_any_lora(path, LAYERS), given)["proj_out"] == pytest.approx(1.5)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"transformer.other.lora_A.weight": torch.zeros(4, 6)}, "any.safetensors has in excess 1 tensor"),
        ({"transformer.proj_out.lora_A.weight": None}, "any.safetensors lacks 1 tensor"),
        ({"transformer.proj_out.lora_A.weight": torch.zeros(4, 7)}, "in the wrong shape 1 layer"),
        ({"transformer.proj_out.lora_B.weight": torch.full((5, 4), torch.nan)}, "values that are not numbers"),
        ({"transformer.proj_out.alpha": torch.zeros(2)}, "an alpha of several numbers"),
    ],
)
def test_what_is_no_lora_for_it(tmp_path, changed, said):
    given = {k: v for k, v in {**tensors(), **changed}.items() if v is not None}
    with pytest.raises(ValueError, match=said):
        read_any_lora(saved(tmp_path, given), LAYERS)


def test_a_file_of_another_model(tmp_path):
    save_file({"lora_unet_down_blocks.weight": torch.zeros(2)}, tmp_path / "sd.safetensors")
    with pytest.raises(ValueError, match=r"sd.safetensors has no layer of this FLUX.1 .* choose the right one"):
        read_any_lora(tmp_path / "sd.safetensors", LAYERS, choose="the right one")


@pytest.mark.parametrize("told", ['{"transformer.lora_alpha": "x"}', "[1]", "{", '{"transformer.lora_alpha": NaN}'])
def test_an_alpha_that_cannot_be_read(tmp_path, told):
    save_file(tensors(), tmp_path / "any.safetensors", {"lora_adapter_metadata": told})
    with pytest.raises(ValueError, match="lora_adapter_metadata"):
        read_any_lora(tmp_path / "any.safetensors", LAYERS)
