"""Fetch a file of the manifest through huggingface_hub, into a waiting room first: only a right file gets its place."""
import os
import shutil
from pathlib import Path

from ..pipelines.engines import WeightFile
from ..pipelines.optics.errors import RefocusError
from .check import FOUND, judge

# Beside the host's folders and not in one of them, so that no loader lists what is only half here.
WAITING_ROOM = ".rackfocus-download"


def fetch_file(file: WeightFile, models: Path) -> Path:
    """Download (a broken-off download goes on where it stopped), check, move into place; returns the path.

    A file of another size or sha256 is thrown away. Raises RefocusError with what to do; KeyboardInterrupt passes,
    and what has come so far stays for the next time.
    """
    waiting = models / WAITING_ROOM / f"{file.repository}/{file.path}".replace("/", "--")
    _room_for(file, models)
    came = Path(download(file, waiting))
    place = judge(file, came)
    if place.state != FOUND:
        shutil.rmtree(waiting, ignore_errors=True)
        raise RefocusError(f"{file.path} came as {place.said}: it was thrown away; fetch it again, and if that does "
                           "not help the source has changed and Rackfocus must be updated.")
    target = models / file.folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(came, target)
    shutil.rmtree(waiting, ignore_errors=True)
    if not any((models / WAITING_ROOM).iterdir()):
        (models / WAITING_ROOM).rmdir()
    return target


def download(file: WeightFile, folder: Path) -> str:
    """huggingface_hub's download with its failures as sentences."""
    try:
        import huggingface_hub
        from huggingface_hub import utils as hub
    except ImportError as error:
        raise RefocusError("huggingface_hub is not installed, but it does the downloading: install transformers, as "
                           f"ComfyUI does, or get {file} yourself.") from error
    page = f"https://huggingface.co/{file.repository}"
    try:
        return huggingface_hub.hf_hub_download(file.repository, file.path, revision=file.revision, local_dir=folder)
    except hub.GatedRepoError as error:
        raise RefocusError(f"{file.repository} is gated: log in at {page}, accept its licence "
                           f"({file.licence or 'unknown'}), run 'hf auth login' with a token that may read it, and "
                           "fetch again.") from error
    except hub.RepositoryNotFoundError as error:
        raise RefocusError(f"{file.repository} does not exist or is private, but {file.path} was to come from it: "
                           f"look at {page}.") from error
    except (hub.RevisionNotFoundError, hub.EntryNotFoundError) as error:
        if isinstance(error, hub.LocalEntryNotFoundError):
            raise _unreachable(file, error) from error
        raise RefocusError(f"{file.repository} has no {file.path} at revision {file.revision or 'main'}, but the "
                           f"manifest names it: look at {page} and update Rackfocus.") from error
    except Exception as error:   # which ones a broken connection raises depends on the version of huggingface_hub
        raise _unreachable(file, error) from error


def _unreachable(file, error):
    return RefocusError(f"{file.path} could not be fetched from {file.repository} "
                        f"({' '.join(f'{type(error).__name__}: {error}'.split())[:160]}): check network and disk and "
                        "fetch again, it goes on where it stopped.")


def _room_for(file, models):
    free = shutil.disk_usage(models).free
    if file.bytes is not None and free < file.bytes:
        raise RefocusError(f"{file.path} needs {file.bytes:,} bytes, but {models} has {free:,} left: make room or give "
                           "another folder with --models.")
