"""Fetching through the real huggingface_hub from a hub on this machine that breaks off in the middle."""

import hashlib
import os
import random
import re
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rackfocus.tests.unit.weight_entries import entry
from rackfocus.weights.cli import main

CONTENT = random.Random(0).randbytes(90_000)
COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """One file. While the line is bad, a download sends a third of it and one that goes on nothing.

    times: how often it is sent, one behind the other; go_on: cleared, a download stops in the middle.
    """

    protocol_version = "HTTP/1.1"

    def answer(self):
        self.server.seen.append((self.command, self.path, self.headers.get("Range")))
        if self.server.gated:
            self.send_response(403)
            self.send_header("X-Error-Code", "GatedRepo")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return b""
        start = int((re.match(r"bytes=(\d+)-", self.headers.get("Range") or "") or [0, 0])[1])
        part = CONTENT[start:]
        self.send_response(206 if start else 200)
        for name, value in (
            ("ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"'),
            ("X-Repo-Commit", COMMIT),
            ("Accept-Ranges", "bytes"),
            ("Content-Length", str(len(part) * (self.server.times if self.command == "GET" else 1))),
        ):
            self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        return part

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        part = self.answer()
        if self.server.bad_line:
            self.wfile.write(part[: len(part) // 3] if len(part) == len(CONTENT) else b"")
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
        else:
            with suppress(OSError):  # who asked may have had enough
                self.wfile.write(part[:5000])
                self.server.go_on.wait(120)
                self.wfile.write(part[5000:] + part * (self.server.times - 1))

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.seen, server.bad_line, server.gated, server.daemon_threads = [], False, False, True
    server.times, server.go_on = 1, threading.Event()
    server.go_on.set()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.socket.close()


@pytest.fixture
def fetch(hub, manifest, models_root, monkeypatch, tmp_path):
    """fetch() as python -m rackfocus.weights, with a huggingface_hub imported anew: it reads its settings only then."""
    manifest(entry(revision=COMMIT, bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest()))
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.server_address[1]}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the library's rest before it tries again
    before = loaded()
    for name in before:
        del sys.modules[name]

    def fetch():
        from huggingface_hub import constants

        constants.DOWNLOAD_CHUNK_SIZE = 10_000
        return main(["fetch", "genfocus", "--yes", "--models", str(models_root)])

    yield fetch
    for name in loaded():
        del sys.modules[name]
    sys.modules.update(before)


def loaded() -> dict:
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] == "huggingface_hub"}


def test_the_library_resumes_and_the_file_is_right(hub, fetch, models_root, capsys):
    """The first try fails, the second goes on where it stopped."""
    hub.bad_line = True
    assert fetch() == 1 and "goes on where it stopped" in capsys.readouterr().err
    hub.bad_line = False
    before = len(hub.seen)
    assert fetch() == 0
    (asked,) = {r for command, _, r in hub.seen[before:] if command == "GET"}
    assert asked == "bytes=30000-"
    assert (models_root / "loras" / "one.safetensors").read_bytes() == CONTENT
    assert {path for _, path, _ in hub.seen} == {f"/some/repo/resolve/{COMMIT}/one.safetensors"}
    assert not [p for p in models_root.rglob("*") if p.is_file() and p.parent.name != "loras"]


def test_a_gated_file_is_explained(hub, fetch, capsys):
    hub.gated = True
    assert fetch() == 1
    said = capsys.readouterr().err
    assert "some/repo is gated" in said and "hf auth login" in said


def test_without_a_network_it_says_so(hub, fetch, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch() == 1 and "check network and disk" in capsys.readouterr().err
    assert not hub.seen


def test_a_hub_that_sends_too_much_is_stopped_and_an_honest_one_is_heard_afterwards(hub, fetch, models_root, capsys):
    """The real library would write whatever comes, and look at its size afterwards."""
    hub.times = 600
    assert fetch() == 1
    assert "more than its 90,000 bytes: it was thrown away" in capsys.readouterr().err
    assert not [p for p in models_root.rglob("*") if p.is_file()]
    hub.times = 1
    assert fetch() == 0 and (models_root / "loras" / "one.safetensors").read_bytes() == CONTENT


TWICE = """
import functools, pathlib, sys
from rackfocus.weights.fetch import fetch_file
from rackfocus.weights.manifest import WeightFile
file = WeightFile("genfocus", "some/repo", "one.safetensors", "loras", None, sys.argv[2], None, None, None)
print(fetch_file(file, pathlib.Path(sys.argv[1]), functools.partial(print, flush=True)))
"""


@pytest.mark.slow
def test_two_processes_at_once_make_one_right_file(hub, fetch, models_root):
    """Without a lock both write to one part, and it came out with twice the size."""
    hub.go_on.clear()
    command = [sys.executable, "-c", TWICE, str(models_root), COMMIT]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    both = [subprocess.Popen(command, **given) for _ in range(2)]
    (waits, *_), _, _ = select.select([p.stdout for p in both], [], [], 120)
    assert "another fetch is at work" in waits.readline()
    hub.go_on.set()  # the hub holds the first one in the middle of the file until now
    said = [p.communicate(timeout=120)[0].split() for p in both]
    target = models_root / "loras" / "one.safetensors"
    assert target.read_bytes() == CONTENT and said == [[str(target)]] * 2
    assert [command for command, _, _ in hub.seen].count("GET") == 1
