"""Write workflows/*.json with a thumbnail beside each, and subgraphs/*.json, by a running host.

python -m dev.workflows write
"""

from pathlib import Path

from ..host.paths import ROOT
from ..host.server import Host
from . import thumbnails
from .anybokeh import ANYBOKEH
from .blueprints import BLUEPRINTS
from .diffcamera import DIFFCAMERA
from .genfocus import GENFOCUS
from .learn2refocus import LEARN2REFOCUS
from .optical import OPTICAL

FOLDER = Path(ROOT) / "workflows"
# File name without .json, which is the name that the template browser shows: function of the host's node types.
WORKFLOWS = {**OPTICAL, **LEARN2REFOCUS, **GENFOCUS, **DIFFCAMERA, **ANYBOKEH}


def main():
    with Host() as host, host.client() as client:
        for name, make in BLUEPRINTS.items():
            make(client.object_info()).save()
            print(f"subgraphs/{name}.json")
        for name, make in WORKFLOWS.items():
            flow = make(client.object_info())
            flow.save(FOLDER / f"{name}.json")
            if name in OPTICAL:
                picture = thumbnails.result(client, flow.to_dict())
            elif name in {**GENFOCUS, **DIFFCAMERA, **ANYBOKEH}:
                picture = thumbnails.drawing(flow.to_dict())
            else:
                picture = thumbnails.not_the_models(name)
            picture.save(FOLDER / f"{name}.jpg", quality=85, subsampling=0, optimize=True)
            print(f"workflows/{name}.json")
