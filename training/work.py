"""Shards made one after the other, or by several processes; each shard is the same whoever makes it."""

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from ..pipelines.image.checks import RefocusError
from ..pipelines.image.progress import Counter as Looks
from .example import UnfitError, example, one_thread
from .plan import Job, Shard
from .shards import writing

LOOK = 0.2  # seconds between two looks at what the workers have done


@dataclass(frozen=True)
class Made:
    """A finished shard. report: as its __end__ has it; seconds: of CPU time."""

    report: dict
    seconds: float


Told = Callable[[int], object]  # is told how many pictures are done; may raise to stop


def make_shard(job: Job, shard: Shard, told: Told = lambda done: None) -> Made:
    """Write one shard: a pure function of the job and the pictures' bytes but for the file that it leaves.

    A picture that is broken or does not fit is left out and told of. RefocusError where the shard cannot be written.
    """
    start = time.process_time()
    kept, left_out, broken = 0, Counter[str](), []
    with one_thread(), writing(job.out / shard.name) as out:
        for done, (key, name) in enumerate(shard.pictures, 1):
            some = False
            try:
                picture, disparity = job.source.load(name)
                for variant in range(job.variants):
                    out.add(example(picture, disparity, job.seed, key, variant, job.settings))
                    some = True
            except UnfitError as error:
                if not some:
                    left_out[error.why] += 1
            except RefocusError as error:
                broken.append([name, str(error)])
            kept += some
            told(done)
        report = {"pictures": len(shard.pictures), "kept": kept, "left_out": dict(sorted(left_out.items()))}
        report["broken"] = broken
        report = out.end(report)
    return Made(report, time.process_time() - start)


def one_after_the_other(job: Job, shards: list[Shard], told: Told) -> Iterator[Made]:
    """In this process. told(n): n pictures are done in all."""
    before = 0

    def of_this_shard(done: int) -> None:
        told(before + done)

    for shard in shards:
        yield make_shard(job, shard, of_this_shard)
        before += len(shard.pictures)


def in_processes(job: Job, shards: list[Shard], told: Told, workers: int) -> Iterator[Made]:
    """Side by side in `workers` processes, finished ones in any order."""
    context = multiprocessing.get_context("spawn")  # a fork of a process that has run torch may hang
    stop, done = context.Event(), context.Value("q", 0)
    with ProcessPoolExecutor(workers, context, _begin, (stop, done)) as pool:
        waiting = {pool.submit(_in_worker, job, shard) for shard in shards}
        try:
            while waiting:
                finished, waiting = wait(waiting, LOOK, FIRST_COMPLETED)
                told(done.value)
                yield from (future.result() for future in finished)
        except BrokenProcessPool as error:
            raise RefocusError(
                "a worker ended without a word, most likely for want of memory: give the same command with fewer "
                "--workers, it goes on from there."
            ) from error
        finally:
            stop.set()
            for future in waiting:
                future.cancel()


_stop = None
_done = None


def _begin(stop, done) -> None:
    """In a new worker: Ctrl-C is for its parent, which then sets `stop`; and it does not outlive that."""
    global _stop, _done
    _stop, _done = stop, done
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow():
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _in_worker(job: Job, shard: Shard) -> Made:
    assert _stop is not None and _done is not None
    stop, counter = _stop, _done

    def heard(*_):
        if stop.is_set():
            raise KeyboardInterrupt

    def told(done: int):
        heard()
        with counter.get_lock():
            counter.value += 1

    with Looks(heard, 1):  # so that it is heard within a picture, too
        return make_shard(job, shard, told)
