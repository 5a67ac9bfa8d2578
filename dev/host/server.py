"""A real ComfyUI process with the pack linked in, on a port and in folders of its own.

with Host() as host:
    run = host.client().run(prompt)
"""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from .frontend import arguments
from .paths import COMFY, HERE, HOST_PYTHON, ROOT, UserError, tail

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
# Threads that spin while they wait starve whatever else runs on a small machine.
POLITE = {"OMP_WAIT_POLICY": "passive"}
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class HostError(UserError):
    """The host did not start or stopped by itself; the text ends with the tail of its log and the log's path."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Host:
    """ComfyUI, started by `start()` or `with`, stopped by `stop()`, at the latest when this process ends.

    base: its base directory (models/ input/ output/ temp/ user/ custom_nodes/), a temporary one if None; that one is
        removed after a clean end and kept after a failure.
    pack: folder of the node pack; None starts without it. folder: its name under custom_nodes.
    port: 0 takes a free one. cpu: False leaves the device to ComfyUI. args: further options of ComfyUI's main.py.
    timeout: seconds a start may take.
    """

    def __init__(self, base=None, *, pack=ROOT, folder="rackfocus", port=0, cpu=True, args=(), timeout=180):
        self.base = Path(base) if base else None
        self.temporary = base is None
        self.pack, self.folder, self.port, self.cpu = pack, folder, port, cpu
        self.args, self.timeout = list(args), timeout
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self):
        return self.base / "host.log"

    def log_text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def client(self):
        """A new Client of this host."""
        from .client import Client

        return Client(self.url)

    def start(self):
        """Start and wait until the host answers; returns self. Raises HostError with the log's tail."""
        if not os.path.exists(os.path.join(COMFY, "main.py")) or not os.access(HOST_PYTHON, os.X_OK):
            raise HostError("ComfyUI is not set up: run `make setup`.")
        self.port = self.port or free_port()
        self._lay_out()
        command = [HOST_PYTHON, os.path.join(HERE, "comfy_main.py"), COMFY, "--base-directory", str(self.base)]
        command += ["--listen", "127.0.0.1", "--port", str(self.port), "--disable-auto-launch", "--disable-api-nodes"]
        command += ["--database-url", "sqlite:///:memory:", *(["--cpu"] if self.cpu else [])]
        command += [*arguments(), *self.args]
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, cwd=COMFY, env={**POLITE, **environment, **OFFLINE}, stdin=subprocess.PIPE, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        atexit.register(self.stop)
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise
        return self

    def _lay_out(self):
        self.base = self.base or Path(tempfile.mkdtemp(prefix="rackfocus-host-"))
        for name in ("models", "input", "output", "temp", "user", "custom_nodes"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        if self.pack is not None:
            link = self.base / "custom_nodes" / self.folder
            if link.is_symlink():
                link.unlink()
            link.symlink_to(Path(self.pack).resolve(), target_is_directory=True)

    def _wait_until_it_answers(self):
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise self._error(f"ComfyUI stopped while starting (exit code {self.process.returncode}).")
            try:
                with NO_PROXY.open(self.url + "/system_stats", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.1)
        raise self._error(f"ComfyUI did not answer within {self.timeout:g} s.")

    def _error(self, sentence):
        return HostError(f"{sentence} The end of its log, {self.log}:\n\n{tail(self.log)}")

    def check(self):
        """Raise HostError if the process is no longer there."""
        if self.process is None or self.process.poll() is not None:
            raise self._error("ComfyUI is not running any more.")

    def stop(self):
        """End the host and all its children; harmless when it has ended already."""
        atexit.unregister(self.stop)
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        process.stdin.close()
        process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        self.stop()
        if kind is None or issubclass(kind, KeyboardInterrupt):
            if self.temporary:
                shutil.rmtree(self.base, ignore_errors=True)
        else:
            print(f"\nThe end of the host's log, {self.log}:\n{tail(self.log)}\n", file=sys.stderr)
