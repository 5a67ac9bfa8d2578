"""Write workflows/*.json against the node types of a running host: python -m dev.workflows write.

The weights of Genfocus nobody may ship, so the thumbnails of its workflows are drawings of the graph, written here too.
"""

from pathlib import Path

from ..host.paths import ROOT
from ..host.server import Host
from . import drawing
from .genfocus import GENFOCUS
from .learn2refocus import LEARN2REFOCUS
from .optical import OPTICAL

FOLDER = Path(ROOT) / "workflows"
WORKFLOWS = {**OPTICAL, **LEARN2REFOCUS, **GENFOCUS}  # file name without .json: function of the host's node types


def main():
    with Host() as host, host.client() as client:
        for name, make in WORKFLOWS.items():
            flow = make(client.object_info())
            flow.save(FOLDER / f"{name}.json")
            if name in GENFOCUS:
                drawing.save(flow.to_dict(), FOLDER / f"{name}.jpg")
            print(f"workflows/{name}.json")
