"""Hostile hubs, and hostile things in the models folder: seeded cases for weights/fetch.py.

A case ends in the right file or in one sentence, writes nothing outside the models folder, never puts more onto the
disk than the file has, and an honest hub gets the file into its place afterwards.
"""

import errno
import hashlib
import os
import random
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import huggingface_hub
from huggingface_hub import file_download
from huggingface_hub import utils as hub_utils

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.weights.fetch import WAITING_ROOM, fetch_file
from rackfocus.weights.manifest import WeightFile

SENTENCE = 400
CONTENT = random.Random(0).randbytes(50_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
VICTIM = b"somebody else's file"
SIZES = (len(CONTENT), len(CONTENT), None, 0, -1, 10, 10**18)
ETAGS = (SHA256, "a" * 40, "b" * 64, "", None, "../../../victim", ".", "x" * 100_000, "\u00e9\0", 'W/"tag"')
SENDINGS = ("honest", "too long", "endless", "short", "other bytes", "ignores the range", "starts anew")
SENDINGS += ("breaks off", "full disk", "416", "500", "nothing")
# What lies in the models folder before; those of REFUSED stand in the way until somebody moves them.
FOUND = ("nothing", "a part", "a wrong part", "a whole wrong part", "a longer part", "a linked part", "a shared part")
FOUND += ("a pipe as part", "a folder as part", "a dangling target", "a pipe as target", "a linked lock", "a dead lock")
REFUSED = ("a folder as target", "a linked room", "a linked waiting room", "a file as room", "a folder as lock")
# A linked target is the artist's own way of having a file: right or wrong, it is judged by its content.
REFUSED += ("a linked target",)


class Hub:
    """huggingface_hub's two steps, from memory. honest: as the real one; otherwise as the other attributes say."""

    def __init__(self, size, etag, sending, rng):
        self.size, self.etag, self.sending, self.rng = size, etag, sending, rng

    def metadata(self, url):
        return types.SimpleNamespace(size=self.size, etag=self.etag, location="https://store.example/blob")

    def send(self, url, out, *, resume_size, headers, expected_size):
        assert "authorization" not in headers
        rest = CONTENT[resume_size:]
        if self.sending == "starts anew":  # as huggingface_hub does with an answer 200 to a question for a range
            out.seek(max(out.tell() - resume_size, 0))
            out.truncate()
            rest = CONTENT
        elif self.sending == "ignores the range":
            rest = CONTENT
        elif self.sending == "other bytes":
            rest = self.rng.randbytes(len(rest))
        elif self.sending == "short":
            rest = rest[: len(rest) // 2]
        elif self.sending == "nothing":
            rest = b""
        elif self.sending == "too long":
            rest += b"x" * self.rng.choice((1, 1000, len(CONTENT)))
        elif self.sending in ("416", "500") and resume_size:
            error = OSError(f"HTTP {self.sending}")
            error.response = types.SimpleNamespace(status_code=int(self.sending))
            raise error
        step = self.rng.choice((1 << 10, 1 << 14, 1 << 20))
        for i in range(0, len(rest), step):
            if i and self.sending == "breaks off":
                raise ConnectionError("the line is dead")
            if i and self.sending == "full disk":
                raise OSError(errno.ENOSPC, "No space left on device")
            out.write(rest[i : i + step])
        for _ in range(64 if self.sending == "endless" else 0):
            out.write(b"x" * (1 << 20))


def cases(count: int, seed: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """(name, callable) for each; the callable raises AssertionError with what went wrong."""
    rng = random.Random(seed)
    for number in range(count):
        found = rng.choice(FOUND + REFUSED)
        size, etag, sending = rng.choice(SIZES), rng.choice(ETAGS), rng.choice(SENDINGS)
        known = rng.choice(((len(CONTENT), SHA256), (len(CONTENT), None), (None, SHA256), (None, None)))
        own = rng.getrandbits(32)
        name = f"download {number} of seed {seed}: {found}; size {size}, etag {etag!r:.20}, {sending}; {known[0]}"

        def case(found=found, size=size, etag=etag, sending=sending, known=known, own=own):
            with tempfile.TemporaryDirectory() as folder:
                run(Path(folder), found, Hub(size, etag, sending, random.Random(own)), *known)

        yield name, case


def run(folder: Path, found: str, hub: Hub, size: int | None, sha256: str | None):
    """One hostile fetch and an honest one after it."""
    models, outside = folder / "models", folder / "outside"
    models.mkdir()
    outside.mkdir()
    (outside / "victim").write_bytes(VICTIM)
    file = WeightFile("genfocus", "some/repo", "one.safetensors", "loras", None, None, size, sha256, None)
    prepare(models, outside, found, hub)
    _fetch(file, models, hub)
    _untouched(outside)
    honest = Hub(len(CONTENT), hub.etag if hub.etag != "b" * 64 else SHA256, "honest", random.Random(0))
    target = models / "loras" / "one.safetensors"
    if target.is_file() and not target.is_symlink() and target.read_bytes() != CONTENT:
        # Nothing said what it should be: as long as it was offered, and of the hub's own hash.
        assert sha256 is None and hub.etag != SHA256, "a file with another content is in its place"
        assert target.stat().st_size in (hub.size, size), "a file of another size than was offered is in its place"
        return
    error = _fetch(file, models, honest)
    _untouched(outside)
    if found not in REFUSED:
        # Without a hash, a part of another content cannot be told from its beginning.
        guessed = sha256 is None and honest.etag != SHA256 and target.is_file()
        assert error is None, f"an honest hub is refused: {error}"
        assert guessed or target.read_bytes() == CONTENT, "the honest file is not in its place"
        assert not (models / WAITING_ROOM).exists() or found == "a dead lock", "something stays in the waiting room"


def prepare(models: Path, outside: Path, found: str, hub: Hub):
    """Lay into the models folder what a case is named by."""
    room = models / WAITING_ROOM
    waiting = room / "some--repo--one.safetensors"
    lock, target = room / f"{waiting.name}.lock", models / "loras" / "one.safetensors"
    part = waiting / ("".join(c for c in str(hub.etag) if c.isascii() and (c.isalnum() or c == "_"))[:64] or "part")
    if found in ("a linked room", "a file as room"):
        room.symlink_to(outside) if found == "a linked room" else room.write_bytes(b"")
        return
    if found == "a linked waiting room":
        room.mkdir()
        waiting.symlink_to(outside)
        return
    place = lock if "lock" in found else target if "target" in found else part
    place.parent.mkdir(parents=True)
    half = CONTENT[: len(CONTENT) // 2]
    written = {"a part": half, "a wrong part": half[::-1], "a whole wrong part": CONTENT[::-1], "a dead lock": b"1"}
    written["a longer part"] = CONTENT * 2
    if found in written:
        place.write_bytes(written[found])
    elif found.startswith("a pipe"):
        os.mkfifo(place)
    elif found.startswith("a folder"):
        place.mkdir()
        (place / "inside").write_bytes(b"")
    elif found == "a shared part":
        os.link(outside / "victim", place)
    elif found == "a dangling target":
        place.symlink_to(outside / "nowhere")
    elif found.startswith("a linked"):
        place.symlink_to(outside / "victim")


def _fetch(file: WeightFile, models: Path, hub: Hub) -> str | None:
    """The sentence it ends in, or None; AssertionError for anything else, and for too much on the disk."""
    with (
        mock.patch.object(huggingface_hub, "get_hf_file_metadata", hub.metadata),
        mock.patch.object(file_download, "http_get", hub.send),
        mock.patch.object(hub_utils, "build_hf_headers", lambda: {"authorization": "Bearer secret"}),
    ):
        try:
            fetch_file(file, models, lambda said: None)
            said = None
        except RefocusError as error:
            said = str(error)
            assert len(said) <= SENTENCE and "\n" not in said, f"not one short sentence: {said}"
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} instead of a sentence: {error}") from error
    sizes = [p.stat().st_size for p in models.rglob("*") if p.is_file()]
    assert max(sizes, default=0) <= 2 * len(CONTENT), "more is on the disk than the file, or what was found, has"
    return said


def _untouched(outside: Path):
    assert [p.name for p in outside.iterdir()] == ["victim"], "something was made outside of the models folder"
    assert (outside / "victim").read_bytes() == VICTIM, "a file outside of the models folder was written to"
