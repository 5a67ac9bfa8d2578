"""Sampling: the schedule, Euler steps, tiles, image guidance."""

import math

import pytest
import torch

from rackfocus.pipelines.flux.blocks import Condition
from rackfocus.pipelines.flux.sampling import image_guided, sample, sigmas, tiled, time_shift
from rackfocus.pipelines.image.checks import RefocusError


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_shift_of_the_schedule():
    assert [time_shift(n) for n in (256, 1024, 4096)] == pytest.approx([0.5, 0.63, 1.15])
    assert time_shift(9000) > 1.15 and time_shift(12) < 0.5


def test_sigmas_by_hand():
    a = math.exp(0.5)  # 256 tokens
    assert sigmas(2, 256).tolist() == pytest.approx([1, a / (a + 1), 0], abs=1e-6)
    b = math.exp(1.15)
    assert sigmas(4, 4096).tolist() == pytest.approx([1, b / (b + 1 / 3), b / (b + 1), b / (b + 3), 0], abs=1e-6)


def test_sigmas_fall_from_1_to_0():
    s = sigmas(28, 1024)
    assert len(s) == 29 and s[0] == 1 and s[-1] == 0 and (s.diff() < 0).all() and s.dtype == torch.float32
    assert (sigmas(28, 4096)[1:-1] > s[1:-1]).all()  # more tokens, more noise for longer


def test_a_straight_path_ends_at_the_picture():
    """x = sigma * noise + (1 - sigma) * picture has the velocity noise - picture."""
    noise, picture = random(2, 3, 5, 4), random(2, 3, 5, 4, seed=1)
    out = sample(lambda x, conditions, sigma: noise - picture, noise, [], sigmas(3, 15))
    assert torch.allclose(out, picture, atol=1e-5)


def test_every_step_predicts_at_its_own_sigma_and_point():
    seen, done = [], []
    conditions = [Condition(random(1, 2, 3, 4), {})]

    def predict(x, given, sigma):
        seen.append((sigma, x.mean().item()))
        assert given is conditions
        return x

    levels = torch.tensor([1.0, 0.5, 0.25, 0.0])
    out = sample(predict, torch.ones(1, 2, 3, 4), conditions, levels, lambda *n: done.append(n))
    # x is multiplied by 1 + (next - now)
    assert seen == [(1.0, 1.0), (0.5, 0.5), (0.25, 0.375)] and done == [(1, 3), (2, 3), (3, 3)]
    assert torch.allclose(out, torch.full_like(out, 0.28125))


def test_what_progress_raises_passes_through():
    with pytest.raises(KeyboardInterrupt):
        sample(lambda x, c, s: x, torch.ones(1, 1, 1, 1), [], sigmas(4, 1), lambda done, total: stop())


def stop():
    raise KeyboardInterrupt


def test_a_tile_gets_its_part_of_noise_and_conditions():
    noise, grid = random(2, 3, 9, 4), random(2, 3, 9, 4, seed=1)
    condition = Condition(grid, {"layer": None}, offset=(0, 32), mutual=True)
    calls = []

    def predict(x, conditions, sigma):
        (c,) = conditions
        calls.append((tuple(x.shape), c.offset, c.mutual, c.lora is condition.lora, sigma))
        return x + 2 * c.grid

    out = tiled(predict, 5)(noise, [condition], 0.3)
    assert calls == [((2, 3, 5, 4), (0, 0), True, True, 0.3)] * 2  # every tile counts from 0
    assert torch.allclose(out, noise + 2 * grid, atol=1e-5)


@pytest.mark.parametrize("size", [(3, 8), (9, 3), (4, 9)])
def test_tiles_need_conditions_of_the_pictures_size(size):
    with pytest.raises(RefocusError, match=rf"condition of {size[0]} x {size[1]} tokens .* picture of 3 x 9"):
        tiled(lambda *a: None, 5)(random(1, 3, 9, 4), [Condition(random(1, *size, 4), {})], 1.0)


def test_image_guidance():
    noise, grid, dark = random(1, 2, 3, 4), random(1, 2, 3, 4, seed=1), random(1, 2, 3, 4, seed=2)
    calls = []

    def predict(x, conditions, sigma):
        calls.append(("seen", sigma, [(c.mutual, c.offset) for c in conditions]))
        return conditions[0].grid

    def untiled(x, conditions, sigma):
        calls.append(("black", sigma, [(c.mutual, c.offset) for c in conditions]))
        assert x is noise
        return conditions[0].grid * 10

    given = [Condition(grid, {}, (0, 32))]
    out = image_guided(predict, untiled, [dark], 1.6)(noise, given, 0.7)
    assert torch.allclose(out, dark * 10 + 1.6 * (grid - dark * 10))
    # the black prediction is never tiled, and its conditions see one another
    assert calls == [("seen", 0.7, [(False, (0, 32))]), ("black", 0.7, [(True, (0, 32))])]
    assert torch.allclose(image_guided(predict, untiled, [dark], 0.0)(noise, given, 0.7), dark * 10)


def test_an_image_guidance_of_1_needs_no_black_images():
    def predict(*given):
        return None

    assert image_guided(predict, None, None, 1.0) is predict


@pytest.mark.parametrize("scale", [0.0, 1.7])
def test_image_guidance_without_black_images_is_said(scale):
    with pytest.raises(RefocusError, match=rf"image guidance of {scale:g} .* black .* none were given: give"):
        image_guided(lambda *a: None, lambda *a: None, None, scale)
    guided = image_guided(lambda *a: None, lambda *a: None, [random(1, 1, 1, 4)], 1.7)
    with pytest.raises(RefocusError, match="1 black condition images were given for 2 conditions"):
        guided(random(1, 1, 1, 4), [Condition(random(1, 1, 1, 4), {})] * 2, 1.0)
