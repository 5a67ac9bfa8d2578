"""How far a job has come, told to its caller."""

from collections.abc import Callable


class Counter:
    """Steps done, out of `total`; report(done, total), if there is one, hears of each.

    report may raise to cancel: what it raises passes through.
    """

    def __init__(self, report: Callable[[int, int], object] | None, total: int):
        self.report, self.total, self.done = report, total, 0

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
