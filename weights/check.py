"""Where ComfyUI keeps its models, and whether a file of the manifest is there and is the right one."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ..pipelines.image.checks import RefocusError, cut
from .manifest import WeightFile

FOUND, MISSING, WRONG_SIZE, WRONG_SHA256 = "found", "missing", "wrong size", "wrong sha256"
CHUNK = 1 << 22  # bytes hashed at a time
LONGEST = 150  # characters of a path in a sentence


def models_folder(given: str | None = None, pack: Path | None = None) -> Path:
    """The models folder: the one given, or that of the ComfyUI whose custom_nodes holds this pack.

    Raises RefocusError if it does not exist, or if none is given and the pack lies elsewhere.
    """
    if given:
        folder = Path(os.path.expanduser(given))
        if not os.path.isdir(folder):  # which is False, and no error, for a path that cannot be
            raise RefocusError(
                f"the models folder {cut(str(folder), LONGEST)} does not exist, but an existing one is needed: give "
                "the folder 'models' of your ComfyUI with --models."
            )
        return folder
    # Not resolved: a pack that is linked into custom_nodes belongs to that ComfyUI.
    pack = Path(os.path.abspath(pack or Path(__file__).parent.parent))
    for place in (pack, Path.cwd()):
        for folder in (place, *place.parents):
            if folder.name == "custom_nodes" and (folder.parent / "models").is_dir():
                return folder.parent / "models"
    raise RefocusError(
        "the models folder is not known, because this pack does not lie in a ComfyUI's custom_nodes: "
        "give the folder 'models' of your ComfyUI with --models."
    )


@dataclass(frozen=True)
class Place:
    """state: one of the words above. path: where the file is, or where it belongs. said: what to tell about it."""

    state: str
    path: Path
    said: str


def check_file(file: WeightFile, models: Path, *, hashes: bool = True) -> Place:
    """Look for a file anywhere below its host folder, its own place first.

    Size and sha256 are compared where the manifest knows them; hashes=False leaves out the sha256, which reads the
    whole file. A right file anywhere counts; otherwise the first wrong one is told.
    """
    home = models / file.folder
    places = [judge(file, path, hashes=hashes) for path in _candidates(file, home)]
    found = next((p for p in places if p.state == FOUND), None)
    return found or (places[0] if places else Place(MISSING, home / file.name, f"missing: get {file}"))


def judge(file: WeightFile, path: Path, *, hashes: bool = True) -> Place:
    """One existing file against the manifest, size first."""
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        return Place(WRONG_SIZE, path, f"{size:,} bytes, but {file.bytes:,} are needed")
    if size == 0:
        return Place(WRONG_SIZE, path, "empty")
    if hashes and file.sha256 is not None:
        got = sha256(path)
        if got != file.sha256:
            return Place(WRONG_SHA256, path, f"sha256 {got}, but {file.sha256} is needed")
    known = [n for n, v in (("size", file.bytes), ("sha256", file.sha256 if hashes else None)) if v is not None]
    return Place(FOUND, path, f"{size:,} bytes, {' and '.join(known) + ' right' if known else 'nothing to compare'}")


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _candidates(file: WeightFile, home: Path) -> list[Path]:
    """Existing files: in its own place, then anywhere below `home` under the path it has in its repository."""
    tail = Path(file.path).parts
    rest = sorted(p for p in home.rglob(tail[-1]) if p.parts[-len(tail) :] == tail and p.is_file())
    own = home / file.name
    return sorted(rest, key=lambda p: p != own)
