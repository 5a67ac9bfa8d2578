"""Depth Anything V2 files under their authors' names: the layout to the byte, and the same depth as transformers."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save, save_file

from rackfocus.dev.tiny import depth as tiny_depth
from rackfocus.dev.tiny.depth import original, original_layout
from rackfocus.pipelines.depth import estimate_depth, find_models, load_depth_model
from rackfocus.pipelines.depth.depth_anything import as_transformers, is_original, original_config
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.weights.manifest import weight_files

NAME = "depth_anything_v2_vits_fp16.safetensors"
# width, layers, neck, head
SIZES = {
    "vits": (384, 12, (48, 96, 192, 384), 64),
    "vitb": (768, 12, (96, 192, 384, 768), 128),
    "vitl": (1024, 24, (256, 512, 1024, 1024), 256),
}

# The encoder layers, counted from 1, that the authors' second version hands to its head.
TAPPED = {"vits": [3, 6, 9, 12], "vitb": [3, 6, 9, 12], "vitl": [5, 12, 18, 24]}


def file_size(shapes) -> int:
    """Bytes of a safetensors file of these tensors in 16 bits: length, header padded to 8, data."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(shapes):
        end = at + 2 * torch.Size(shapes[name]).numel()
        header[name] = {"dtype": "F16", "shape": list(shapes[name]), "data_offsets": [at, end]}
        at = end
    return 8 + -(-len(json.dumps(header, separators=(",", ":"))) // 8) * 8 + at


def model_of(config):
    from transformers import AutoConfig, AutoModelForDepthEstimation

    return AutoModelForDepthEstimation.from_config(
        AutoConfig.for_model(**{k: v for k, v in config.items() if k != "architectures"})
    )


@pytest.mark.parametrize("size", SIZES)
def test_public_files_map_to_the_byte_and_every_tensor_is_used(size):
    """Full size, without weights: the layout makes a file of exactly the public one's size, and fits transformers."""
    shapes = original_layout(*SIZES[size])
    public = next(f for f in weight_files("depth") if size in f.path)
    assert file_size(shapes) == public.bytes
    state = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    config = original_config(state, public.path)
    assert config["backbone_config"]["out_indices"] == TAPPED[size]
    with torch.device("meta"):
        wanted = model_of(config).state_dict()
    got = as_transformers(state, set(wanted))
    assert got.keys() == wanted.keys() and all(got[k].shape == wanted[k].shape for k in wanted)


def test_the_byte_count_is_safetensors_own():
    shapes = {"b.weight": (3, 5), "a": (7,)}
    assert file_size(shapes) == len(save({n: torch.zeros(s).half() for n, s in shapes.items()}, {"format": "pt"}))


@pytest.fixture
def file(tmp_path):
    save_file(original(), tmp_path / NAME)
    return tmp_path / NAME


def small(model):
    return replace(model, pixels=replace(model.pixels, size=(70, 70)))


def picture():
    return torch.rand(1, 40, 52, 3, generator=torch.Generator().manual_seed(1))


def test_a_file_gives_the_depth_of_the_folder_with_the_same_weights(file, tmp_path):
    """The folder's weights are copied by hand, tensor by tensor in the order both models run."""
    from transformers import DPTImageProcessor

    state = original()
    net = model_of(original_config(state, NAME))
    for number, block in enumerate(net.backbone.encoder.layer):
        p = f"pretrained.blocks.{number}."
        linears = [m for m in block.attention.modules() if isinstance(m, torch.nn.Linear)]  # query, key, value, out
        for i, m in enumerate(linears[:3]):
            m.weight.data, m.bias.data = (state[f"{p}attn.qkv.{w}"][64 * i : 64 * (i + 1)] for w in ("weight", "bias"))
        copy(linears[3], state, p + "attn.proj")
        for name in ("norm1", "norm2"):
            copy(getattr(block, name), state, p + name)
        copy(block.mlp.fc1, state, p + "mlp.fc1")
        copy(block.mlp.fc2, state, p + "mlp.fc2")
        for scale, name in ((block.layer_scale1, "ls1"), (block.layer_scale2, "ls2")):
            scale.lambda1.data = state[f"{p}{name}.gamma"]
    embed = net.backbone.embeddings
    embed.cls_token.data, embed.position_embeddings.data = state["pretrained.cls_token"], state["pretrained.pos_embed"]
    embed.mask_token.data = state["pretrained.mask_token"]
    copy(embed.patch_embeddings.projection, state, "pretrained.patch_embed.proj")
    copy(net.backbone.layernorm, state, "pretrained.norm")
    for i in range(4):
        stage, fusion = net.neck.reassemble_stage.layers[i], net.neck.fusion_stage.layers[3 - i]
        copy(stage.projection, state, f"depth_head.projects.{i}")
        if i != 2:
            copy(stage.resize, state, f"depth_head.resize_layers.{i}")
        net.neck.convs[i].weight.data = state[f"depth_head.scratch.layer{i + 1}_rn.weight"]
        p = f"depth_head.scratch.refinenet{i + 1}"
        copy(fusion.projection, state, p + ".out_conv")
        for n, unit in ((1, fusion.residual_layer1), (2, fusion.residual_layer2)):
            copy(unit.convolution1, state, f"{p}.resConfUnit{n}.conv1")
            copy(unit.convolution2, state, f"{p}.resConfUnit{n}.conv2")
    for conv, name in ((net.head.conv1, "1"), (net.head.conv2, "2.0"), (net.head.conv3, "2.2")):
        copy(conv, state, "depth_head.scratch.output_conv" + name)
    folder = tmp_path / "folder"
    net.save_pretrained(folder)
    DPTImageProcessor(**tiny_depth.MODELS["anything"][2]).save_pretrained(folder)
    theirs = estimate_depth(load_depth_model(str(folder)), picture())
    ours = estimate_depth(small(load_depth_model(str(file))), picture())
    assert ours.kind == theirs.kind == "disparity" and ours.depth.std() > 0.01
    assert torch.equal(ours.depth, theirs.depth)


def copy(module, state, name):
    assert module.weight.shape == state[name + ".weight"].shape
    module.weight.data, module.bias.data = state[name + ".weight"], state[name + ".bias"]


def test_it_is_found_by_its_header_alone(file, tmp_path):
    assert is_original(str(file)) and not is_original(str(tmp_path / "none.safetensors"))
    assert list(find_models([NAME], lambda n: str(tmp_path / n))) == [NAME]


@pytest.mark.parametrize("word, metres", [("hypersim", 20), ("vkitti", 80)])
def test_metric_files_are_told_by_their_name(tmp_path, word, metres):
    path = tmp_path / f"depth_anything_v2_metric_{word}_vits_fp32.safetensors"
    save_file(original(), path)
    model = small(load_depth_model(str(path)))
    made = estimate_depth(model, picture())
    assert made.kind == "metres" and 0 < float(made.depth.min()) and float(made.depth.max()) <= metres
    assert model.net.config.max_depth == metres


def test_half_precision_files_run_in_full(tmp_path):
    save_file({k: v.half() for k, v in original().items()}, tmp_path / NAME)
    model = load_depth_model(str(tmp_path / NAME))
    assert {p.dtype for p in model.net.parameters()} == {torch.float32}


def cut(state):
    del state["pretrained.norm.bias"]


def torn(state):
    del state["depth_head.scratch.layer1_rn.weight"]


def shallow(state):
    for name in [n for n in state if n.startswith("pretrained.blocks.11.")]:
        del state[name]


def widened(state):
    state["depth_head.scratch.output_conv1.bias"] = torch.zeros(9)


def added(state):
    state["depth_head.extra"] = torch.zeros(1)


@pytest.mark.parametrize(
    "spoil, name, said",
    [
        (cut, NAME, r"missing \(backbone\.layernorm\.bias\)"),
        (torn, NAME, "lacks tensors"),
        (shallow, NAME, "11 encoder layers"),
        (widened, NAME, r"of another shape \(head\.conv1\.bias\)"),
        (added, NAME, r"unknown \(depth_head\.extra\)"),
        (lambda s: None, "my_metric.safetensors", "how far it reaches"),
    ],
)
def test_an_unusable_file_is_one_sentence(tmp_path, spoil, name, said):
    state = original()
    spoil(state)
    save_file(state, tmp_path / name)
    with pytest.raises(RefocusError, match=said) as error:
        load_depth_model(str(tmp_path / name))
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize("shape", [(4, 384), ()], ids=["4 rows", "no axes"])
def test_a_joint_tensor_that_cannot_be_divided_keeps_its_name(shape):
    """What checks the file against the model then tells it."""
    name = "pretrained.blocks.0.attn.qkv.weight"
    state = {n: torch.empty(s, device="meta") for n, s in original_layout(*SIZES["vits"]).items()}
    with torch.device("meta"):
        wanted = set(model_of(original_config(state, "file")).state_dict())
    assert name not in as_transformers(state, wanted)
    assert set(as_transformers({name: torch.empty(shape)}, wanted)) == {name}
