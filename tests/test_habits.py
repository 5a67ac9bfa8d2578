"""What makes a test worth having, as far as its source tells: every random number seeded, no clock asked."""

import re

import pytest

UNSEEDED = re.compile(
    r"torch\.(rand|randn|randint|randperm)\(|np\.random\.(?!default_rng)|os\.urandom|\.(normal|uniform)_\("
)
CLOCK = re.compile(r"\b(perf_counter|process_time)\b|\btime\.(time|monotonic)\(")


def lines(folder):
    for path in sorted(folder.rglob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield path, number, line


def unseeded(line):
    return UNSEEDED.search(line) and not re.search(r"generator=|manual_seed", line)


def test_every_random_number_has_a_seed(root):
    here = root / "tests" / "test_habits.py"
    assert not [f"{path}:{n}" for path, n, line in lines(root / "tests") if path != here and unseeded(line)]


@pytest.mark.parametrize("folder", ["unit", "nodes", "parity", "truth"])
def test_no_test_looks_at_the_clock(root, folder):
    """Seconds depend on the machine; what is to be fast is counted (steps, calls, bytes) or measured by make bench."""
    assert not [f"{path}:{n}" for path, n, line in lines(root / "tests" / folder) if CLOCK.search(line)]


def test_the_rules_see_what_they_forbid():
    assert unseeded("x = torch.rand(3, 4)") and not unseeded("torch.rand(3, generator=torch.Generator())")
    assert CLOCK.search("start = time.time()") and not CLOCK.search("the way is monotonic")
