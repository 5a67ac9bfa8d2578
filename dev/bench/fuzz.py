"""Thousands of odd inputs: python -m dev.bench fuzz --cases 5000 --seed 0 [--group nodes] [--case 17]

Every case of tests/fuzz must end in a finite result of the right size, or in one sentence of at most 400 characters; it
writes to no input, takes at most 30 s of a core and at most 4 GiB. Cases run in processes of their own, one for each
core, which are killed and started again where a case takes too long; what fails is printed with the command that
repeats it.
"""

import argparse
import collections
import json
import os
import selectors
import subprocess
import sys
import time
import traceback

import psutil

from ..host.paths import ROOT, UserError

GROUPS = ("nodes", "functions", "keyframes", "files", "downloads")
SHARES = {"nodes": 10, "functions": 8, "keyframes": 3, "files": 3, "downloads": 1}
SECONDS, GIGABYTES = 30, 4
PATIENCE = 10  # times as long a case may take where other work holds the cores; one that sleeps is not waited for
FEW = 200
START = 300  # seconds a process may take until its first case: it imports the host


def shared_out(cases: int, groups) -> dict[str, int]:
    """{group: how many of all cases it gets}, of the groups that are there."""
    there = [g for g in groups if os.path.exists(os.path.join(ROOT, "tests", "fuzz", f"{g}.py"))]
    whole = sum(SHARES[g] for g in there)
    return {g: max(1, round(cases * SHARES[g] / whole)) for g in there}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--group", choices=GROUPS, help="this group alone")
    parser.add_argument("--case", type=int, help="this case of the group alone, in this process, with its traceback")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)  # of a process: which of the cases are its own
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)  # ... and from which on
    given = parser.parse_args()
    groups = shared_out(given.cases, [given.group] if given.group else GROUPS)
    if given.case is not None:
        if not given.group:
            raise UserError("a case is named by its group, too: --group nodes --case 17.")
        work(given.group, given.seed, [given.case], report=None)
    elif given.part is not None:
        numbers = range(given.first, groups[given.group])
        work(given.group, given.seed, [n for n in numbers if n % given.processes == given.part], report=tell)
    else:
        sys.exit(watch(groups, given.seed, given.processes))


# In a process of its own.


def work(group: str, seed: int, numbers, report) -> None:
    """Run these cases of a group. report(dict) hears of each beginning and end; None: a failure is raised."""
    from importlib import import_module

    from ..host.library import use_comfy

    use_comfy()
    import torch

    torch.set_num_threads(1)
    wanted = set(numbers)
    module = import_module(f"rackfocus.tests.fuzz.{group}")
    limit_memory()
    for number, (name, call) in enumerate(module.cases(max(wanted, default=-1) + 1, seed)):
        if number not in wanted:
            continue
        if report is None:
            print(name)
            call()
            continue
        report({"begins": number, "name": name})
        start = time.process_time()
        try:
            call()
            why = None
        except BaseException as error:
            why = "".join(traceback.format_exception_only(error)).strip()[:1500]
            why += "\n" + "".join(traceback.format_tb((error.__cause__ or error).__traceback__)[-3:])
            if isinstance(error, KeyboardInterrupt):
                raise
        report({"ends": number, "why": why, "seconds": time.process_time() - start, "gigabytes": peak()})


def limit_memory() -> None:
    """No allocation may take this process past GIGABYTES more than it holds now, nor freeze the machine."""
    try:
        import resource
    except ImportError:  # Windows
        return
    with open("/proc/self/statm") if os.path.exists("/proc/self/statm") else open(os.devnull) as file:
        pages = (file.read() or "0").split()[0]
    limit = int(pages) * resource.getpagesize() + GIGABYTES * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def peak() -> float:
    """The most memory this process ever held, in GiB."""
    try:
        import resource
    except ImportError:
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform != "darwin" else 2**30)


def tell(what: dict) -> None:
    sys.__stdout__.write("\x1e" + json.dumps(what) + "\n")
    sys.__stdout__.flush()


# The process that watches.


