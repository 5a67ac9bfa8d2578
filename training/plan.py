"""Which picture comes into which shard: the same for every split of the work.

Pictures stand in the order of their keys, which is that of chance. Those whose key is small are held out for
validation; the others, and they, are cut into shards of `per_shard` pictures. A part of the work is every n-th shard.
"""

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..pipelines.image.checks import RefocusError, cut
from .example import Settings, plain
from .shards import no_room
from .sources import Found, Source

RECORD = "simulate.json"
SPLITS = ("train", "val")
LONGEST = 150  # characters of a path in a sentence


@dataclass(frozen=True)
class Job:
    """What examples are made of and how, and the folder they go to: all that a worker must know."""

    source: Source
    out: Path
    seed: int
    variants: int
    settings: Settings


@dataclass(frozen=True)
class Shard:
    """name: of its file. pictures: (key, name) of each."""

    name: str
    pictures: tuple[tuple[str, str], ...]


def shards_of(pictures: dict[str, str], held_out: float, per_shard: int) -> list[Shard]:
    """{key: name} -> all shards, those for training first."""
    split: dict[str, list[tuple[str, str]]] = {name: [] for name in SPLITS}
    for key, name in sorted(pictures.items()):
        split["val" if int(key[:8], 16) < held_out * 2**32 else "train"].append((key, name))
    return [
        Shard(f"{name}-{i // per_shard:06d}.tar", tuple(chosen[i : i + per_shard]))
        for name, chosen in split.items()
        for i in range(0, len(chosen), per_shard)
    ]


def part_of(shards: list[Shard], part: int, parts: int) -> list[Shard]:
    """Part 1 .. parts of the shards."""
    return shards[part - 1 :: parts]


def record(job: Job, found: Found, held_out: float, per_shard: int) -> None:
    """Write down what the shards of a folder depend on. RefocusError where it holds those of another run."""
    keys = hashlib.sha256("".join(sorted(found.pictures)).encode()).hexdigest()
    told = {
        "version": 1,
        "seed": job.seed,
        "variants": job.variants,
        "held_out": held_out,
        "per_shard": per_shard,
        **job.source.told(),
        "settings": plain(job.settings),
        "count": len(found.pictures),
        "keys": keys,
    }
    path = job.out / RECORD
    try:
        job.out.mkdir(parents=True, exist_ok=True)
        there = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError as error:
        raise RefocusError(
            f"{cut(str(path), LONGEST)} is no record of simulate, but it lies where one belongs: choose another --out."
        ) from error
    except OSError as error:
        raise no_room(path, error) from error
    if there is not None:
        _same(job.out, there, told)
        return
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{RECORD}.", suffix=".part", dir=job.out)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(json.dumps(told, indent=1) + "\n")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise no_room(path, error) from error


def _same(out: Path, there: dict, told: dict) -> None:
    flat, wanted = ({**d, **d.get("settings", {})} for d in (there, told))
    for name in wanted:
        if name not in ("settings", "keys") and flat.get(name) != wanted[name]:
            raise RefocusError(
                f"{cut(str(out), LONGEST)} holds shards made with {name} {cut(json.dumps(flat.get(name)))}, but "
                f"{cut(json.dumps(wanted[name]))} is asked for: give the same, or choose another --out."
            )
    if there.get("keys") != told["keys"]:
        raise RefocusError(
            f"{cut(str(out), LONGEST)} holds shards of other pictures, as many as these: choose another --out."
        )
