"""The manifest, and python -m rackfocus.weights, with a hub that lives in a folder."""

import hashlib
import io
import json
import re
import sys
import types

import huggingface_hub
import pytest
from huggingface_hub import utils as hub_errors

from rackfocus.dev.workflows.build import Flow
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.weights import manifest as manifest_module
from rackfocus.weights.__main__ import main
from rackfocus.weights.check import FOUND, check_file, models_folder
from rackfocus.weights.fetch import WAITING_ROOM
from rackfocus.weights.manifest import MANIFEST, WeightFile, model_entries, still_needed, weight_files

FIELDS = {"engine", "repository", "path", "folder", "url", "revision", "bytes", "sha256", "licence", "group"}
CONTENT = b"weights of an engine " * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()


def entry(path="one.safetensors", **other) -> dict:
    return {
        "engine": "genfocus",
        "repository": "some/repo",
        "path": path,
        "folder": "loras",
        "url": f"https://huggingface.co/some/repo/resolve/main/{path}",
        "revision": None,
        "bytes": len(CONTENT),
        "sha256": SHA,
        "licence": "Apache-2.0",
        "group": None,
        **other,
    }


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    """write(entry, ...) puts another manifest in the place of the real one."""

    def write(*files):
        path = tmp_path / "manifest.json"
        path.write_text(json.dumps({"files": files}))
        monkeypatch.setattr(manifest_module, "MANIFEST", path)

    return write


@pytest.fixture
def models(tmp_path):
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


class Hub:
    """huggingface_hub's two steps, from memory: what is offered, and sending it.

    stops_after: bytes after which the connection breaks, once. offer: what the metadata say, if not the truth.
    """

    def __init__(self):
        self.content, self.calls, self.stops_after, self.error, self.resumed, self.offer = CONTENT, [], None, {}, [], {}

    def metadata(self, url):
        path = url.split("/")[-1]
        self.calls.append(url)
        if path in self.error:
            raise self.error[path]
        told = {"size": len(self.content), "etag": "e" * 40, "location": "https://store.example/blob"}
        return types.SimpleNamespace(**{**told, **self.offer})

    def send(self, url, out, *, resume_size, headers, expected_size):
        assert url == "https://store.example/blob" and "authorization" not in headers
        self.resumed.append(resume_size)
        if self.stops_after is not None:
            out.write(self.content[resume_size : self.stops_after])
            self.stops_after = None
            raise ConnectionError("the line is dead")
        out.write(self.content[resume_size:])


@pytest.fixture
def hub(monkeypatch):
    fake = Hub()
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", fake.metadata)
    monkeypatch.setattr(huggingface_hub.file_download, "http_get", fake.send)
    monkeypatch.setattr(hub_errors, "build_hf_headers", lambda: {"authorization": "Bearer secret"})
    return fake


def fetch(models, *arguments):
    return main(["fetch", "genfocus", "--models", str(models), *arguments])


def hub_error(kind):
    """One of huggingface_hub's errors, whatever its version wants to be told."""
    error = kind.__new__(kind)
    error.args = ("said the hub",)
    return error


# The manifest


def test_every_entry_is_whole_and_points_to_what_it_says():
    for file in json.loads(MANIFEST.read_text())["files"]:
        assert file.keys() == FIELDS
        start = f"https://huggingface.co/{file['repository']}/resolve/{file['revision'] or 'main'}/"
        assert file["url"] == start + file["path"]
        assert file["bytes"] is None or file["bytes"] > 0
        assert file["sha256"] is None or re.fullmatch("[0-9a-f]{64}", file["sha256"])
        assert file["revision"] is None or re.fullmatch("[0-9a-f]{40}", file["revision"])
        assert "" not in file.values()


def test_no_two_files_want_the_same_place():
    places = [(f.folder, f.name) for f in weight_files()]
    assert len(places) == len(set(places))


def test_what_is_known_and_what_is_not():
    known = {f.path: f for f in weight_files()}
    assert known["deblurNet.safetensors"].bytes == 463703368
    assert known["t5xxl_fp8_e4m3fn.safetensors"].group == known["t5xxl_fp16.safetensors"].group is not None
    assert known["bokehNet.safetensors"].bytes is known["bokehNet.safetensors"].sha256 is None
    unet = known["checkpoint-200000/unet/diffusion_pytorch_model.safetensors"]
    assert unet.licence is None and "licence unknown" in str(unet) and "size unknown" in str(unet)


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
        (lambda p: p.write_bytes(CONTENT[:-1] + b"x"), 1, "wrong sha256"),
    ],
)
def test_check_tells_missing_wrong_and_right(manifest, models, capsys, make, code, said):
    manifest(entry())
    (models / "loras").mkdir()
    make(models / "loras" / "one.safetensors")
    assert main(["check", "--models", str(models)]) == code
    assert said in capsys.readouterr().out


