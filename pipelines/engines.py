"""The engines of the pack, one line each, and the files that each one needs."""
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MANIFEST = Path(__file__).resolve().parent.parent / "weights_manifest.json"


@dataclass(frozen=True)
class Engine:
    """name as shown; what it does; ready: whether this version can run it."""
    name: str
    purpose: str
    ready: bool


ENGINES = {e.name: e for e in (
    Engine("optical", "lens simulation, focus stacking and deconvolution; no weights", True),
    Engine("genfocus", "all-in-focus and bokeh by FLUX.1-dev with LoRAs", True),
    Engine("learn2refocus", "a focal stack from one photo by Stable Video Diffusion", True),
    Engine("diffcamera", "refocus by focus point and blur level; no public weights", False),
)}


@dataclass(frozen=True)
class RefocusModel:
    """What LoadRefocusModel hands to the other nodes: the engine's name, and the models it runs on (optical: None)."""
    engine: str
    parts: object = None


@dataclass(frozen=True)
class WeightFile:
    """One file of weights_manifest.json; None where no source tells. One file of a group is enough (None: no group)."""
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

    @property
    def name(self) -> str:
        """Its place below the host folder: its own name, below the repository's where folders keep it apart."""
        return f"{self.repository.split('/')[-1]}/{self.path}" if "/" in self.path else self.path

    def __str__(self):
        size = "size unknown" if self.bytes is None else f"{self.bytes:,} bytes"
        return (f"{self.path} from {self.repository} ({size}, licence {self.licence or 'unknown'}) into "
                f"models/{self.folder}")


def weight_files(engine: str | None = None) -> list[WeightFile]:
    """The files an engine needs (None: all engines), in the manifest's order; empty for one that needs none."""
    files = json.loads(MANIFEST.read_text(encoding="utf-8"))["files"]
    return [WeightFile(**f) for f in files if engine in (None, f["engine"])]


def still_needed(files: list[WeightFile], present: Callable[[WeightFile], bool]) -> list[WeightFile]:
    """Those that are not present and whose group has no other file that is; of a group the first stands for all."""
    have = [f for f in files if present(f)]
    done, needed = {f.group for f in have if f.group}, []
    for f in files:
        if f in have or f.group in done:
            continue
        done |= {f.group} - {None}
        needed.append(f)
    return needed
