"""`make serve`: leave the host running, so that a person can open the page and try the nodes."""

import argparse
import os
import socket
import time

from .paths import CACHE, UserError
from .server import Host

USUAL_PORT = 8188


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_port(wanted):
    """The wanted port, or with 0 ComfyUI's usual one if nothing has it, else any."""
    if not wanted:
        return USUAL_PORT if is_free(USUAL_PORT) else 0
    if not 0 < wanted < 65536:
        raise UserError(f"Port {wanted} does not exist: give one from 1 to 65535, for example `make serve PORT=8200`.")
    if not is_free(wanted):
        raise UserError(f"Port {wanted} is in use: give another, for example `make serve PORT={wanted % 65535 + 1}`.")
    return wanted


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: 8188 if it is free, else any")
    parser.add_argument("--cpu", action="store_true", help="do not use the GPU")
    options = parser.parse_args()
    port = choose_port(options.port)

    import torch

    cpu = options.cpu or not torch.cuda.is_available()
    print("Starting ComfyUI ...", flush=True)
    with Host(os.path.join(CACHE, "serve"), port=port, cpu=cpu) as host:
        print(f"Rackfocus runs at {host.url}  ({'CPU' if cpu else 'GPU'}; Ctrl-C stops it)", flush=True)
        print(f"Put models and images under {host.base}; the log is {host.log}", flush=True)
        while True:
            host.check()
            time.sleep(0.5)
