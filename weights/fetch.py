"""Fetch a file of the manifest through huggingface_hub, into a waiting room first: only a right file gets its place."""

import os
import re
import shutil
from pathlib import Path
from urllib.parse import urlparse

from ..pipelines.image.checks import RefocusError
from .check import FOUND, judge, sha256
from .manifest import WeightFile

# Beside the host's folders and not in one of them, so that no loader lists what is only half here.
WAITING_ROOM = ".rackfocus-download"


def fetch_file(file: WeightFile, models: Path) -> Path:
    """Download (a broken-off download goes on where it stopped), check, move into place; returns the path.

    What the hub is about to send is compared with the manifest before it is sent, and what came afterwards, with the
    hub's own sha256 where the manifest has none. A wrong file is thrown away. Raises RefocusError with what to do;
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
        return _fetch(file, models)
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


def _fetch(file: WeightFile, models: Path) -> Path:
    # hf_hub_download throws a partial file away when it fails (since version 2); http_get can go on with one.
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

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
    waiting = models / WAITING_ROOM / f"{file.repository}/{file.path}".replace("/", "--")
    waiting.mkdir(parents=True, exist_ok=True)
    # Named by content: parts of two versions are never joined.
    part = waiting / re.sub(r"\W", "", etag)
    come = part.stat().st_size if part.exists() else 0
    _room_for(offer.size or file.bytes, come, file, models)
    headers = build_hf_headers()
    if urlparse(offer.location).netloc != urlparse(url).netloc:
        headers.pop("authorization", None)  # a token is for the hub, not for the store it points to
    with open(part, "ab") as out:
        http_get(offer.location, out, resume_size=come, headers=headers, expected_size=offer.size)
    place = judge(file, part)
    right = place.state == FOUND and (file.sha256 or not hub_sha256 or sha256(part) == hub_sha256)
    if not right:
        shutil.rmtree(waiting)
        said = place.said if place.state != FOUND else "something else than the hub says it is"
        raise RefocusError(
            f"{file.path} came as {said}: it was thrown away; fetch it again, and if that does not help "
            "the source has changed and Rackfocus must be updated."
        )
    target = models / file.folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, target)
    shutil.rmtree(waiting)
    if not any((models / WAITING_ROOM).iterdir()):
        (models / WAITING_ROOM).rmdir()
    return target


def _room_for(size: int | None, come: int, file: WeightFile, models: Path) -> None:
    free = shutil.disk_usage(models).free
    if size is not None and free < size - come:
        raise RefocusError(
            f"{file.path} needs {size - come:,} bytes more, but {models} has {free:,} left: make room "
            "or give another folder with --models."
        )
