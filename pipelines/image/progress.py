"""Counts passes for the caller's progress."""


class Clock:
    """report(done, total) on every tick, if there is one to report to; what it raises passes through."""

    def __init__(self, report, total: int):
        self.report, self.total, self.done = report, total, 0

    def tick(self):
        self.to(self.done + 1)

    def to(self, done: int):
        self.done = done
        if self.report is not None:
            self.report(done, self.total)