def test_fast_check_reads_no_hash_and_unknowns_are_not_compared(manifest, models, capsys):
    (models / "loras").mkdir()
    (models / "loras" / "one.safetensors").write_bytes(CONTENT[:-1] + b"x")
    manifest(entry())
    assert main(["check", "genfocus", "--models", str(models), "--fast"]) == 0
    assert "sha256" not in capsys.readouterr().out
    manifest(entry(bytes=None, sha256=None))
    assert main(["check", "--models", str(models)]) == 0
    assert "nothing to compare" in capsys.readouterr().out
    (models / "loras" / "one.safetensors").write_bytes(b"")
    assert main(["check", "--models", str(models)]) == 1


def test_a_file_counts_wherever_it_lies_below_its_folder(models):
    file = WeightFile(**entry())
    deep = models / "loras" / "flux" / "deblur"
    deep.mkdir(parents=True)
    (models / "loras" / "one.safetensors").write_bytes(b"torn")
    assert check_file(file, models).path == models / "loras" / "one.safetensors"
    (deep / "one.safetensors").write_bytes(CONTENT)
    found = check_file(file, models)
    assert found.state == FOUND and found.path == deep / "one.safetensors"


def test_files_with_everyday_names_are_not_taken_for_one_another(models):
    file = WeightFile(**entry("vae/model.safetensors", bytes=None, sha256=None))
    assert file.name == "repo/vae/model.safetensors"
    (models / "loras").mkdir()
    (models / "loras" / "model.safetensors").write_bytes(b"another's")
    assert check_file(file, models).state == "missing"
    (models / "loras" / "vae").mkdir()
    (models / "loras" / "vae" / "model.safetensors").write_bytes(b"this")
    assert check_file(file, models).state == FOUND


def test_check_with_one_of_a_group_is_complete(manifest, models, capsys):
    manifest(entry("a.safetensors", group="g"), entry("b.safetensors", group="g"))
    (models / "loras").mkdir()
    (models / "loras" / "b.safetensors").write_bytes(CONTENT)
    assert main(["check", "--models", str(models)]) == 0
    assert "1 right, 0 wrong, 0 still needed" in capsys.readouterr().out


def test_the_models_folder_is_found_from_the_pack(tmp_path, monkeypatch):
    (tmp_path / "ComfyUI" / "custom_nodes").mkdir(parents=True)
    (tmp_path / "ComfyUI" / "models").mkdir()
    (tmp_path / "elsewhere" / "pack").mkdir(parents=True)
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


# fetch


def test_fetch_shows_the_licence_asks_and_puts_a_right_file_in_its_place(manifest, models, hub, monkeypatch, capsys):
    manifest(entry(revision="a" * 40))
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    assert fetch(models) == 0
    said = capsys.readouterr().out
    assert "Apache-2.0" in said and "21,000 bytes" in said and "models/loras" in said
    assert hub.calls == [f"https://huggingface.co/some/repo/resolve/{'a' * 40}/one.safetensors"]
    assert [p for p in models.rglob("*") if p.is_file()] == [models / "loras" / "one.safetensors"]
    assert not (models / WAITING_ROOM).exists()
    assert main(["check", "--models", str(models)]) == 0


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_nothing_is_fetched_without_agreement(manifest, models, hub, monkeypatch, capsys, answer):
    manifest(entry())
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    assert fetch(models) == 2
    assert not hub.calls and "--yes" in capsys.readouterr().err


def test_what_is_here_is_not_fetched_again(manifest, models, hub, capsys):
    manifest(entry("a.safetensors", group="g"), entry("b.safetensors", group="g"), entry())
    for _ in range(2):
        assert fetch(models, "--yes") == 0
    assert [c.split("/")[-1] for c in hub.calls] == ["a.safetensors", "one.safetensors"]
    assert "nothing to fetch" in capsys.readouterr().out
    assert fetch(models, "--yes", "--only", "b.safetensors") == 0
    assert hub.calls[-1].endswith("/main/b.safetensors") and len(hub.calls) == 3


def test_only_names_a_file_of_the_engine(manifest, models, hub, capsys):
    manifest(entry())
    assert fetch(models, "--yes", "--only", "two.safetensors") == 1
    assert "no file two.safetensors" in capsys.readouterr().err and not hub.calls


def test_a_broken_download_goes_on_where_it_stopped(manifest, models, hub, capsys):
    manifest(entry())
    hub.stops_after = 7000
    assert fetch(models, "--yes") == 1
    said = capsys.readouterr().err
    assert "goes on where it stopped" in said and "the line is dead" in said
    assert not (models / "loras" / "one.safetensors").exists()
    assert fetch(models, "--yes") == 0
    assert hub.resumed == [0, 7000] and (models / "loras" / "one.safetensors").read_bytes() == CONTENT


