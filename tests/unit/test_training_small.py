"""The small network: its stand-in for a VAE, the arithmetic about what it says, what it may know, its checkpoint."""

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.training import small
from rackfocus.training.small import Small
from rackfocus.training.trainee import Asked, sample

RANDOM = torch.Generator()


@pytest.fixture(autouse=True)
def _seeded():
    """Whichever tests ran before."""
    RANDOM.manual_seed(0)


H, W = 16, 24


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = Small(width=16, inner=4, layers=1)
    made.module.latents.fit(torch.rand(40, H, W, 3, generator=RANDOM))
    made.module.spread.copy_(torch.rand(48, generator=RANDOM) + 0.5)
    return made


@pytest.fixture
def awake(model):
    """One whose last layers are not zero, so that all that it is told can be seen in what it says."""
    for p in model.module.parameters():
        torch.nn.init.normal_(p, std=0.1, generator=RANDOM)
    return model


def given(n=3, **other):
    random = torch.Generator().manual_seed(2)
    values = {
        "source": torch.rand(2, H, W, 3, generator=random),
        "scene": torch.tensor([0, 1, 0][:n]),
        "point": torch.rand(n, 2, generator=random),
        "blur": torch.rand(n, generator=random),
        "focus": torch.rand(n, generator=random),
        "disparity": torch.rand(n, H, W, generator=random),
        "known": torch.ones(n, dtype=torch.bool),
    }
    return Asked(**values | other)


def test_patches_go_and_come_back():
    x = torch.rand(2, 8, 12, 3, generator=RANDOM)
    assert small.patches(x).shape == (2, 2, 3, 48)
    assert torch.equal(small.unpatched(small.patches(x)), x)
    assert torch.equal(small.patches(x)[1, 0, 2], x[1, :4, 8:12].flatten())


def test_latents_are_white_and_exact(model):
    pictures = torch.rand(200, H, W, 3, generator=RANDOM)
    model.module.latents.fit(pictures)
    z = model.encode(pictures)
    assert torch.allclose(model.decode(z), pictures, atol=1e-5)
    assert torch.allclose(torch.cov(z.flatten(0, 2).T), torch.eye(48), atol=1e-3)


def test_an_untrained_network_makes_the_best_linear_guess(model):
    """For z ~ N(p, s^2) the velocity that it gives is the regression of e - z on z_t: no other line is nearer."""
    s, t = model.module.spread[0], 0.6
    task = given(1)
    conditions = model.conditions(task)
    p = conditions.latents
    z = p + s * torch.randn(4000, *p.shape[1:], generator=RANDOM)
    e = torch.randn_like(z)
    many = small.Conditions(*(x.expand(4000, *x.shape[1:]) for x in vars(conditions).values()))
    with torch.no_grad():
        v = model.velocity((1 - t) * z + t * e, torch.full((4000,), t), many)[..., 0]
    error = v - (e - z)[..., 0]
    u = ((1 - t) * (z - p) + t * e)[..., 0]
    assert abs(float((error * u).mean())) < 0.01  # nothing of z_t is left in the error
    assert abs(float(error.mean())) < 0.01
    expected = s**2 / (s**2 * (1 - t) ** 2 + t**2)
    assert float(error.square().mean()) == pytest.approx(float(expected), rel=0.03)


def test_a_network_that_is_sure_goes_straight_to_its_mean(model):
    torch.nn.init.constant_(model.module.last.bias[48:], -5.0)
    task = given()
    conditions = model.conditions(task)
    t = torch.full((3,), 0.5)
    noisy = torch.randn_like(conditions.latents)
    with torch.no_grad():
        v = model.velocity(noisy, t, conditions)
    assert torch.allclose(noisy - 0.5 * v, conditions.latents, atol=5e-3)


def test_what_it_is_told_changes_what_it_says(awake):
    noisy, t = torch.randn(3, 4, 6, 48, generator=RANDOM), torch.full((3,), 0.7)

    def says(task):
        with torch.no_grad():
            return awake.velocity(noisy, t, awake.conditions(task))

    base = says(given())
    for name in ("source", "point", "blur", "focus", "disparity"):
        assert not torch.allclose(says(given(**{name: 0.5 * getattr(given(), name)})), base, atol=1e-4), name


def test_without_depth_neither_map_nor_focal_disparity_is_seen(awake):
    noisy, t = torch.randn(3, 4, 6, 48, generator=RANDOM), torch.full((3,), 0.7)
    unknown = {"known": torch.zeros(3, dtype=torch.bool)}

    def says(**other):
        with torch.no_grad():
            return awake.velocity(noisy, t, awake.conditions(given(**unknown, **other)))

    assert torch.equal(
        says(), says(disparity=torch.rand(3, H, W, generator=RANDOM), focus=torch.rand(3, generator=RANDOM))
    )
    assert not torch.equal(says(), says(blur=torch.rand(3, generator=RANDOM)))
    with torch.no_grad():
        known = awake.velocity(noisy, t, awake.conditions(given()))
    assert not torch.allclose(says(), known, atol=1e-4)


def test_the_geometry_picture_is_the_blur_or_the_depth():
    task = given()
    blur, depth = (Small(geometry, 16, 4, 1).conditions(task).geometry for geometry in ("defocus", "depth"))
    assert torch.allclose(blur, torch.tanh(task.radius / 1.6))
    assert torch.allclose(depth, 2 * task.disparity - 1)
    behind = task.focus[:, None, None] > task.disparity
    assert torch.equal(blur > 0, behind & (blur != 0))


def test_sampling_is_the_same_in_any_company(awake):
    whole = sample(awake, given(), steps=2, seed=3)
    alone = sample(awake, given().rows(torch.tensor([1])), steps=2, seed=3)
    assert torch.allclose(alone[0], whole[1], atol=1e-4)
    assert torch.allclose(sample(awake, given(), steps=2, seed=3, most=1), whole, atol=1e-4)
    assert not torch.allclose(sample(awake, given(), steps=2, seed=4), whole)
    assert whole.shape == (3, H, W, 3)
    assert whole.min() >= 0 and whole.max() <= 1


def test_all_pictures_of_a_photo_start_from_one_noise(awake):
    task = given(point=torch.full((3, 2), 0.5), blur=torch.ones(3), focus=torch.ones(3))
    task = Asked(**{**vars(task), "disparity": torch.zeros(3, H, W)})
    made = sample(awake, task, steps=2)
    assert torch.allclose(made[0], made[2], atol=1e-6)  # one photo, asked for alike
    assert not torch.allclose(made[0], made[1], atol=1e-3)


def test_sampling_tells_its_steps_and_can_be_stopped(awake):
    told = []
    sample(awake, given(), steps=3, most=2, progress=lambda *at: told.append(at))
    assert told == [(i, 6) for i in range(1, 7)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(awake, given(), steps=3, progress=stop)


def test_odd_sizes_are_refused(model):
    with pytest.raises(RefocusError, match="multiples of 4"):
        model.conditions(
            given(
                1, source=torch.rand(1, 14, 14, 3, generator=RANDOM), disparity=torch.rand(1, 14, 14, generator=RANDOM)
            )
        )


def test_it_has_about_a_quarter_of_a_million_numbers():
    assert 200_000 < sum(p.numel() for p in Small().module.parameters()) < 260_000
