"""Photos that are sharp everywhere, and their depth -> shards of examples for training.

  simulate PHOTOS --out DATA            photo.jpg with photo_depth.png beside it, or maps below --depth FOLDER
  simulate PHOTOS --out DATA --depth-model FILE      where there is no map: a depth model, as RefocusDepth takes it
  simulate --procedural 200 --out DATA  made scenes instead of photos

The same shards, bit for bit, come out of any --part, --workers and --engine. What is finished stays when the command is
stopped, and the same command goes on from there. Photos that are blurred somewhere, too small, or without three depths
are left out and counted; a broken one is told of, and makes the exit code 1.
"""

import argparse
import inspect
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from ..pipelines.image.checks import RefocusError, check_number, check_whole
from ..pipelines.optics.depth import DEPTH_KINDS
from .example import Settings
from .on_ray import check_ray, on_ray
from .plan import Job, Shard, part_of, record, shards_of
from .shards import report_of, sweep
from .sources import Folder, Found, Scenes, Source
from .work import Made, in_processes, one_after_the_other

SUMMARY = "make the data of the training from photos"
SHOWN = 20  # broken pictures that are named
OFTEN, SELDOM = 0.5, 10.0  # seconds between two lines of progress, on a terminal and in a log
ASPECT = 1.5  # of procedural scenes


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="?", help="folder of photos, looked through with all below it")
    parser.add_argument("--procedural", type=int, metavar="N", help="N made scenes instead of photos")
    parser.add_argument("--out", required=True, help="folder for the shards")
    parser.add_argument(
        "--depth", metavar="FOLDER", help="depth maps: the photo's path below this folder; png, tif, npy"
    )
    parser.add_argument("--depth-kind", choices=DEPTH_KINDS, default="auto", help="what their values mean")
    parser.add_argument("--depth-model", metavar="FILE", help="for photos without a map: a file or transformers folder")
    parser.add_argument(
        "--device", default="cpu", help="where the depth model runs; others than cpu may round otherwise"
    )
    parser.add_argument("--size", type=int, default=512, help="pixels of the shorter side")
    parser.add_argument("--sharp", type=float, default=0.95, help="share of a photo that must be sharp")
    parser.add_argument("--variants", type=int, default=1, help="examples of each picture")
    parser.add_argument("--seed", type=int, default=0, help="another one draws another set of examples")
    parser.add_argument("--held-out", type=float, default=0.05, help="share of the pictures that validate gets")
    parser.add_argument("--per-shard", type=int, default=32, help="pictures of a shard")
    parser.add_argument("--part", default="1/1", metavar="I/N", help="this part of the shards, 1/N to N/N")
    parser.add_argument("--workers", type=int, help="processes; CPUs on Ray. None: one process, all that Ray has")
    parser.add_argument("--engine", choices=("loop", "ray"), default="loop", help="ray: Ray Data, on a cluster too")
    lots = parser.add_argument_group("what examples are like", inspect.cleandoc(Settings.__doc__ or ""))
    for field in fields(Settings):
        name = f"--{field.name.replace('_', '-')}"
        if field.name == "planes":
            lots.add_argument(
                name, type=int, nargs=2, metavar=("LEAST", "MOST"), default=field.default, help="as above"
            )
        else:
            lots.add_argument(name, metavar="X", type=type(field.default), default=field.default, help="as above")


def run(given: argparse.Namespace) -> int:
    """0: all that was asked for is there. 1: all but broken pictures."""
    job, found, shards = _prepared(given)
    if given.engine == "ray":
        check_ray()
    todo, reports = [], []
    for shard in shards:
        there = _finished(job.out / shard.name)
        if there is None:
            todo.append(shard)
        else:
            reports.append(there)
    names = [shard.name for shard in todo]
    sweep(job.out, names)
    meter = Meter(sum(len(shard.pictures) for shard in todo))
    seconds = 0.0
    try:
        for made in _engine(given, job, todo, meter.told):
            reports.append(made.report)
            seconds += made.seconds
    finally:
        meter.end()
        sweep(job.out, names)
    _tell(found, shards, len(todo), reports, meter, seconds)
    broken = [*found.broken, *((name, said) for report in reports for name, said in report["broken"])]
    for name, said in broken[:SHOWN]:
        print(f"{name}: {said}", file=sys.stderr)
    if len(broken) > SHOWN:
        print(f"... and {len(broken) - SHOWN} more", file=sys.stderr)
    return 1 if broken else 0


