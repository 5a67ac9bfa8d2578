"""Fetching through the real huggingface_hub from a hub on this machine that breaks off in the middle."""

import hashlib
import json
import os
import random
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

CONTENT = random.Random(0).randbytes(90_000)
COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """One file. While the line is bad, a download sends a third of it and one that goes on nothing; /mend mends it."""

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
            ("Content-Length", str(len(part))),
        ):
            self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.end_headers()
        return part

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        if self.path == "/mend":
            self.server.bad_line = False
            self.server.seen.clear()
            self.send_response(204)
            self.end_headers()
            return
        part = self.answer()
        if self.server.bad_line:
            self.wfile.write(part[: len(part) // 3] if len(part) == len(CONTENT) else b"")
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
        else:
            self.wfile.write(part)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.seen, server.bad_line, server.gated, server.daemon_threads = [], False, False, True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.socket.close()


# Small pieces, and no second's rest before the library itself tries again.
CODE = """
import sys
import time
import urllib.request
from pathlib import Path
from huggingface_hub import constants
from rackfocus.weights import manifest
constants.DOWNLOAD_CHUNK_SIZE = 10_000
time.sleep = lambda seconds: None
manifest.MANIFEST = Path(sys.argv[1])
from rackfocus.weights.__main__ import main
code = main(["fetch", "genfocus", "--yes", "--models", sys.argv[2]])
if code and "again" in sys.argv:
    urllib.request.urlopen(constants.ENDPOINT + "/mend")
    code = 10 + main(["fetch", "genfocus", "--yes", "--models", sys.argv[2]])
sys.exit(code)
"""


@pytest.fixture
def fetch(hub, tmp_path):
    """Run the command in a process of its own: the address of the hub is read when the library is imported."""
    file = {
        "engine": "genfocus",
        "repository": "some/repo",
        "path": "one.safetensors",
        "folder": "loras",
        "url": None,
        "revision": COMMIT,
        "bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "licence": "Apache-2.0",
    }
    (tmp_path / "manifest.json").write_text(json.dumps({"files": [file]}))
    (tmp_path / "models").mkdir()
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    env |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_address[1]}",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-c", CODE, str(tmp_path / "manifest.json"), str(tmp_path / "models")]
    return lambda *arguments, **more: subprocess.run(
        [*command, *arguments], env=env | more, cwd=tmp_path, capture_output=True, text=True
    )


def test_the_library_resumes_and_the_file_is_right(hub, fetch, tmp_path):
    """The first try fails, the second goes on where it stopped."""
    hub.bad_line = True
    done = fetch("again")
    assert done.returncode == 10 and "goes on where it stopped" in done.stderr, done.stderr
    (asked,) = {r for command, _, r in hub.seen if command == "GET"}
    assert asked == "bytes=30000-"
    assert (tmp_path / "models" / "loras" / "one.safetensors").read_bytes() == CONTENT
    assert {path for _, path, _ in hub.seen} == {f"/some/repo/resolve/{COMMIT}/one.safetensors"}
    assert not [p for p in (tmp_path / "models").rglob("*") if p.is_file() and p.parent.name != "loras"]


def test_a_gated_file_is_explained(hub, fetch):
    hub.gated = True
    refused = fetch()
    assert refused.returncode == 1 and "some/repo is gated" in refused.stderr and "hf auth login" in refused.stderr


def test_without_a_network_it_says_so(hub, fetch):
    refused = fetch(HF_HUB_OFFLINE="1")
    assert refused.returncode == 1 and "check network and disk" in refused.stderr
    assert not hub.seen and "Traceback" not in refused.stderr
