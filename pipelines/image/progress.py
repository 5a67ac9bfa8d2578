"""How far a job has come, told to its caller, who may cancel it whenever he is told.

A look is such a moment. A second of work is the most that may lie between two, on one core and for a picture of 16
megapixels: so long loops look in every round, and functions that go through a whole picture, by bands of its rows.
"""

from collections.abc import Callable, Iterator
from contextvars import ContextVar, Token

import torch
from torch import Tensor

# Numbers of a picture that are worked on from one look to the next; a power of each takes 20 ms on one core.
PIECE = 1 << 22

_running: ContextVar["Counter | None"] = ContextVar("running", default=None)


class Counter:
    """Steps done, out of `total`; report(done, total), if there is one, hears of each.

    report may raise to cancel: what it raises passes through. `with` a counter, look() anywhere below reports its
    count once more; with one that reports to nobody, that of the counter around it.
    """

    def __init__(self, report: Callable[[int, int], object] | None, total: int):
        self.report, self.total, self.done = report, total, 0
        self._before: list[Token] = []

    def __enter__(self) -> "Counter":
        self._before.append(_running.set(_running.get() if self.report is None else self))
        return self

    def __exit__(self, *_) -> None:
        _running.reset(self._before.pop())

    def tick(self) -> None:
        """One step more."""
        self.to(self.done + 1)

    def to(self, done: int) -> None:
        """`done` steps in all."""
        self.done = done
        self.pulse()

    def pulse(self) -> None:
        """Report the same count again, so that the job can be cancelled within a long step."""
        if self.report is not None:
            self.report(self.done, self.total)


def look() -> None:
    """Let the running job be cancelled; nothing where none is counted."""
    counter = _running.get()
    if counter is not None:
        counter.pulse()


def bands(t: Tensor, share: int = 1) -> Iterator[tuple[int, slice]]:
    """t [B, H, ...] -> (frame, rows) that cover it once, about PIECE / share numbers each; looks before each."""
    b, h = t.shape[:2]
    rows = max(1, PIECE // share * b * h // max(1, t.numel()))
    for i in range(b):
        for top in range(0, h, rows):
            look()
            yield i, slice(top, min(h, top + rows))


def by_pieces(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """f(x), for an f that changes each number by itself; looks after each PIECE of them."""
    if x.numel() <= PIECE:
        return f(x)
    out = torch.empty_like(x)
    parts = -(-x.numel() // PIECE)
    dim = next((d for d in range(x.ndim) if x.shape[d] >= parts), 0)  # the first that serves: memory in one piece
    step = -(-x.shape[dim] // parts)
    for a, b in zip(x.split(step, dim), out.split(step, dim), strict=True):
        b.copy_(f(a))
        look()
    return out
