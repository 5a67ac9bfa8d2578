"""Depth models whose files do not agree: refused before anything is built, and whole ones in every form."""

import json
import os
import re
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from rackfocus.dev.tiny import depth as tiny_depth
from rackfocus.pipelines.depth import estimate_depth, find_models, load, load_depth_model, sizes
from rackfocus.pipelines.depth.pixels import LARGEST, pixels_of
from rackfocus.pipelines.files import read_header
from rackfocus.pipelines.image.checks import RefocusError

PICTURE = torch.rand(1, 20, 28, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return {name: tiny_depth.save(name, tmp_path_factory.mktemp("whole") / name) for name in ("anything", "dpt", "pro")}


@pytest.fixture
def changed(whole, tmp_path):
    """changed(name, **config) -> a copy of a whole folder; dotted keys are those inside, None takes a key away."""

    def make(name, file="config.json", **config):
        folder = tmp_path / name
        shutil.copytree(whole[name], folder)
        held = json.loads((folder / file).read_text())
        for key, value in config.items():
            holder = held
            *outer, last = key.split("__")
            for step in outer:
                holder = holder[step]
            holder[last] = value
        (folder / file).write_text(json.dumps(held))
        return folder

    return make


def refused(folder):
    with pytest.raises(RefocusError) as error:
        load_depth_model(str(folder), "mine")
    said = str(error.value)
    assert "\n" not in said and len(said) <= 400
    return said


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("dpt", {"num_hidden_layers": 1_000_000}, "1000000 layers|-65536 to 65536"),
        ("dpt", {"num_hidden_layers": 500}, "500 layers by its config.json, but its file has 142 tensors"),
        ("anything", {"backbone_config__num_hidden_layers": 400}, "400 layers"),
        ("anything", {"backbone_config__num_hidden_layers": -400}, "400 layers"),
        ("pro", {"num_fov_head_layers": 500}, "layers by its config.json"),
        ("dpt", {"hidden_size": 10**9}, "'hidden_size' in config.json of mine is 1000000000, but a number from"),
        ("dpt", {"layer_norm_eps": 1e300}, "'layer_norm_eps' in config.json of mine is 1e\\+300"),
        ("dpt", {"neck_hidden_sizes": [8] * 5000}, "has 5,000 items"),
        ("pro", {"scaled_images_ratios": [0.5, 50.0]}, "'scaled_images_ratios' in config.json of mine is 50"),
        ("anything", {"backbone": "a/b", "backbone_config": None}, "a further model, a/b"),
        ("anything", {"backbone_config": {"model_type": "timm_backbone", "backbone": "resnet18"}}, "further model"),
    ],
)
def test_a_configuration_beyond_its_file_is_refused_before_a_network_is_built(monkeypatch, changed, name, config, said):
    monkeypatch.setattr(load, "weightless", lambda config: pytest.fail("a network is built"))
    assert re.search(said, refused(changed(name, **config)))


def test_a_network_larger_than_its_file_is_refused_before_it_is_allocated(monkeypatch, changed):
    """Two layers of 65,536 x 65,536 would be 34 GB; so are the tables that a network makes of window or image sizes."""
    monkeypatch.setattr(load, "read_tensors", lambda path: pytest.fail("tensors are read"))
    folder = changed("dpt", hidden_size=65536, intermediate_size=65536)
    assert "numbers by its config.json and 87541 in its file" in refused(folder)


def test_a_table_that_a_network_makes_itself_may_be_there(whole):
    header = read_header(whole["dpt"] / "model.safetensors")
    net = torch.nn.Module()
    net.register_buffer("table", torch.empty(sizes.SPARE, device="meta"))
    sizes.check_size(net, header, "mine")
    net.register_buffer("more", torch.empty(200_000, device="meta"))
    with pytest.raises(RefocusError, match="numbers by its config"):
        sizes.check_size(net, header, "mine")


def test_single_numbers_of_a_ramp_can_be_read_without_weights():
    """GLPN of transformers 4.50 does so while it is built."""
    with torch.device("meta"), sizes._RampsOnCpu():
        assert [x.item() for x in torch.linspace(0, 1, 3)] == [0, 0.5, 1]
        assert torch.zeros(3).device.type == "meta"


