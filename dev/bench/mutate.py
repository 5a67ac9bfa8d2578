"""Do the tests notice? Plant one fault after another in a file and run the tests that touch it.

    python -m dev.bench mutate pipelines/optics/focus.py [--lines 20-40] [--limit 60] [--tests tests/unit/test_x.py]

Faults: those of cosmic-ray that a person might make (signs, bounds, numbers, conditions), and in dev/bench/faults.py
the ones this field makes (height for width, near for far, a dropped clamp). Each survivor is shown as a diff; at the
end the share that was noticed. The tests run on a copy of the working tree: an interruption leaves nothing behind.
"""

import argparse
import difflib
import fnmatch
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..host.paths import ROOT, UserError

# Which tests touch which files: the first pattern that fits, then names of test files without `test_`. Beside them
# every test file whose name holds the source file's own word is run (focus.py: test_focus_point.py).
TOUCHED_BY = (
    ("pipelines/image/checks.py", ("light_and_checks", "inputs")),
    ("pipelines/image/light.py", ("light_and_checks", "highlights*")),
    ("pipelines/image/*", ("filters", "pyramid", "stacking", "stacking_measure", "stacking_large", "deblur_operator")),
    ("pipelines/optics/aperture.py", ("aperture*", "bokeh_lens")),
    ("pipelines/optics/*", ("disparity", "focus", "lens*", "rack", "show", "widgets")),
    ("pipelines/optical/focal_stack.py", ("focal_stack", "stack_node", "widgets")),
    ("pipelines/optical/bokeh/*", ("bokeh*", "highlights*")),
    ("pipelines/optical/deconvolution/*", ("deblur*",)),
    ("pipelines/optical/stacking/*", ("stacking*",)),
    ("pipelines/depth/*", ("depth*",)),
    ("pipelines/flux/*", ("flux*", "genfocus*")),
    ("pipelines/genfocus/*", ("genfocus*",)),
    ("pipelines/learn2refocus/*", ("learn2refocus*",)),
    ("training/*", ("training*",)),
    ("weights/*", ("weights", "weights_fetch")),
    ("nodes/flux/*", ("flux*", "genfocus*")),
    ("nodes/genfocus/*", ("genfocus*",)),
    ("nodes/learn2refocus/*", ("learn2refocus*",)),
    ("nodes/lens.py", ("lens*", "widgets", "inputs")),
    ("nodes/aperture.py", ("aperture*", "widgets")),
    ("nodes/blur.py", ("blur_nodes", "widgets", "inputs", "toy_engine")),
    ("nodes/optical.py", ("blur_nodes", "stack_node", "widgets", "inputs")),
    ("nodes/stack.py", ("stack_node", "widgets", "inputs", "learn2refocus_nodes")),
    ("nodes/depth.py", ("depth*",)),
    ("nodes/*", ("*",)),
)

_running: set[subprocess.Popen] = set()


def tests_of(file: str) -> list[str]:
    """Test files for a source file, unit tests first. file: relative to the root."""
    named = next((names for pattern, names in TOUCHED_BY if fnmatch.fnmatch(file, pattern)), ())
    own = re.compile(rf"_{Path(file).stem}(_|$)")
    found = [
        path.relative_to(ROOT).as_posix()
        for folder in ("unit", "nodes")
        for path in sorted((Path(ROOT) / "tests" / folder).glob("test_*.py"))
        if own.search(path.stem) or any(fnmatch.fnmatch(path.stem, f"test_{name}") for name in named)
    ]
    if not found:
        raise UserError(f"no test is known to touch {file}: name some with --tests, or add a line to TOUCHED_BY.")
    return found


def copy_tree(to: Path) -> Path:
    """The working tree without what git ignores, as a package `rackfocus`; returns its root."""
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    root = to / "rackfocus"
    for name in filter(None, listed.decode().split("\0")):
        if (Path(ROOT) / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(ROOT) / name, root / name)
    for name in (".venv", ".host"):
        (root / name).symlink_to((Path(ROOT) / name).resolve(), target_is_directory=True)
    return root


