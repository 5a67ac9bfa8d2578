import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from rackfocus.dev.host.paths import HERE, PYTHON
from rackfocus.dev.host.server import Host, HostError


def gone(group):
    """Whether no process of a process group is left, waiting a little for it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_any_folder_name_and_a_clean_end(tmp_path, root):
    names = ["comfyui-rackfocus-main", "rackfocus.v0.1", "Rack Focus"]
    (tmp_path / "custom_nodes").mkdir()
    for name in names[1:]:
        (tmp_path / "custom_nodes" / name).symlink_to(root, target_is_directory=True)
    with Host(tmp_path, folder=names[0]) as host:
        group, port, log = host.process.pid, host.port, host.log_text()
        for name in names:
            lines = [line for line in log.splitlines() if line.endswith(f"seconds: {tmp_path}/custom_nodes/{name}")]
            assert len(lines) == 1, name
    assert gone(group)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def test_dying_at_start_says_why(tmp_path):
    host = Host(tmp_path, args=["--no-such-option"])
    with pytest.raises(HostError) as caught:
        host.start()
    text = str(caught.value)
    assert "stopped while starting" in text and "--no-such-option" in text and str(host.log) in text
    assert host.process is None


def test_not_answering_in_time_says_so(tmp_path):
    host = Host(tmp_path, timeout=0.3)
    with pytest.raises(HostError, match=r"did not answer within 0\.3 s"):
        host.start()


def test_log_is_kept_and_shown_after_a_failure(capsys):
    host = Host()
    host.start = lambda: host._lay_out() or host.log.write_text("the last words\n") or host
    with pytest.raises(ValueError), host:
        raise ValueError
    shown = capsys.readouterr().err
    assert "the last words" in shown and str(host.log) in shown and host.log.exists()


def test_host_ends_with_a_killed_parent(tmp_path):
    (tmp_path / "main.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    parent_code = (
        "import subprocess, sys, time\n"
        "pipe = subprocess.PIPE\n"
        "child = subprocess.Popen(sys.argv[1:], stdin=pipe, stdout=pipe, start_new_session=True)\n"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", parent_code, PYTHON, os.path.join(HERE, "comfy_main.py"), str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE)
    group = int(parent.stdout.readline())
    assert group > 1
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert gone(group)