def _prepared(given: argparse.Namespace) -> tuple[Job, Found, list[Shard]]:
    """What is to be done; all that can be wrong with the words of the command ends here."""
    if (given.photos is None) == (given.procedural is None):
        raise RefocusError("a folder of photos is needed, or --procedural with a number of scenes: give one of them.")
    size = check_whole("--size", given.size, 16, 8192)
    part, parts = _part(given.part)
    check_whole("--seed", given.seed, 0, 2**63)
    check_number("--held-out", given.held_out, 0, 1)
    check_number("--sharp", given.sharp, 0, 1)
    if given.workers is not None:
        check_whole("--workers", given.workers, 1, 4096)
    settings = Settings(**{field.name: _setting(given, field.name) for field in fields(Settings)})
    source: Source
    if given.procedural is not None:
        count = check_whole("--procedural", given.procedural, 1, 10**7)
        source = Scenes(given.seed, count, (size, round(ASPECT * size / 16) * 16))
    else:
        source = Folder(given.photos, given.depth, given.depth_kind, given.depth_model, given.device, size, given.sharp)
    variants = check_whole("--variants", given.variants, 1, 100)
    job = Job(source, Path(given.out), given.seed, variants, settings)
    source.check()
    found = source.find()
    per_shard = check_whole("--per-shard", given.per_shard, 1, 10**6)
    record(job, found, given.held_out, per_shard)
    return job, found, part_of(shards_of(found.pictures, given.held_out, per_shard), part, parts)


def _setting(given: argparse.Namespace, name: str):
    value = getattr(given, name)
    return tuple(value) if isinstance(value, list) else value


def _part(words: str) -> tuple[int, int]:
    part, slash, parts = words.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise RefocusError(f"--part is '{words[:40]}', but I/N with I from 1 to N is needed, such as 2/8.")
    return int(part), int(parts)


def _engine(given: argparse.Namespace, job: Job, shards: list[Shard], told) -> Iterator[Made]:
    if not shards:
        return iter(())
    if given.engine == "ray":
        return on_ray(job, shards, told, given.workers)
    if (given.workers or 1) == 1:
        return one_after_the_other(job, shards, told)
    return in_processes(job, shards, told, given.workers)


def _finished(path: Path) -> dict | None:
    """The report of a shard that is there and whole."""
    try:
        return report_of(path) if path.exists() else None
    except RefocusError:  # cut off by whoever copied it: made again
        return None


class Meter:
    """Progress on one line: pictures, pictures a second, time left."""

    def __init__(self, total: int):
        self.total, self.done, self.start = total, 0, time.monotonic()
        self._every = OFTEN if sys.stderr.isatty() else SELDOM
        self._next = self.start + self._every

    @property
    def seconds(self) -> float:
        return max(time.monotonic() - self.start, 1e-6)

    def told(self, done: int) -> None:
        self.done = done
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._every
            self._say("\r" if sys.stderr.isatty() else "\n")

    def _say(self, end: str) -> None:
        rate = self.done / self.seconds
        left = f"{_span((self.total - self.done) / rate)} left" if self.done else "no picture is finished yet"
        line = f"{self.done} of {self.total} pictures, {rate:.2f} a second, {left}"
        print(f"{line:78}", end=end, file=sys.stderr, flush=True)

    def end(self) -> None:
        if sys.stderr.isatty() and self.done:
            self._say("\n")


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{round(seconds)} s" if seconds < 100 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _tell(found: Found, shards: list[Shard], made: int, reports: list[dict], meter: Meter, seconds: float) -> None:
    """What there is now, and how fast it came."""
    left_out = Counter({"duplicates": found.duplicates}) if found.duplicates else Counter[str]()
    for report in reports:
        left_out.update(report["left_out"])
    broken = len(found.broken) + sum(len(report["broken"]) for report in reports)
    if broken:
        left_out["broken"] = broken
    pictures, kept, examples = (sum(report[k] for report in reports) for k in ("pictures", "kept", "examples"))
    without = ", ".join(f"{count} {why}" for why, count in sorted(left_out.items()))
    print(f"{pictures} pictures, {kept} kept{f' (left out: {without})' if without else ''}: {examples} examples")
    print(f"{len(shards)} shards, {made} of them made now")
    if meter.done and seconds > 0:
        print(f"{meter.done / meter.seconds:.2f} pictures a second, {meter.done / seconds:.2f} a second of one core")
