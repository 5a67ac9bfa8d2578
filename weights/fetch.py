"""Fetch a file of the manifest through huggingface_hub, into a waiting room first: only a right file gets its place."""

import errno
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlparse

from ..pipelines.image.checks import RefocusError, cut
from .check import CHUNK, FOUND, LONGEST, MISSING, Place, check_file, judge, sha256
from .manifest import WeightFile
from .part import Part, TooLong, come, one_at_a_time, throw_away

# Beside the host's folders and not in one of them, so that no loader lists what is only half here.
WAITING_ROOM = ".rackfocus-download"
NO_SUCH_RANGE = 416  # HTTP: there is nothing behind what has come


def fetch_file(file: WeightFile, models: Path, say: Callable[[str], None] = print) -> Path:
    """Download (a broken-off download goes on where it stopped), check, move into place; returns the path.

    What the hub is about to send is compared with the manifest before it is sent, and what came afterwards, with the
    hub's own sha256 where the manifest has none. The size that is offered is never exceeded, and a wrong file is
    thrown away. Two fetches of one file follow one another: the second says that it waits, and finds it done. Links
    are replaced or refused, but for models itself and the host folders in it. Raises RefocusError with what to do;
    KeyboardInterrupt passes, and what has come so far stays for the next time.
    """
    try:
        from huggingface_hub import utils as hub
    except ImportError as error:
        raise RefocusError(
            "huggingface_hub is not installed, but it does the downloading: install transformers, as "
            f"ComfyUI does, or get {file} yourself."
        ) from error
    page = f"https://huggingface.co/{file.repository}"
    try:
        return _fetch(file, models, say)
    except RefocusError:
        raise
    except hub.GatedRepoError as error:
        raise RefocusError(
            f"{file.repository} is gated: log in at {page}, accept its licence "
            f"({file.licence or 'unknown'}), run 'hf auth login' with a token that may read it, and "
            "fetch again."
        ) from error
    except hub.RepositoryNotFoundError as error:
        raise RefocusError(
            f"{file.repository} does not exist or is private, but {file.path} was to come from it: look at {page}."
        ) from error
    except (hub.RevisionNotFoundError, hub.EntryNotFoundError) as error:
        raise RefocusError(
            f"{file.repository} has no {file.path} at revision {file.revision or 'main'}, but the "
            f"manifest names it: look at {page} and update Rackfocus."
        ) from error
    except Exception as error:  # which ones a broken connection raises depends on the version of huggingface_hub
        why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise RefocusError(
            f"{file.path} could not be fetched from {file.repository} ({why}): check network and disk "
            "and fetch again, it goes on where it stopped."
        ) from error


def _fetch(file: WeightFile, models: Path, say: Callable[[str], None]) -> Path:
    waiting = models / WAITING_ROOM / f"{file.repository}/{file.path}".replace("/", "--")
    target = _target(file, models)
    _no_links(models, waiting)
    try:
        with one_at_a_time(
            waiting.with_name(waiting.name + ".lock"),
            lambda: say(f"{file.path}: another fetch is at work on it; this one waits until that one is done"),
        ):
            place = check_file(file, models)
            if place.state not in (FOUND, MISSING):
                raise RefocusError(not_right(place))
            if place.state == FOUND:  # by that other fetch
                return place.path
            part = _download(file, waiting, models)
            _move(part, target)
            shutil.rmtree(waiting)
            return target
    finally:
        for folder in (waiting, waiting.parent):
            with suppress(OSError):  # not empty: what has come stays, and so does what another fetch is at
                folder.rmdir()


def not_right(place: Place) -> str:
    """What to say of a file that is there and is another one than the manifest's."""
    return f"{_shown(place.path)} is there, but not right ({place.said}): move it away and fetch again."


def _shown(path: Path) -> str:
    return cut(str(path), LONGEST)


