"""python -m rackfocus.weights fetch, with a hub that lives in memory."""

import io
import re
import shutil
import sys
import types

import huggingface_hub
import pytest
from huggingface_hub import utils as hub_errors

from rackfocus.tests.unit.weight_entries import CONTENT, SHA, entry
from rackfocus.weights.cli import main
from rackfocus.weights.fetch import WAITING_ROOM


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


def fetch(models_root, *arguments):
    return main(["fetch", "genfocus", "--models", str(models_root), *arguments])


def hub_error(kind):
    """One of huggingface_hub's errors, whatever its version wants to be told."""
    error = kind.__new__(kind)
    error.args = ("said the hub",)
    return error


def test_fetch_shows_the_licence_asks_and_puts_a_right_file_in_its_place(
    manifest, models_root, hub, monkeypatch, capsys
):
    manifest(entry(revision="a" * 40))
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    assert fetch(models_root) == 0
    said = capsys.readouterr().out
    assert "Apache-2.0" in said and "21,000 bytes" in said and "models/loras" in said
    assert hub.calls == [f"https://huggingface.co/some/repo/resolve/{'a' * 40}/one.safetensors"]
    assert [p for p in models_root.rglob("*") if p.is_file()] == [models_root / "loras" / "one.safetensors"]
    assert not (models_root / WAITING_ROOM).exists()
    assert main(["check", "--models", str(models_root)]) == 0


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_nothing_is_fetched_without_agreement(manifest, models_root, hub, monkeypatch, capsys, answer):
    manifest(entry())
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    assert fetch(models_root) == 2
    assert not hub.calls and "--yes" in capsys.readouterr().err


def test_what_is_here_is_not_fetched_again(manifest, models_root, hub, capsys):
    manifest(entry("a.safetensors", group="g"), entry("b.safetensors", group="g"), entry())
    for _ in range(2):
        assert fetch(models_root, "--yes") == 0
    assert [c.split("/")[-1] for c in hub.calls] == ["a.safetensors", "one.safetensors"]
    assert "nothing to fetch" in capsys.readouterr().out
    assert fetch(models_root, "--yes", "--only", "b.safetensors") == 0
    assert hub.calls[-1].endswith("/main/b.safetensors") and len(hub.calls) == 3


def test_only_names_a_file_of_the_engine(manifest, models_root, hub, capsys):
    manifest(entry())
    assert fetch(models_root, "--yes", "--only", "two.safetensors") == 1
    assert "no file two.safetensors" in capsys.readouterr().err and not hub.calls


def test_a_broken_download_goes_on_where_it_stopped(manifest, models_root, hub, capsys):
    manifest(entry())
    hub.stops_after = 7000
    assert fetch(models_root, "--yes") == 1
    said = capsys.readouterr().err
    assert "goes on where it stopped" in said and "the line is dead" in said
    assert not (models_root / "loras" / "one.safetensors").exists()
    assert fetch(models_root, "--yes") == 0
    assert hub.resumed == [0, 7000] and (models_root / "loras" / "one.safetensors").read_bytes() == CONTENT


def test_ctrl_c_keeps_what_has_come(manifest, models_root, hub, capsys):
    manifest(entry())
    hub.error["one.safetensors"] = KeyboardInterrupt()
    assert fetch(models_root, "--yes") == 1
    assert "fetch again to go on" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content, said", [(CONTENT[:-1], "20,999 bytes"), (CONTENT[:-1] + b"x", "sha256"), (b"", "0 bytes")]
)
def test_a_wrong_file_never_gets_a_place(manifest, models_root, hub, capsys, content, said):
    manifest(entry())
    hub.content, hub.offer = content, {"size": None}
    assert fetch(models_root, "--yes") == 1
    error = capsys.readouterr().err
    assert said in error and "thrown away" in error
    assert not [p for p in models_root.rglob("*") if p.is_file()]
    hub.content = CONTENT
    assert fetch(models_root, "--yes") == 0


def test_unknown_size_and_hash_are_not_compared(manifest, models_root, hub):
    manifest(entry(bytes=None, sha256=None, licence=None))
    hub.content = b"whatever it is"
    assert fetch(models_root, "--yes") == 0


def test_a_wrong_file_in_the_place_is_not_overwritten(manifest, models_root, hub, capsys):
    manifest(entry())
    (models_root / "loras").mkdir()
    (models_root / "loras" / "one.safetensors").write_bytes(b"mine")
    assert fetch(models_root, "--yes") == 1
    assert "move it away" in capsys.readouterr().err and not hub.calls
    assert (models_root / "loras" / "one.safetensors").read_bytes() == b"mine"


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
def test_what_the_hub_refuses_is_one_sentence(manifest, models_root, hub, capsys, kind, said):
    manifest(entry())
    hub.error["one.safetensors"] = hub_error(kind)
    assert fetch(models_root, "--yes") == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and re.search(said, lines[0]) and "Traceback" not in lines[0]


def test_one_refusal_does_not_stop_the_others(manifest, models_root, hub):
    manifest(entry("gated.safetensors"), entry())
    hub.error["gated.safetensors"] = hub_error(hub_errors.GatedRepoError)
    assert fetch(models_root, "--yes") == 1
    assert (models_root / "loras" / "one.safetensors").exists()


@pytest.mark.parametrize("offer", [{"size": 5}, {"etag": "a" * 64}])
def test_a_changed_source_is_refused_before_anything_comes(manifest, models_root, hub, capsys, offer):
    manifest(entry())
    hub.offer = offer
    assert fetch(models_root, "--yes") == 1
    assert "nothing was fetched" in capsys.readouterr().err and not hub.resumed


def test_the_hubs_own_hash_serves_where_the_manifest_has_none(manifest, models_root, hub, capsys):
    manifest(entry(bytes=None, sha256=None))
    hub.offer = {"etag": "a" * 64}
    assert fetch(models_root, "--yes") == 1
    assert "something else than the hub says" in capsys.readouterr().err
    hub.offer = {"etag": SHA}
    assert fetch(models_root, "--yes") == 0


def test_parts_of_two_versions_are_never_joined(manifest, models_root, hub):
    manifest(entry(bytes=None, sha256=None))
    hub.stops_after, hub.offer = 7000, {"etag": "b" * 40}
    assert fetch(models_root, "--yes") == 1
    hub.content, hub.offer = b"a new version", {"etag": "c" * 40}
    assert fetch(models_root, "--yes") == 0
    assert hub.resumed == [0, 0] and (models_root / "loras" / "one.safetensors").read_bytes() == b"a new version"


def test_a_full_disk_is_told_before_it_is_filled(manifest, models_root, hub, capsys):
    manifest(entry(bytes=None))
    hub.offer = {"size": 10**18}
    assert fetch(models_root, "--yes") == 1
    assert "make room" in capsys.readouterr().err and not hub.resumed


def test_what_has_come_needs_no_room(manifest, models_root, hub, monkeypatch, capsys):
    manifest(entry())
    hub.stops_after = 7000
    assert fetch(models_root, "--yes") == 1
    for free, code in ((len(CONTENT) - 7001, 1), (len(CONTENT) - 7000, 0)):
        monkeypatch.setattr(shutil, "disk_usage", lambda folder, free=free: types.SimpleNamespace(free=free))
        assert fetch(models_root, "--yes") == code
    assert "needs 14,000 bytes more" in capsys.readouterr().err
