"""Where pictures that are sharp everywhere come from, each with its disparity: a folder of photos, or made scenes.

A source has

    find()      -> Found: what there is, by key
    check()     RefocusError for what would stop the work later
    load(name)  -> picture [H, W, 3] in steps of 8 bits, disparity [H, W]; UnfitError for one to be left out,
                RefocusError for a broken one
    told()      -> what examples depend on beside the pictures' bytes, for the record
"""

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from torch import Tensor

from ..pipelines.depth import DepthModel, estimate_depth, load_depth_model
from ..pipelines.image.checks import RefocusError, cut
from ..pipelines.optical import estimate_defocus
from ..pipelines.optics import to_disparity
from .example import UnfitError, in_steps
from .files import DEPTHS, PICTURES, fitted, fitted_depth, read_depth, read_picture, why
from .procedural import procedural

DEPTH_NAME = "_depth"  # photo.jpg and photo_depth.png
CHUNK = 1 << 22  # bytes hashed at a time
LONGEST = 150  # characters of a path in a sentence


@dataclass(frozen=True)
class Found:
    """pictures: {key: name}. duplicates: how many more had a key that was there. broken: [(name, one sentence)]."""

    pictures: dict[str, str]
    duplicates: int = 0
    broken: tuple[tuple[str, str], ...] = ()


class Source(Protocol):
    def find(self) -> Found: ...
    def check(self) -> None: ...
    def load(self, name: str) -> tuple[Tensor, Tensor]: ...
    def told(self) -> dict: ...


@dataclass(frozen=True)
class Scenes:
    """`count` procedural scenes of this size (H, W); they are sharp by construction."""

    seed: int
    count: int
    size: tuple[int, int]

    def find(self) -> Found:
        words = f"rackfocus procedural {self.seed} {self.size[0]}x{self.size[1]}"
        return Found({hashlib.sha256(f"{words} {i}".encode()).hexdigest(): str(i) for i in range(self.count)})

    def load(self, name: str) -> tuple[Tensor, Tensor]:
        picture, disparity = procedural(self.seed, int(name), self.size)
        return in_steps(picture, 255), disparity

    def check(self) -> None:
        pass

    def told(self) -> dict:
        return {"pictures": "procedural", "scenes": self.count, "size": list(self.size)}


@dataclass(frozen=True)
class Folder:
    """Photos below a folder. Depth: a map of the same name below `depth`, or photo_depth.png beside photo.jpg, of a
    kind as RefocusLens reads it; where there is none, from `model`, a depth model's file or folder, on `device`.

    size: the shorter side is reduced to it; what is smaller is left out. sharp: the share of a picture that must be.
    """

    photos: str
    depth: str | None = None
    kind: str = "auto"
    model: str | None = None
    device: str = "cpu"
    size: int = 512
    sharp: float = 0.95

    def find(self) -> Found:
        pictures: dict[str, str] = {}
        duplicates, broken = 0, []
        for name in self._names():
            try:
                key = _sha256(os.path.join(self.photos, name))
            except OSError as error:
                broken.append((name, f"it cannot be read ({why(error)}): look at its rights, or take it away."))
                continue
            duplicates += key in pictures
            pictures.setdefault(key, name)
        return Found(pictures, duplicates, tuple(broken))

    def _names(self) -> list[str]:
        """Sorted, below the folder; RefocusError where there is none."""
        folder = cut(self.photos, LONGEST)
        if not os.path.isdir(self.photos):
            raise RefocusError(f"{folder} is no folder, but one with photos is needed: give its path.")
        unreadable: list[OSError] = []
        names = [
            os.path.relpath(os.path.join(at, name), self.photos).replace(os.sep, "/")
            for at, _, files in os.walk(self.photos, onerror=unreadable.append)
            for name in files
            if _is_photo(name)
        ]
        if unreadable:
            raise RefocusError(
                f"{cut(str(unreadable[0].filename), LONGEST)} cannot be read ({why(unreadable[0])}), but all of the "
                "folder of photos must be: change its rights, or give another one."
            )
        if not names:
            raise RefocusError(
                f"{folder} holds no photo, but some ({', '.join(sorted(PICTURES))}) are needed: give another folder."
            )
        return sorted(names)

    def load(self, name: str) -> tuple[Tensor, Tensor]:
        path = Path(self.photos, name)
        image = read_picture(path)
        picture = fitted(image, self.size)
        share = float((estimate_defocus(picture[None]).radius[0] == 0).float().mean())
        if share < self.sharp:
            raise UnfitError(f"{share:.0%} of it is sharp, but {self.sharp:.0%} are needed.", "not sharp everywhere")
        given = self._map_of(name)
        if given is not None:
            disparity = to_disparity(read_depth(given)[None], self.kind)[0]
            return picture, fitted_depth(disparity, (image.height, image.width), self.size)
        if self.model is None:
            where = f"below {cut(self.depth, LONGEST)}" if self.depth else f"beside it ({path.stem}{DEPTH_NAME}.png)"
            raise RefocusError(f"there is no depth map {where}: make one, or name a model with --depth-model.")
        found = estimate_depth(_model(self.model, self.device), picture[None], device=self.device)
        return picture, to_disparity(found.depth, found.kind)[0]

    def _map_of(self, name: str) -> Path | None:
        """The depth map of a photo."""
        bare = Path(self.depth or self.photos, name).with_suffix("")
        stems = [bare.name, bare.name + DEPTH_NAME] if self.depth else [bare.name + DEPTH_NAME]
        places = [bare.with_name(stem + suffix) for stem in stems for suffix in DEPTHS]
        return next((place for place in places if place.is_file()), None)

    def check(self) -> None:
        """RefocusError where the folder of depth maps or the depth model is none, before hours of work begin."""
        if self.depth is not None and not os.path.isdir(self.depth):
            raise RefocusError(f"{cut(self.depth, LONGEST)} is no folder, but one with depth maps is needed.")
        if self.model is not None:
            _model(self.model, self.device)

    def told(self) -> dict:
        model = None if self.model is None else os.path.basename(os.path.normpath(self.model))
        kind = {"depth_kind": self.kind, "depth_model": model}
        return {"pictures": "photos", "size": self.size, "sharp": self.sharp, **kind}


def _is_photo(name: str) -> bool:
    stem, suffix = os.path.splitext(name)
    return suffix.lower() in PICTURES and not stem.endswith(DEPTH_NAME) and not name.startswith(".")


@lru_cache(maxsize=1)
def _model(path: str, device: str) -> DepthModel:
    """Loaded once in a process."""
    model = load_depth_model(path)
    try:
        model.net.to(device)
    except (RuntimeError, AssertionError) as error:  # torch's words for a device that is not there
        raise RefocusError(
            f"the depth model cannot run on --device {cut(device)} ({why(error)}): give cpu, or another."
        ) from error
    return model


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
