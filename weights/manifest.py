"""weights_manifest.json: the files that each engine needs, and what a workflow says of them.

Nothing else reads that file.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MANIFEST = Path(__file__).resolve().parent.parent / "weights_manifest.json"


@dataclass(frozen=True)
class WeightFile:
    """One file of the manifest; None where no source tells. One file of a group is enough (None: no group).

    folder: the host's, below models/; revision: the commit that url, bytes and sha256 belong to. place: that below the
    folder, where it is not what `name` makes of the path: a page's download puts a file under its plain name. becomes:
    the safetensors file below the folder that is made of it, see convert.
    """

    engine: str
    repository: str
    path: str
    folder: str
    url: str | None
    revision: str | None
    bytes: int | None
    sha256: str | None
    licence: str | None
    group: str | None = None
    place: str | None = None
    becomes: str | None = None

    @property
    def name(self) -> str:
        """Its place below the host folder: its own name, below the repository's where folders keep it apart, unless
        another is told."""
        return self.place or (f"{self.repository.split('/')[-1]}/{self.path}" if "/" in self.path else self.path)

    def is_called(self, name: str) -> bool:
        """Whether a name in a list of files may be this one: its place, or its path in the repository below any
        folder."""
        parts, path = name.replace("\\", "/").split("/"), self.path.split("/")
        return parts == self.name.split("/") or parts[-len(path) :] == path

    def __str__(self):
        size = "size unknown" if self.bytes is None else f"{self.bytes:,} bytes"
        return (
            f"{self.path} from {self.repository} ({size}, licence {self.licence or 'unknown'}) into "
            f"models/{self.folder}"
        )


def weight_files(engine: str | None = None) -> list[WeightFile]:
    """The files an engine needs (None: all engines), in the manifest's order; empty for one that needs none."""
    files = json.loads(MANIFEST.read_text(encoding="utf-8"))["files"]
    return [WeightFile(**f) for f in files if engine in (None, f["engine"])]


def still_needed(files: list[WeightFile], present: Callable[[WeightFile], bool]) -> list[WeightFile]:
    """Those that are not present, in order; a group that has one present needs none, else its first stands for all."""
    have = [f for f in files if present(f)]
    done = {f.group for f in have if f.group}
    needed = []
    for f in files:
        if f in have or f.group in done:
            continue
        if f.group:
            done.add(f.group)
        needed.append(f)
    return needed


def model_entries(values) -> list[dict]:
    """Values of a node's widgets -> its `properties.models`: [{name, url, directory}] for those the manifest knows.

    The host's page offers these when a file is missing; name equals the widget's value.
    """
    known = {f.name: {"name": f.name, "url": f.url, "directory": f.folder} for f in weight_files() if f.url}
    return [known[v] for v in dict.fromkeys(v for v in values if isinstance(v, str)) if v in known]


def command(*words: str) -> str:
    """The line that runs rackfocus.weights on this machine, from any folder and whatever the pack's is called."""
    pack = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    parts = [sys.executable or "python", os.path.join(pack, "weights"), *words]
    return subprocess.list2cmdline(parts) if os.name == "nt" else shlex.join(parts)