def test_what_is_no_matter_of_the_network_does_not_reach_transformers():
    """A kernel or class of another repository would be fetched and run."""
    config = {"model_type": "dpt", "_attn_implementation": "some/kernel", "auto_map": {"AutoConfig": "evil.E"}}
    config |= {"hidden_size": 8, "torch_dtype": "evil", "quantization_config": {"quant_method": "x"}, "id2label": {}}
    inner = {"model_type": "dinov2", "attn_implementation": "some/kernel", "num_labels": 10**9, "depths": [1, 1]}
    header = {str(i): None for i in range(9)}
    assert sizes.plain_config({**config, "backbone_config": inner}, header, "mine") == {
        "model_type": "dpt",
        "hidden_size": 8,
        "backbone_config": {"model_type": "dinov2", "depths": [1, 1]},
    }


@pytest.mark.parametrize("name", ["dpt", "pro"])
def test_labels_and_dtypes_of_published_folders_are_no_hindrance(whole, changed, name):
    folder = changed(name, id2label={str(i): "x" for i in range(2000)}, torch_dtype="float16", dtype="float16")
    a, b = (estimate_depth(load_depth_model(str(f)), PICTURE).depth for f in (whole[name], folder))
    assert torch.equal(a, b)


@pytest.mark.parametrize("architectures", [5, "DPTForDepthEstimation", {"a": 1}, [None], None])
def test_any_architectures_can_be_listed(changed, architectures):
    folder = changed("dpt", architectures=architectures)
    files = [str(p.relative_to(folder.parent)) for p in folder.rglob("*")]
    assert find_models(files, lambda name: str(folder.parent / name)) == {}
    assert "no config.json of a depth model" in refused(folder)


@pytest.mark.skipif(os.name == "nt", reason="pipes are made otherwise there")
@pytest.mark.parametrize("place", ["dpt/config.json", "dpt/preprocessor_config.json", "dpt/model.safetensors", "x"])
def test_a_pipe_stops_neither_the_list_nor_the_loader(changed, tmp_path, place):
    folder, pipe = changed("dpt"), tmp_path / (place if "/" in place else "one.safetensors")
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    files = [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")]
    listed = find_models(files, lambda name: str(tmp_path / name))
    assert set(listed) == (set() if place == "dpt/config.json" else {"dpt"})
    assert "is a pipe" in refused(folder if "/" in place else pipe)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"size": "384"}, "size in preprocessor_config.json of mine is '384'"),
        ({"size": {"height": 384}}, "size in preprocessor_config.json of mine is 'missing'"),
        ({"size": {"height": LARGEST + 1, "width": 3}}, f"is {LARGEST + 1}, but a whole number from 1 to {LARGEST}"),
        ({"size": [384, 384, 3]}, "has 3 numbers, but height and width"),
        ({"size": True}, "size in .* is 'True'"),
        ({"size": 0}, "size in .* is 0"),
        ({"image_mean": "0.5"}, "image_mean in .*, but 3 numbers are needed"),
        ({"image_mean": [0.5, 0.5]}, "image_mean in .*, but 3 numbers are needed"),
        ({"image_std": [0.5, "a", 0.5]}, "image_std in .* is 'a'"),
        ({"image_std": [0.5, 0, 0.5]}, "image_std in .* is 0"),
        ({"resample": [3]}, "resample in .* is a list"),
        ({"resample": 99}, "resample in .* is 99"),
        ({"ensure_multiple_of": "14"}, "multiple in .* is '14'"),
        ({"ensure_multiple_of": 1e-30}, "multiple in .* is 1e-30"),
        ({"keep_aspect_ratio": "false"}, "keep_aspect_ratio in .* is 'false', but true or false"),
        ({"do_normalize": [True]}, "do_normalize in .* is a list"),
        ({"image_processor_type": "X" * 500}, "prepares its pictures by X+\\.\\.\\., but"),
    ],
)
def test_a_processor_of_strings_and_lists_is_one_sentence(config, said):
    usual = {"image_processor_type": "DPTImageProcessor", "size": {"height": 384, "width": 384}}
    with pytest.raises(RefocusError, match=said) as error:
        pixels_of({**usual, **config}, "dpt", "mine")
    assert len(str(error.value)) <= 400 and "\n" not in str(error.value)


def test_numbers_that_count_as_whole_and_what_is_null():
    made = pixels_of(
        {"image_processor_type": "DPTImageProcessor", "size": 64.0, "image_mean": None, "ensure_multiple_of": None},
        "dpt",
        "mine",
    )
    assert made.size == (64, 64) and made.mean == (0.5, 0.5, 0.5) and made.multiple == 1