def _target(file: WeightFile, models: Path) -> Path:
    """Where a file belongs: below its host folder, which may be a link; no further one is followed."""
    below = Path(file.folder, file.name)
    if below.is_absolute() or ".." in below.parts:
        raise RefocusError(f"{file.path} would lie outside of models/{file.folder}: update Rackfocus.")
    target = models / below
    _no_links(models / file.folder, target.parent)
    if target.is_dir():
        raise RefocusError(f"{_shown(target)} is a folder, but the file belongs there: move it away and fetch again.")
    return target


def _no_links(home: Path, folder: Path):
    """RefocusError if a folder below `home`, on the way to `folder`, is a link or no folder."""
    for step in (folder, *folder.parents):
        if step == home:
            return
        if step.is_symlink() or (step.exists() and not step.is_dir()):
            kind = "a link" if step.is_symlink() else "no folder"
            raise RefocusError(f"{_shown(step)} is {kind}, but a folder is needed there: move it away and fetch again.")


def _download(file: WeightFile, waiting: Path, models: Path) -> Path:
    """The whole file in the waiting room, checked. What cannot be right is thrown away, and the file fetched anew."""
    # hf_hub_download throws a partial file away when it fails (since version 2); http_get can go on with one.
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(file.repository, file.path, revision=file.revision)
    offer = get_hf_file_metadata(url)
    etag = str(offer.etag)
    hub_sha256 = etag if re.fullmatch("[0-9a-f]{64}", etag) else None
    for what, got, needed in (("bytes", offer.size, file.bytes), ("sha256", hub_sha256, file.sha256)):
        if None not in (got, needed) and got != needed:
            raise RefocusError(
                f"{file.repository} offers {file.path} with {what} {got}, but the manifest knows "
                f"{needed}: nothing was fetched; the source has changed, update Rackfocus."
            )
    size = file.bytes if offer.size is None else offer.size
    if size is None or size < 1:
        raise RefocusError(
            f"{file.repository} offers {file.path} with {'unknown' if size is None else size} bytes, but a size is "
            "needed to know when it is whole: nothing was fetched; try again later, or get it in a browser."
        )
    # Named by content: parts of two versions are never joined.
    part = waiting / (re.sub(r"\W", "", etag, flags=re.ASCII)[:64] or "part")
    while True:
        begun = come(part, size)
        _room_for(size, begun, file, models)
        try:
            if begun < size:
                waiting.mkdir(parents=True, exist_ok=True)
                _send(url, offer.location, part, size)
            place = judge(replace(file, bytes=size), part)
            if place.state == FOUND and (file.sha256 or not hub_sha256 or sha256(part) == hub_sha256):
                return part
            said = place.said if place.state != FOUND else "something else than the hub says it is"
        except TooLong:
            said = f"more than its {size:,} bytes"
        except Exception as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            if not begun or status != NO_SUCH_RANGE:
                raise
            said = "nothing to go on with"
        shutil.rmtree(waiting)
        if not begun:
            raise RefocusError(
                f"{file.path} came as {said}: it was thrown away; fetch it again, and if that does not help "
                "the source has changed and Rackfocus must be updated."
            )


def _send(url: str, location: str, part: Path, size: int):
    """Let the hub send what is still missing of a part."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    headers = build_hf_headers()
    if urlparse(location).netloc != urlparse(url).netloc:
        headers.pop("authorization", None)  # a token is for the hub, not for the store it points to
    with Part(part, size) as out:
        http_get(location, out, resume_size=out.tell(), headers=headers, expected_size=size)


def _move(part: Path, target: Path):
    """Into its place in one step; what was there, a link itself too, is replaced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(part, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # The host folder is a link to another disk.
        near = target.with_name(f".{target.name}.part")
        throw_away(near)
        try:
            with open(part, "rb") as come, Part(near, part.stat().st_size) as out:
                shutil.copyfileobj(come, out, CHUNK)
            os.replace(near, target)
        finally:
            throw_away(near)


def _room_for(size: int, come: int, file: WeightFile, models: Path) -> None:
    free = shutil.disk_usage(models).free
    if free < size - come:
        raise RefocusError(
            f"{file.path} needs {size - come:,} bytes more, but {_shown(models)} has {free:,} left: make room "
            "or give another folder with --models."
        )