def run_tests(root: Path, tests: list[str], limit: float | None) -> tuple[bool, str]:
    """Whether all tests pass within `limit` seconds, and what pytest said. Those of nodes/ only if the others pass."""
    groups = [[t for t in tests if ("tests/nodes/" in t) is late] for late in (False, True)]
    said = ""
    for group in filter(None, groups):
        passed, said = _run_group(root, group, limit)
        if not passed:
            return False, said
    return True, said


def _run_group(root: Path, tests: list[str], limit: float | None) -> tuple[bool, str]:
    marks = ["-m", "(unit or nodes) and not slow"]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *marks, *tests]
    # Python neither writes nor trusts compiled files: two faults may fall into one second.
    environment = {**os.environ, "PYTHONPATH": str(root.parent), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        _running.add(process)
        try:
            said, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            return False, "took too long"
        finally:
            _running.discard(process)
    return process.returncode == 0, said[-3000:]


def diff(before: str, after: str, file: str) -> str:
    """The changed lines, with one line about them."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), file, file, n=1, lineterm="")
    return "\n".join(line for line in lines if not line.startswith(("---", "+++")))


def first_changed_line(before: str, after: str) -> int:
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    return next((i for i, (a, b) in enumerate(pairs, 1) if a != b), 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", default="", help="for example pipelines/optics/focus.py")
    parser.add_argument("--lines", default="", help="only these lines, for example 20-40")
    parser.add_argument("--limit", type=int, default=0, help="at most so many faults, drawn at random (seeded)")
    parser.add_argument("--tests", nargs="+", default=[], help="these test files in place of those that touch the file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    file = Path(os.path.relpath(given.file or ".", ROOT)).as_posix()
    if not file.endswith(".py") or not (Path(ROOT) / file).is_file():
        raise UserError(f"{given.file or 'no file'} is not a source file of this repository: give one, for example "
                        "`make mutate FILE=pipelines/optics/focus.py`.")  # fmt: skip
    try:
        from .faults import faults
    except ImportError as error:
        raise UserError(f"{error.name} is not installed: .venv/bin/pip install -e .[mutate]") from error

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    before = (Path(ROOT) / file).read_text(encoding="utf-8")
    planted = list(faults(before))
    if given.lines:
        low, high = (int(part) for part in given.lines.split("-"))
        planted = [after for after in planted if low <= first_changed_line(before, after) <= high]
    if 0 < given.limit < len(planted):
        planted = random.Random(0).sample(planted, given.limit)
    tests = given.tests or tests_of(file)
    print(f"{len(planted)} faults in {file}; tests: {' '.join(tests)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="rackfocus-mutate-") as temporary:
        roots: queue.Queue[Path] = queue.Queue()
        for i in range(given.jobs):
            (Path(temporary) / str(i)).mkdir()
            roots.put(copy_tree(Path(temporary) / str(i)))
        root, start = roots.get(), time.monotonic()
        passed, said = run_tests(root, tests, None)
        roots.put(root)
        if not passed:
            raise UserError(f"the tests fail without any fault:\n{said}")
        limit = 30 + 4 * given.jobs * (time.monotonic() - start)

        def survives(after: str) -> bool:
            root = roots.get()
            try:
                (root / file).write_text(after, encoding="utf-8")
                return run_tests(root, tests, limit)[0]
            finally:
                (root / file).write_text(before, encoding="utf-8")
                roots.put(root)

        survivors = 0
        with ThreadPoolExecutor(given.jobs) as pool:
            try:
                for after, survived in zip(planted, pool.map(survives, planted), strict=True):
                    if survived:
                        survivors += 1
                        print(
                            f"\nsurvived, line {first_changed_line(before, after)}:\n{diff(before, after, file)}",
                            flush=True,
                        )
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list(_running):
                    process.kill()
                raise
    caught = len(planted) - survivors
    print(f"\n{file}: {caught} of {len(planted)} faults noticed ({100 * caught / max(1, len(planted)):.0f} %)")
