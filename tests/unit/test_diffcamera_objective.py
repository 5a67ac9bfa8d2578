"""The objective: its losses by what they mean, its masks by hand, its schedule and times by what they must be."""

import math

import pytest
import torch

from rackfocus.pipelines.diffcamera import objective as o
from rackfocus.pipelines.flux.sampling import sigmas

RANDOM = torch.Generator()


@pytest.fixture(autouse=True)
def _seeded():
    """Whichever tests ran before."""
    RANDOM.manual_seed(0)


S, K, H, W, C = 2, 3, 4, 5, 6


@pytest.fixture
def scene():
    """(z [S, K, h, w, C], e, t, sharp, z_J): planes equal z_J where they are sharp."""
    z_j = torch.randn(S, H, W, C, dtype=torch.float64, generator=RANDOM)
    sharp = torch.rand(S, K, H, W, generator=RANDOM) < 0.4
    z = torch.where(sharp[..., None], z_j[:, None], torch.randn(S, K, H, W, C, dtype=torch.float64, generator=RANDOM))
    return (
        z,
        torch.randn(S, H, W, C, dtype=torch.float64, generator=RANDOM),
        torch.rand(S, dtype=torch.float64, generator=RANDOM) * 0.9 + 0.05,
        sharp,
        z_j,
    )


def test_a_path_goes_from_the_latents_to_the_noise(scene):
    z, e, _, _, _ = scene
    assert torch.equal(o.noised(z, e, torch.zeros(S)), z)
    assert torch.equal(o.noised(z, e, torch.ones(S)), e[:, None].expand_as(z))


def test_the_true_velocity_leads_back_and_costs_nothing(scene):
    z, e, t, sharp, z_j = scene
    v = e[:, None] - z
    assert torch.allclose(o.clean(o.noised(z, e, t), v, t), z)
    found = o.losses(v, z, e, sharp, z_j, 0.25)
    assert found.flow == 0
    assert found.stack < 1e-12  # the photos of a scene do stack
    assert found.total < 1e-12


def test_the_stacking_loss_is_the_constraint_on_clean_latents_by_t_squared(scene):
    z, e, t, sharp, z_j = scene
    v = torch.randn_like(z)
    weights, known = o.stack_weights(sharp)
    away = (weights[..., None] * o.clean(o.noised(z, e, t), v, t)).sum(1) - z_j
    by_hand = away.square().mean(-1) / t[:, None, None] ** 2
    assert torch.allclose(o.stack_loss(v, sharp, z_j, e).double(), by_hand[known].mean(), rtol=1e-5)


def test_weights_share_each_token_among_the_planes_that_are_sharp_there(scene):
    sharp = scene[3]
    weights, known = o.stack_weights(sharp)
    assert torch.allclose(weights.sum(1), known.float())
    assert (weights[~sharp] == 0).all()
    assert 0 < known.float().mean() < 1


def test_nothing_outside_of_the_sharp_tokens_moves_the_stacking_loss(scene):
    z, e, _, sharp, z_j = scene
    v = torch.randn_like(z, requires_grad=True)
    o.stack_loss(v, sharp, z_j, e).backward()
    moved = v.grad.abs().sum(-1) > 0
    assert torch.equal(moved, sharp)


def test_no_sharp_token_at_all_is_no_loss_and_no_gradient(scene):
    z, e, _, sharp, z_j = scene
    v = torch.randn_like(z, requires_grad=True)
    loss = o.stack_loss(v, torch.zeros_like(sharp), z_j, e)
    loss.backward()
    assert loss == 0
    assert (v.grad == 0).all()


def test_gradients_are_those_of_the_formula(scene):
    z, e, _, sharp, z_j = scene
    v = (0.1 * torch.randn_like(z)).requires_grad_()

    def total(v):  # in double precision: losses themselves come as float32
        weights, known = o.stack_weights(sharp)
        flow = (v - (e[:, None] - z)).square().mean()
        stack = ((weights[..., None] * v).sum(1) - (e - z_j)).square().mean(-1)[known].mean()
        return flow + 0.25 * stack

    assert torch.autograd.gradcheck(total, v)
    (by_hand,) = torch.autograd.grad(total(v), v)
    (found,) = torch.autograd.grad(o.losses(v, z, e, sharp, z_j, 0.25).total, v)
    assert torch.allclose(found, by_hand, atol=1e-7)
    assert torch.isclose(o.losses(v, z, e, sharp, z_j, 0.25).total.double(), total(v), rtol=1e-5)


@pytest.mark.parametrize("token", [16, 4])
def test_a_token_is_sharp_if_all_of_it_and_half_a_token_around_are(token):
    h, w = 4, 6
    for y, x in ((0, 0), (token, 2 * token), (2 * token - 1, 3 * token + token // 2), (4 * token - 1, 6 * token - 1)):
        sharp = torch.ones(1, h * token, w * token, dtype=torch.bool)
        sharp[0, y, x] = False
        found = o.token_mask(sharp, token)[0]
        for i in range(h):
            for j in range(w):
                reach = token // 2
                near = i * token - reach <= y < (i + 1) * token + reach
                near &= j * token - reach <= x < (j + 1) * token + reach
                assert bool(found[i, j]) == (not near)


def test_a_mask_keeps_the_axes_before_it():
    assert o.token_mask(torch.ones(2, 3, 32, 48, dtype=torch.bool), 16).shape == (2, 3, 2, 3)


def test_the_weight_of_stacking_comes_late():
    at = [o.stack_weight(step, 100) for step in range(100)]
    assert at[:31] == [0.0] * 31
    assert at[45] == pytest.approx(0.125)
    assert at[60:] == [0.25] * 40
    assert at == sorted(at)
    assert o.stack_weight(0, 10, 1.0, (0.0, 0.0)) == 1.0


def test_times_are_logit_normal_about_the_shift_of_the_sampler():
    """With as many tokens as FLUX knows, the median time is the middle level of its sampler."""
    for tokens in (64, 1024, 4096):
        t = o.draw_times(40_000, tokens, torch.Generator().manual_seed(1), spread=0.8)
        assert t.min() > 0 and t.max() < 1
        middle = float(sigmas(2, tokens)[1])  # the shift of 1/2
        assert float(t.median()) == pytest.approx(middle, abs=0.01)
        logits = torch.logit(t)
        assert float(logits.std()) == pytest.approx(0.8, abs=0.02)


def test_more_tokens_need_more_noise():
    few, many = (o.draw_times(1000, n, torch.Generator().manual_seed(0)).mean() for n in (256, 4096))
    assert many > few + 0.05
    assert math.isfinite(many)
