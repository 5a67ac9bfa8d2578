"""The manifest, what workflows say of it, and python -m rackfocus.weights list and check."""

import json
import re

import pytest

from rackfocus.dev.workflows.build import Flow
from rackfocus.dev.workflows.convert import NEVER
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.tests.unit.weight_entries import CONTENT, SHA, entry
from rackfocus.weights import check
from rackfocus.weights.check import FOUND, check_file, models_folder
from rackfocus.weights.cli import main
from rackfocus.weights.manifest import MANIFEST, WeightFile, model_entries, still_needed, weight_files

FIELDS = {"engine", "repository", "path", "folder", "url", "revision", "bytes", "sha256", "licence", "group"}


# No source shows a revision of these.
UNPINNED = {"tedlasai/learn2refocus", "itsmag11/AnyBokeh", "black-forest-labs/FLUX.1-Fill-dev"}


def test_every_entry_is_whole_and_points_to_what_it_says():
    for file in json.loads(MANIFEST.read_text())["files"]:
        assert file.keys() - {"place", "becomes"} == FIELDS
        start = f"https://huggingface.co/{file['repository']}/resolve/{file['revision'] or 'main'}/"
        assert file["url"] == start + file["path"]
        assert file["bytes"] is None or file["bytes"] > 0
        assert file["sha256"] is None or re.fullmatch("[0-9a-f]{64}", file["sha256"])
        assert file["revision"] is None or re.fullmatch("[0-9a-f]{40}", file["revision"])
        assert "" not in file.values()


def test_no_two_files_want_the_same_place():
    """But two engines may need one file."""
    places = {(f.folder, f.name): (f.repository, f.path, f.revision) for f in weight_files()}
    for f in weight_files():
        assert places[f.folder, f.name] == (f.repository, f.path, f.revision)
    needs = [(f.engine, f.folder, f.name) for f in weight_files()]
    assert len(needs) == len(set(needs))


def test_what_is_known_and_what_is_not():
    known = {f.path: f for f in weight_files()}
    assert known["deblurNet.safetensors"].bytes == 463703368
    assert known["t5xxl_fp8_e4m3fn.safetensors"].group == known["t5xxl_fp16.safetensors"].group is not None
    assert known["bokehNet.safetensors"].bytes is known["bokehNet.safetensors"].sha256 is None
    unet = known["checkpoint-200000/unet/diffusion_pytorch_model.safetensors"]
    assert unet.licence is None and "licence unknown" in str(unet) and "size unknown" in str(unet)


def test_the_unet_is_called_by_its_own_name_and_by_its_repositorys_layout():
    """A page's download gives a file its plain name; a clone of the repository keeps the folders."""
    (unet, _) = weight_files("learn2refocus")
    assert unet.name == "diffusion_pytorch_model.safetensors"
    (entry,) = model_entries([unet.name])
    assert entry == {"name": unet.name, "url": unet.url, "directory": "diffusion_models"}
    right = ["", "a/b/", "learn2refocus/", "learn2refocus\\"]
    assert unet.is_called(unet.name) and all(unet.is_called(folder + unet.path) for folder in right)
    assert unet.is_called(unet.path.replace("/", "\\"))
    for other in ("svd/diffusion_pytorch_model.safetensors", "unet/" + unet.name, "x" + unet.path, "none", ""):
        assert not unet.is_called(other)


def test_revisions_are_those_that_a_source_shows():
    pinned = {f.repository: f.revision for f in weight_files() if f.revision}
    assert set(pinned) == {f.repository for f in weight_files()} - UNPINNED
    for repository, revision in pinned.items():
        assert {f.revision for f in weight_files() if f.repository == repository} <= {None, revision}


def test_one_of_a_group_is_enough():
    a, b, c = (WeightFile(**entry(n, group=g)) for n, g in (("a", "g"), ("b", "g"), ("c", None)))
    assert still_needed([a, b, c], lambda f: False) == [a, c]
    assert still_needed([a, b, c], lambda f: f is b) == [c]
    assert still_needed([a, b, c], lambda f: f in (a, c)) == []


# list and check


def test_list_tells_everything(capsys):
    assert main(["list"]) == 0
    everything = capsys.readouterr().out
    for file in weight_files():
        assert file.path in everything and file.repository in everything
    assert main(["list", "depth"]) == 0
    said = capsys.readouterr().out
    for part in ("49,595,202 bytes", "cc-by-4.0", "models/refocus", "one file of the group", "not pinned"):
        assert part in said
    assert "FLUX" not in said
    assert main(["list", "learn2refocus"]) == 0
    assert "size unknown, licence unknown" in capsys.readouterr().out


@pytest.mark.parametrize(
    "make, code, said",
    [
        (lambda p: None, 1, "missing: get one.safetensors from some/repo"),
        (lambda p: p.write_bytes(CONTENT), 0, "size and sha256 right"),
        (lambda p: p.write_bytes(CONTENT[:-1]), 1, "wrong size: 20,999 bytes, but 21,000 are needed"),
        (lambda p: p.write_bytes(CONTENT + b"x"), 1, "wrong size: 21,001 bytes, but 21,000 are needed"),
        (lambda p: p.write_bytes(CONTENT[:-1] + b"x"), 1, "wrong sha256"),
    ],
)
def test_check_tells_missing_wrong_and_right(manifest, models_root, capsys, make, code, said):
    manifest(entry())
    (models_root / "loras").mkdir()
    make(models_root / "loras" / "one.safetensors")
    assert main(["check", "--models", str(models_root)]) == code
    assert said in capsys.readouterr().out


def test_a_large_file_is_hashed_piece_by_piece(models_root, monkeypatch):
    monkeypatch.setattr(check, "CHUNK", 1000)
    (models_root / "whole").write_bytes(CONTENT)
    assert check.sha256(models_root / "whole") == SHA