def test_ctrl_c_keeps_what_has_come(manifest, models, hub, capsys):
    manifest(entry())
    hub.error["one.safetensors"] = KeyboardInterrupt()
    assert fetch(models, "--yes") == 1
    assert "fetch again to go on" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content, said", [(CONTENT[:-1], "20,999 bytes"), (CONTENT[:-1] + b"x", "sha256"), (b"", "0 bytes")]
)
def test_a_wrong_file_never_gets_a_place(manifest, models, hub, capsys, content, said):
    manifest(entry())
    hub.content, hub.offer = content, {"size": None}
    assert fetch(models, "--yes") == 1
    error = capsys.readouterr().err
    assert said in error and "thrown away" in error
    assert not [p for p in models.rglob("*") if p.is_file()]
    hub.content = CONTENT
    assert fetch(models, "--yes") == 0


def test_unknown_size_and_hash_are_not_compared(manifest, models, hub):
    manifest(entry(bytes=None, sha256=None, licence=None))
    hub.content = b"whatever it is"
    assert fetch(models, "--yes") == 0


def test_a_wrong_file_in_the_place_is_not_overwritten(manifest, models, hub, capsys):
    manifest(entry())
    (models / "loras").mkdir()
    (models / "loras" / "one.safetensors").write_bytes(b"mine")
    assert fetch(models, "--yes") == 1
    assert "move it away" in capsys.readouterr().err and not hub.calls
    assert (models / "loras" / "one.safetensors").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "kind, said",
    [
        (hub_errors.GatedRepoError, r"is gated: log in .*accept its licence \(Apache-2\.0\).*hf auth login"),
        (hub_errors.RepositoryNotFoundError, "does not exist or is private"),
        (hub_errors.RevisionNotFoundError, "at revision main"),
        (hub_errors.EntryNotFoundError, r"has no one\.safetensors"),
        (hub_errors.OfflineModeIsEnabled, "check network and disk"),
        (RuntimeError, "check network and disk"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(manifest, models, hub, capsys, kind, said):
    manifest(entry())
    hub.error["one.safetensors"] = hub_error(kind)
    assert fetch(models, "--yes") == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and re.search(said, lines[0]) and "Traceback" not in lines[0]


def test_one_refusal_does_not_stop_the_others(manifest, models, hub):
    manifest(entry("gated.safetensors"), entry())
    hub.error["gated.safetensors"] = hub_error(hub_errors.GatedRepoError)
    assert fetch(models, "--yes") == 1
    assert (models / "loras" / "one.safetensors").exists()


@pytest.mark.parametrize("offer", [{"size": 5}, {"etag": "a" * 64}])
def test_a_changed_source_is_refused_before_anything_comes(manifest, models, hub, capsys, offer):
    manifest(entry())
    hub.offer = offer
    assert fetch(models, "--yes") == 1
    assert "nothing was fetched" in capsys.readouterr().err and not hub.resumed


def test_the_hubs_own_hash_serves_where_the_manifest_has_none(manifest, models, hub, capsys):
    manifest(entry(bytes=None, sha256=None))
    hub.offer = {"etag": "a" * 64}
    assert fetch(models, "--yes") == 1
    assert "something else than the hub says" in capsys.readouterr().err
    hub.offer = {"etag": SHA}
    assert fetch(models, "--yes") == 0


def test_parts_of_two_versions_are_never_joined(manifest, models, hub):
    manifest(entry(bytes=None, sha256=None))
    hub.stops_after, hub.offer = 7000, {"etag": "b" * 40}
    assert fetch(models, "--yes") == 1
    hub.content, hub.offer = b"a new version", {"etag": "c" * 40}
    assert fetch(models, "--yes") == 0
    assert hub.resumed == [0, 0] and (models / "loras" / "one.safetensors").read_bytes() == b"a new version"


def test_a_full_disk_is_told_before_it_is_filled(manifest, models, hub, capsys):
    manifest(entry(bytes=None))
    hub.offer = {"size": 10**18}
    assert fetch(models, "--yes") == 1
    assert "make room" in capsys.readouterr().err and not hub.resumed


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
    flow.node("Loader", (0, 0), file=file.name)
    flow.node("Loader", (0, 100), file="mine.safetensors")
    one, two = (n["properties"] for n in flow.to_dict()["nodes"])
    assert one["models"] == [{"name": file.name, "url": file.url, "directory": "refocus"}] and "models" not in two


def test_workflows_name_exactly_what_the_manifest_holds(root):
    for path in (root / "workflows").glob("*.json"):
        for node in json.loads(path.read_text())["nodes"]:
            values = node.get("widgets_values") or []
            assert node["properties"].get("models", []) == model_entries(values), f"{path.name}: {node['type']}"


def test_a_name_that_moved_in_the_manifest_would_show(manifest):
    file = weight_files("genfocus")[0]
    stale = model_entries([file.name])
    manifest(entry(file.name, url=file.url, folder="elsewhere"))
    assert model_entries([file.name]) != stale
