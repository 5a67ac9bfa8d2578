"""A few hundred of the cases of `make fuzz`, the same in every run; and its own verdicts."""

import subprocess
import sys

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError

from . import outcome
from .draw import Draw, told


def test_a_few_hundred_odd_inputs(root):
    command = [sys.executable, "-m", "dev.bench", "fuzz", "--cases", "300", "--seed", "0"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def fail(message: str):
    raise RefocusError(message)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda x: x / 0 * torch.tensor(0.0), "result is not finite"),
        (lambda x: {"a": [1.0, float("nan")]}, r"result.a\[1\] is nan"),
        (lambda x: x.add_(1), "x was written to"),
        (lambda x: {}["gone"], "KeyError"),
        (lambda x: fail("a" * 400 + "."), "401 characters"),
        (lambda x: fail("one\ntwo."), "more than one line"),
        (lambda x: fail("no end"), "no whole sentence"),
        (lambda x: fail(""), "no sentence"),
    ],
)
def test_what_may_not_happen_is_noticed(call, said):
    with pytest.raises(AssertionError, match=said):
        outcome.run(call, {"x": torch.ones(2, 3)})


def test_what_may_happen_passes():
    x = torch.ones(2, 3)
    assert outcome.run(lambda x: x + 1, {"x": x}).sum() == 12
    assert outcome.run(lambda x: fail("x is odd, but even is needed."), {"x": x}) is None


def test_a_case_is_the_same_when_it_is_repeated():
    def drawn(seed):
        draw = Draw(seed)
        return [told(made()) for made in (draw.image, draw.depth, draw.plane, draw.defocus, draw.seed) * 20]

    assert drawn("a 1") == drawn("a 1") != drawn("a 2")
