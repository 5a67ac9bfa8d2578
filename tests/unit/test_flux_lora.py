"""LoRA files and the layers that they adapt."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from rackfocus.pipelines.flux import lora_file
from rackfocus.pipelines.flux.architecture import FLUX_1, Architecture, Section, fused_layers
from rackfocus.pipelines.flux.lora_file import LowRank, read_lora
from rackfocus.pipelines.genfocus import read_lora as read_genfocus_lora
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.tests.parity.golden import OURS

TINY = Architecture(channels=16, hidden=32, mlp=128, double=2, single=2)
A, B = "transformer.x_embedder.lora_A.weight", "transformer.x_embedder.lora_B.weight"


@pytest.fixture
def path():
    return OURS.folder / "lora.safetensors"


@pytest.fixture
def tensors(path):
    return load_file(path)


def test_the_layers_of_flux_1():
    layers = FLUX_1.lora_layers()
    assert len(layers) == 343 == 1 + 19 * 6 + 38 * 6
    for layer, shape in {
        "x_embedder": (64, 3072),
        "transformer_blocks.18.norm1.linear": (3072, 6 * 3072),
        "transformer_blocks.0.attn.to_out.0": (3072, 3072),
        "transformer_blocks.7.ff.net.2": (12288, 3072),
        "single_transformer_blocks.37.norm.linear": (3072, 3 * 3072),
        "single_transformer_blocks.0.proj_mlp": (3072, 12288),
        "single_transformer_blocks.0.proj_out": (3072 + 12288, 3072),
        "single_transformer_blocks.5.attn.to_v": (3072, 3072),
    }.items():
        assert layers[layer] == shape, layer


def test_every_layer_has_one_place_in_the_fused_names():
    layers, fused = FLUX_1.lora_layers(), fused_layers(FLUX_1)
    assert sorted(s.layer for sections in fused.values() for s in sections) == sorted(layers)
    for sections in fused.values():
        ends = [s.start + layers[s.layer][1] for s in sections]
        assert [s.start for s in sections] == [0, *ends[:-1]]  # side by side
        assert len({layers[s.layer][0] for s in sections}) == 1  # one input


def test_the_order_inside_fused_layers():
    fused, block = fused_layers(TINY), "single_transformer_blocks.1"
    qkv = [Section(f"transformer_blocks.1.attn.to_{n}", i) for n, i in (("q", 0), ("k", 32), ("v", 64))]
    assert fused["double_blocks.1.img_attn.qkv"] == qkv
    single = [Section(f"{block}.attn.to_{n}", i) for n, i in (("q", 0), ("k", 32), ("v", 64))]
    assert fused["single_blocks.1.linear1"] == [*single, Section(f"{block}.proj_mlp", 96)]
    assert fused["single_blocks.1.linear2"] == [Section(f"{block}.proj_out", 0)]
    assert fused["single_blocks.1.modulation.lin"] == [Section(f"{block}.norm.linear", 0)]
    assert fused["double_blocks.1.img_mod.lin"] == [Section("transformer_blocks.1.norm1.linear", 0)]
    assert fused["double_blocks.1.img_attn.proj"] == [Section("transformer_blocks.1.attn.to_out.0", 0)]
    assert fused["double_blocks.1.img_mlp.2"] == [Section("transformer_blocks.1.ff.net.2", 0)]
    assert fused["img_in"] == [Section("x_embedder", 0)]


def test_low_rank():
    low = LowRank(torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[3.0], [-1.0]]))  # A [1, 3], B [2, 1]
    out = low(torch.tensor([[1.0, 1.0, 5.0], [0.0, 2.0, 0.0]]).bfloat16())
    assert out.tolist() == [[9, -3], [12, -4]] and out.dtype == torch.bfloat16


def test_a_file_and_its_tensors_are_one_lora(path, tensors):
    a, b = read_lora(path, TINY), read_lora(tensors, TINY)
    assert list(a) == list(TINY.lora_layers()) == list(b)
    for layer, low in a.items():
        assert torch.equal(low.down, tensors[f"transformer.{layer}.lora_A.weight"]), layer
        assert torch.equal(low.up, tensors[f"transformer.{layer}.lora_B.weight"]), layer
        assert torch.equal(low.down, b[layer].down) and torch.equal(low.up, b[layer].up)


def test_any_rank(tensors):
    tensors[A], tensors[B] = torch.ones(9, 16), torch.ones(32, 9)
    low = read_lora(tensors, TINY)["x_embedder"]
    assert torch.allclose(low(torch.ones(1, 2, 16)), torch.full((1, 2, 32), 9 * 16.0))


@pytest.mark.parametrize("as_file", [False, True])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop(A), rf"lacks 1 tensor \({A}\)"),
        (lambda t: [t.pop(k) for k in list(t) if ".to_q." in k], r"lacks 8 tensors .* and 5 more\)"),
        (lambda t: t.update({"transformer.x_embedder.alpha": torch.ones(())}), r"in excess 1 .*x_embedder\.alpha"),
        (
            lambda t: t.update({A: torch.ones(4, 20)}),
            r"wrong shape 1 layer .*x_embedder \(A 4 x 20, B 32 x 4, needed A r x 16, B 32 x r\)",
        ),
        (lambda t: t.update({B: torch.ones(32, 5)}), r"wrong shape 1 .*x_embedder"),
        (lambda t: t.update({B: torch.ones(31, 4)}), r"wrong shape 1 .*x_embedder"),
        (lambda t: t.update({A: torch.ones(16)}), r"wrong shape 1 .*x_embedder"),
        (lambda t: t.update({A: torch.ones(0, 16), B: torch.ones(32, 0)}), r"wrong shape 1 .*x_embedder"),
    ],
)
def test_a_wrong_file_is_refused_before_it_is_read(tensors, change, said, as_file, tmp_path, monkeypatch):
    change(tensors)
    monkeypatch.setattr(lora_file, "_by_layer", None)
    source, name = tensors, "the LoRA"
    if as_file:
        source, name = tmp_path / "shape.safetensors", r"shape\.safetensors"
        save_file(tensors, source)
    with pytest.raises(RefocusError, match=f"^{name} .*{said}") as error:
        read_lora(source, TINY)
    assert "\n" not in str(error.value)


def test_a_file_for_another_size_is_refused(path):
    with pytest.raises(RefocusError, match=r"lora\.safetensors lacks 636 tensors .* choose the file .* this engine"):
        read_lora(path, FLUX_1)
    with pytest.raises(RefocusError, match=r"choose DeblurNet's or BokehNet's file"):
        read_genfocus_lora(path, FLUX_1)


def test_not_a_file(tmp_path):
    (tmp_path / "page.safetensors").write_text("<html>not found</html>")
    with pytest.raises(RefocusError, match=r"page\.safetensors cannot be read .* choose DeblurNet"):
        read_genfocus_lora(tmp_path / "page.safetensors", TINY)
    with pytest.raises(RefocusError, match=r"none\.safetensors cannot be read"):
        read_lora(str(tmp_path / "none.safetensors"), TINY)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t[A].fill_(float("nan")), "holds values that are not numbers"),
        (lambda t: t[B].view(-1)[-1:].fill_(float("-inf")), "holds values that are not numbers"),
        (lambda t: t.update({B: t[B].to(torch.int16)}), "holds tensors of the type I16"),
    ],
)
def test_numbers_that_would_spoil_every_picture_are_refused(tensors, tmp_path, change, said):
    change(tensors)
    save_file(tensors, tmp_path / "lora.safetensors")
    with pytest.raises(RefocusError, match=rf"lora\.safetensors {said}"):
        read_lora(tmp_path / "lora.safetensors", TINY)