def test_fast_check_reads_no_hash_and_unknowns_are_not_compared(manifest, models_root, capsys):
    (models_root / "loras").mkdir()
    (models_root / "loras" / "one.safetensors").write_bytes(CONTENT[:-1] + b"x")
    manifest(entry())
    assert main(["check", "genfocus", "--models", str(models_root), "--fast"]) == 0
    assert "sha256" not in capsys.readouterr().out
    manifest(entry(bytes=None, sha256=None))
    assert main(["check", "--models", str(models_root)]) == 0
    assert "nothing to compare" in capsys.readouterr().out
    (models_root / "loras" / "one.safetensors").write_bytes(b"")
    assert main(["check", "--models", str(models_root)]) == 1


def test_a_file_counts_wherever_it_lies_below_its_folder(models_root):
    file = WeightFile(**entry())
    deep = models_root / "loras" / "flux" / "deblur"
    deep.mkdir(parents=True)
    (models_root / "loras" / "one.safetensors").write_bytes(b"torn")
    (deep / "one.safetensors").write_bytes(b"torn, too")
    assert check_file(file, models_root).path == models_root / "loras" / "one.safetensors"
    (deep / "one.safetensors").write_bytes(CONTENT)
    found = check_file(file, models_root)
    assert found.state == FOUND and found.path == deep / "one.safetensors"


def test_files_with_everyday_names_are_not_taken_for_one_another(models_root):
    file = WeightFile(**entry("vae/model.safetensors", bytes=None, sha256=None))
    assert file.name == "repo/vae/model.safetensors"
    (models_root / "loras").mkdir()
    (models_root / "loras" / "model.safetensors").write_bytes(b"another's")
    assert check_file(file, models_root).state == "missing"
    (models_root / "loras" / "vae").mkdir()
    (models_root / "loras" / "vae" / "model.safetensors").write_bytes(b"this")
    assert check_file(file, models_root).state == FOUND


def test_check_with_one_of_a_group_is_complete(manifest, models_root, capsys):
    manifest(entry("a.safetensors", group="g"), entry("b.safetensors", group="g"))
    (models_root / "loras").mkdir()
    (models_root / "loras" / "b.safetensors").write_bytes(CONTENT)
    assert main(["check", "--models", str(models_root)]) == 0
    assert "1 right, 0 wrong, 0 still needed" in capsys.readouterr().out
    (models_root / "loras" / "a.safetensors").write_bytes(b"torn")
    assert main(["check", "--models", str(models_root)]) == 1
    assert "1 right, 1 wrong, 0 still needed" in capsys.readouterr().out


def test_the_models_folder_is_found_from_the_pack(tmp_path, monkeypatch):
    (tmp_path / "ComfyUI" / "custom_nodes").mkdir(parents=True)
    (tmp_path / "ComfyUI" / "models").mkdir()
    (tmp_path / "elsewhere" / "pack").mkdir(parents=True)
    (tmp_path / "elsewhere" / "models").mkdir()  # of something else
    link = tmp_path / "ComfyUI" / "custom_nodes" / "rackfocus"
    link.symlink_to(tmp_path / "elsewhere" / "pack", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    assert models_folder(pack=link) == tmp_path / "ComfyUI" / "models"
    with pytest.raises(RefocusError, match="--models"):
        models_folder(pack=tmp_path / "elsewhere" / "pack")
    monkeypatch.chdir(tmp_path / "ComfyUI" / "custom_nodes")
    assert models_folder(pack=tmp_path / "elsewhere" / "pack") == tmp_path / "ComfyUI" / "models"
    with pytest.raises(RefocusError, match="does not exist"):
        models_folder(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("arguments", [[], ["fetch"], ["fetch", "optical"], ["check", "nothing"], ["burn"]])
def test_a_wrong_call_is_code_two(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def test_no_node_and_no_engine_can_download(root):
    code = [p.read_text() for name in ("nodes", "pipelines") for p in (root / name).rglob("*.py")]
    network = re.compile(r"huggingface_hub|weights\.fetch|weights import|urllib|requests")
    assert code and not [c for c in code if network.search(c)]


# Workflows


def test_entries_are_the_manifests(manifest):
    for file in weight_files():
        assert model_entries(["euler", file.name, 3, file.name]) == [
            {"name": file.name, "url": file.url, "directory": file.folder}
        ]
    manifest(entry(url=None))
    assert model_entries(["one.safetensors"]) == []


def test_a_built_workflow_names_its_missing_models():
    info = {
        "Loader": {
            "name": "Loader",
            "input": {"required": {"file": ["COMBO", {"options": ["a"]}]}},
            "output": [],
            "output_name": [],
            "python_module": "nodes",
        }
    }
    file = weight_files("depth")[0]
    flow = Flow(info)
    flow.node("Loader", file=file.name)
    flow.node("Loader", file="mine.safetensors")
    one, two = (n["properties"] for n in flow.to_dict()["nodes"])
    assert one["models"] == [{"name": file.name, "url": file.url, "directory": "refocus"}] and "models" not in two


def test_workflows_name_exactly_what_the_manifest_holds(root):
    for path in (root / "workflows").glob("*.json"):
        for node in json.loads(path.read_text())["nodes"]:
            values = node.get("widgets_values") or []
            offered = [] if node["mode"] == NEVER else model_entries(values)  # nothing is asked for a sleeping node
            assert node["properties"].get("models", []) == offered, f"{path.name}: {node['type']}"


def test_a_name_that_moved_in_the_manifest_would_show(manifest):
    file = weight_files("genfocus")[0]
    stale = model_entries([file.name])
    manifest(entry(file.name, url=file.url, folder="elsewhere"))
    assert model_entries([file.name]) != stale