class Part:
    """One process and what it last said."""

    def __init__(self, group: str, count: int, seed: int, part: int, parts: int):
        self.group, self.count, self.seed, self.part, self.parts = group, count, seed, part, parts
        self.number, self.name, self.next = None, "", 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", __package__, "fuzz", "--group", self.group, "--seed", str(self.seed)]
        command += ["--cases", str(self.count), "--part", str(self.part), "--processes", str(self.parts)]
        command += ["--first", str(self.next)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
        )
        self.rest, self.errors, self.limit = b"", b"", START
        self.hears()

    def hears(self) -> None:
        """The process has said something: what it does next begins now."""
        self.since, self.worked = time.monotonic(), self.core()

    def core(self) -> float:
        """Seconds of a core that the process has had."""
        try:
            return sum(psutil.Process(self.process.pid).cpu_times()[:2])
        except psutil.Error:
            return 0.0

    def over(self) -> bool:
        """Whether its case takes too long."""
        seconds = time.monotonic() - self.since
        if seconds < self.limit:
            return False
        worked = self.core() - self.worked
        return worked > self.limit or worked < 0.02 * seconds or seconds > PATIENCE * self.limit

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def watch(groups: dict[str, int], seed: int, processes: int) -> int:
    """Run all cases; 0 where none failed."""
    started, failures, slowest, largest, done = time.monotonic(), [], 0.0, 0.0, 0
    # Few cases are not worth the start of a second process.
    waiting = [(g, n, p, k) for g, n in groups.items() for k in (processes if n >= FEW else 1,) for p in range(k)]
    print(", ".join(f"{n} {g}" for g, n in groups.items()), f"seed {seed}", flush=True)
    selector = selectors.DefaultSelector()
    running: list[Part] = []

    def begin(part: Part) -> None:
        for stream in (part.process.stdout, part.process.stderr):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ, part)
        running.append(part)

    def end(part: Part) -> None:
        for stream in (part.process.stdout, part.process.stderr):
            selector.unregister(stream)
            stream.close()
        running.remove(part)

    def failed(part: Part, number, why: str) -> None:
        failures.append((part.group, number, why))
        print(f"\n{part.group} case {number} ({part.name}): {why}", flush=True)
        print(f"    python -m dev.bench fuzz --seed {seed} --group {part.group} --case {number}", flush=True)

    try:
        while waiting or running:
            while waiting and len(running) < processes:
                group, count, p, parts = waiting.pop(0)
                begin(Part(group, count, seed, p, parts))
            for key, _ in selector.select(timeout=0.5):
                part, data = key.data, key.fileobj.read() or b""
                if key.fileobj is part.process.stderr:
                    part.errors = (part.errors + data)[-4000:]
                    continue
                *lines, part.rest = (part.rest + data).split(b"\n")
                for line in lines:
                    if not line.startswith(b"\x1e"):
                        continue
                    said = json.loads(line[1:])
                    part.hears()
                    if "begins" in said:
                        part.number, part.name, part.limit = said["begins"], said["name"], SECONDS
                        continue
                    part.next, part.number, part.limit = said["ends"] + 1, None, START
                    done, slowest = done + 1, max(slowest, said["seconds"])
                    why = said["why"]
                    if why is None and said["gigabytes"] > GIGABYTES > largest:
                        why = f"it held {said['gigabytes']:.1f} GiB"
                    largest = max(largest, said["gigabytes"])
                    if why:
                        failed(part, said["ends"], why)
            for part in list(running):
                over = part.over()
                if part.process.poll() is None and not over:
                    continue
                part.kill()
                end(part)
                if part.number is not None:
                    failed(part, part.number, f"over {SECONDS} s" if over else "the process died")
                    done, part.next, part.number = done + 1, part.number + 1, None
                    part.start()
                    begin(part)
                elif part.process.returncode:
                    raise UserError(f"{part.group} did not start:\n{part.errors.decode(errors='replace')}")
    finally:
        for part in running:
            part.kill()
    minutes = (time.monotonic() - started) / 60
    print(
        f"{done} cases in {minutes:.1f} minutes: {len(failures)} failures, slowest {slowest:.1f} s, {largest:.1f} GiB"
    )
    for group, number in collections.Counter(g for g, *_ in failures).items():
        print(f"    {group}: {number}")
    return 1 if failures else 0