def test_a_damaged_processor_is_not_taken_for_a_missing_one(changed):
    """Depth Anything has a published one where the file is missing; a damaged file is another matter."""
    folder = changed("anything")
    (folder / "preprocessor_config.json").write_text("{")
    assert "preprocessor_config.json of anything cannot be read" in refused(folder)


def test_a_network_that_fails_on_the_picture_is_one_sentence(changed):
    model = load_depth_model(str(changed("dpt", head_in_index=99)), "mine")
    with pytest.raises(RefocusError, match=r"mine fails on a picture of 28 x 20 \(IndexError") as error:
        estimate_depth(model, PICTURE)
    assert len(str(error.value)) <= 400


def test_out_of_memory_stays_what_it_is(changed, monkeypatch):
    """The host answers it by itself."""
    model = load_depth_model(str(changed("dpt")), "mine")

    def full(**given):
        raise torch.cuda.OutOfMemoryError("no room")

    monkeypatch.setattr(model.net, "forward", full)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        estimate_depth(model, PICTURE)


def in_parts(folder, index=None):
    """model.safetensors as two files and an index."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts = {"a.safetensors": sorted(state)[::2], "b.safetensors": sorted(state)[1::2]}
    for part, names in parts.items():
        save_file({n: state[n] for n in names}, folder / part)
    found = {n: part for part, names in parts.items() for n in names}
    text = json.dumps({"weight_map": found if index is None else index})
    (folder / "model.safetensors.index.json").write_text(text)


def test_weights_in_parts_or_under_another_name_are_the_same_model(whole, changed, tmp_path):
    folder, expected = changed("dpt"), estimate_depth(load_depth_model(str(whole["dpt"])), PICTURE).depth
    in_parts(folder)
    assert torch.equal(estimate_depth(load_depth_model(str(folder)), PICTURE).depth, expected)
    other = shutil.copytree(whole["dpt"], tmp_path / "other")
    (other / "model.safetensors").rename(other / "mine.safetensors")
    assert torch.equal(estimate_depth(load_depth_model(str(other)), PICTURE).depth, expected)


@pytest.mark.parametrize("index", [{}, [], {"x": "../a.safetensors"}, {"x": ["a.safetensors"]}, {"x": "gone"}])
def test_an_index_names_files_of_its_own_folder(changed, index):
    folder = changed("dpt")
    in_parts(folder, index)
    assert "model.safetensors.index.json that names" in refused(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("pretrained.pos_embed"), "lacks tensors of a Depth Anything V2"),
        (lambda s: s.update({"pretrained.pos_embed": torch.zeros(())}), "lacks tensors"),
        (lambda s: s.update({"pretrained.pos_embed": torch.zeros(1, 0, 64)}), "lacks tensors|cannot be loaded"),
        (lambda s: s.update({"pretrained.blocks.x.norm": torch.zeros(1)}), "lacks tensors"),
        (lambda s: s.update({f"pretrained.blocks.{'9' * 400}.norm": torch.zeros(1)}), "more than 15 digits"),
        (lambda s: s.update({"pretrained.patch_embed.proj.weight": torch.zeros(64, 3, 14, 0)}), "cannot be loaded"),
        (lambda s: s.update({"extra": torch.zeros(1)}), "1 tensors that are unknown"),
        (lambda s: s.update({"pretrained.norm.bias": torch.zeros(3)}), "1 tensors that are of another shape"),
    ],
)
def test_a_file_of_the_authors_with_something_wrong_is_one_sentence(monkeypatch, tmp_path, change, said):
    monkeypatch.setattr(load, "read_tensors", lambda path: pytest.fail("tensors are read"))
    state = tiny_depth.original()
    change(state)
    save_file(state, tmp_path / "depth_anything_v2_vits.safetensors")
    assert re.search(said, refused(tmp_path / "depth_anything_v2_vits.safetensors"))


def test_a_sparse_file_of_terabytes_is_refused(tmp_path):
    """Its header agrees with its size."""
    info = {"dtype": "F32", "shape": [1 << 39], "data_offsets": [0, 1 << 41]}
    text = json.dumps({"pretrained.cls_token": info}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, 8 + len(text) + (1 << 41))
    assert "lacks tensors" in refused(path)
    with pytest.raises(RefocusError, match="549755813888 in its file, but these must agree"):
        sizes.check_size(torch.nn.Linear(1, 1), read_header(path), "mine")
