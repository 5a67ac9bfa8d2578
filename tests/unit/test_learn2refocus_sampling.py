"""The noise levels and the Euler steps of learn2refocus, by formula and on a signal that is known."""

import math
from itertools import pairwise

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.learn2refocus.sampling import denoised, sample, sigmas


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("steps", [1, 2, 3, 25])
def test_the_schedule_falls_from_700_over_0_002_to_0(steps):
    levels = sigmas(steps).tolist()
    assert len(levels) == steps + 1 and levels == sorted(levels, reverse=True)
    assert levels[0] == pytest.approx(700) and levels[-1] == 0
    assert steps == 1 or levels[-2] == pytest.approx(0.002)


def test_between_its_ends_the_schedule_is_even_in_the_seventh_root():
    roots = [s ** (1 / 7) for s in sigmas(5).tolist()[:-1]]
    assert [b - a for a, b in pairwise(roots)] == pytest.approx([(roots[4] - roots[0]) / 4] * 4)
    with pytest.raises(RefocusError, match="steps is 0"):
        sigmas(0)


def v_of(signal, noise, sigma):
    """v = a noise - a sigma signal, a = 1 / sqrt(sigma^2 + 1): v-prediction as variance-preserving diffusion has it."""
    return (noise - sigma * signal) / math.sqrt(sigma**2 + 1)


@pytest.mark.parametrize("sigma", [0.01, 0.5, 2.0, 300.0])
def test_a_perfect_prediction_gives_the_signal(sigma):
    signal, noise = normal(3, 5).double(), normal(3, 5, seed=1).double()
    assert torch.allclose(denoised(signal + sigma * noise, v_of(signal, noise, sigma), sigma), signal, atol=1e-9)


def test_sampling_with_perfect_predictions_ends_at_the_signal():
    """On the way x is signal + sigma * noise, and the network sees it at unit variance."""
    signal, noise, seen = normal(3, 5), normal(3, 5, seed=1), []

    def predict(x, sigma):
        now = (x * math.sqrt(sigma**2 + 1) - signal) / sigma  # the noise that is in x
        seen.append((sigma, x))
        return v_of(signal, now, sigma)

    levels = torch.tensor([40.0, 3.0, 0.5, 0.0])
    made = sample(predict, noise, levels)
    assert torch.allclose(made, signal, atol=1e-4)
    assert [s for s, _ in seen] == pytest.approx([40.0, 3.0, 0.5])
    assert torch.allclose(seen[0][1], noise, atol=1e-5)
    start = noise * math.sqrt(40**2 + 1)
    for sigma, x in seen:
        assert torch.allclose(x * math.sqrt(sigma**2 + 1), signal + sigma / 40 * (start - signal), atol=1e-3)


def test_one_euler_step_by_hand():
    """v = 0, from sigma 2 to 1: x0 = x / 5, so x loses half of 4 / 5."""
    noise = torch.tensor([1.0, -2.0])
    made = sample(lambda x, sigma: torch.zeros_like(x), noise, torch.tensor([2.0, 1.0]))
    assert torch.allclose(made, noise * math.sqrt(5) * (1 - 0.4))


def test_progress_counts_steps_and_may_stop():
    seen = []
    sample(lambda x, sigma: x, torch.zeros(2), sigmas(3), lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(lambda x, sigma: x, torch.zeros(2), sigmas(3), stop)
