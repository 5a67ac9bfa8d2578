"""What a run leaves behind: a state to go on from, written whole or not at all, a log in JSON lines, an average."""

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..pipelines.image.checks import RefocusError

VERSION = 1


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, which takes its place at the end; after an error `path` is what it was.

    Raises RefocusError where the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _cannot_write(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    except RuntimeError as error:  # torch and safetensors report what the disk says in words
        if "No space left" in str(error) or "os error 28" in str(error) or "PytorchStreamWriter" in str(error):
            raise _cannot_write(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> RefocusError:
    if error.errno == errno.ENOSPC:
        return RefocusError(
            f"the disk is full: {path.name} could not be written into {path.parent}, and what was there before is as "
            "it was; make room and start the same command again to go on."
        )
    return RefocusError(f"{path} could not be written ({error.strerror}): choose another folder with --out.")


def save_state(path: Path, state: dict[str, Any]) -> None:
    """state: tensors, numbers, texts, lists and dicts of them."""
    with whole(path) as temporary:
        torch.save({"version": VERSION, **state}, temporary)


def load_state(path: Path, model: dict[str, Any], plan: dict[str, Any]) -> dict[str, Any] | None:
    """The state, None where there is no file. RefocusError if it cannot be read, or is another model's or plan's."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever pickle and zip make of a broken file
        raise RefocusError(
            f"{path} cannot be read as a state of training: move it away to start afresh, or put a whole one there."
        ) from error
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise RefocusError(
            f"{path} is no state of version {VERSION}: it was made by another version of this pack; choose another "
            "folder with --out."
        )
    for kind, now in (("model", model), ("plan", plan)):
        then = state.get(kind, {})
        other = sorted(k for k in now.keys() | then.keys() if now.get(k) != then.get(k))
        if other:
            name = other[0]
            raise RefocusError(
                f"{path} is the state of another {'model' if kind == 'model' else 'run'}: its {name} is "
                f"{then.get(name)} and now it is {now.get(name)}; give it the same, or choose another folder with "
                "--out."
            )
    return state


class Log:
    """JSON lines, one for each step that is logged; and TensorBoard's events where it is installed.

    from_step: lines of later steps are dropped, as those of a run that went on and was not saved.
    """

    def __init__(self, path: Path, from_step: int):
        self.path = path
        kept = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):  # a line that a crash cut off
                    if json.loads(line)["step"] <= from_step:
                        kept.append(line)
        with whole(path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self.board = _board(path.parent, from_step)

    def __call__(self, step: int, **values: float) -> None:
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def close(self) -> None:
        if self.board is not None:
            self.board.close()


def _board(folder: Path, from_step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=from_step + 1)


class Average:
    """An exponential moving average of parameters; its decay rises to `decay` so that the start is forgotten soon."""

    def __init__(self, parameters: dict[str, Tensor], decay: float):
        self.decay, self.steps = decay, 0
        self.values = {name: p.detach().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, parameters: dict[str, Tensor]) -> None:
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        now = [parameters[name].detach() for name in self.values]
        torch._foreach_lerp_(list(self.values.values()), now, 1 - decay)

    @contextlib.contextmanager
    def applied(self, parameters: dict[str, Tensor]) -> Iterator[None]:
        """The average in the place of the parameters."""
        before = {name: parameters[name].detach().clone() for name in self.values}
        self.put(self.values, parameters)
        try:
            yield
        finally:
            self.put(before, parameters)

    @staticmethod
    @torch.no_grad()
    def put(values: dict[str, Tensor], parameters: dict[str, Tensor]) -> None:
        for name, value in values.items():
            parameters[name].copy_(value)


Said = Callable[[str], object]
