"""The pieces of the restoration: slope, weights, conjugate gradients, grain, highlights."""

import pytest
import torch

from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.optical.deconvolution import restore as R
from rackfocus.pipelines.optical.deconvolution.operator import BlurOperator
from rackfocus.pipelines.optics import aperture_mask
from rackfocus.tests.pictures import photograph, psnr, random, texture

CIRCLE = aperture_mask()


def test_the_slope_is_that_of_the_srgb_curve():
    x = torch.tensor([0.0001, 0.002, 0.01, 0.2, 0.6, 0.99], dtype=torch.float64)
    numeric = (encode_srgb(x + 1e-6) - encode_srgb(x - 1e-6)) / 2e-6
    assert torch.allclose(R.srgb_slope(x), numeric, rtol=0.02)
    assert float(R.srgb_slope(torch.tensor(5.0))) == pytest.approx(1.055 / 2.4)


def test_sparse_weights_by_hand():
    """alpha / g^alpha (s^2 d^2 + least^2)^(alpha / 2 - 1) s^2, one for all channels but for s, along x and along y."""
    x = torch.full((3, 4, 6), 0.2)
    x[:, :, 3:] = 0.5
    x[0, 2:] += 0.1
    wx, wy = R.sparse_weights(x)
    assert wx.shape == (3, 4, 5) and wy.shape == (3, 3, 6)
    s = R.srgb_slope(x)

    def by_hand(a, b, slope):
        energy = ((a - b) * slope).square().mean() + R.LEAST_GRADIENT**2
        return 0.8 / 0.06**0.8 * energy ** (0.8 / 2 - 1) * slope**2

    for row in range(4):
        want = by_hand(x[:, row, 2], x[:, row, 3], torch.minimum(s[:, row, 2], s[:, row, 3]))
        assert torch.allclose(wx[:, row, 2], want)
    assert torch.allclose(wy[:, 1, 0], by_hand(x[:, 1, 0], x[:, 2, 0], torch.minimum(s[:, 1, 0], s[:, 2, 0])))
    assert torch.allclose(wx[:, 0, 0], by_hand(x[:, 0, 0], x[:, 0, 1], s[:, 0, 0]))
    assert wx[0, 0, 0] > 20 * wx[0, 0, 2]  # edges may stay


def differences(h, w):
    """Dx [h (w-1), h w] and Dy [(h-1) w, h w] as matrices."""
    eye = torch.eye(h * w, dtype=torch.float64).reshape(-1, h, w)
    return eye.diff(dim=-1).flatten(1).T, eye.diff(dim=-2).flatten(1).T


def test_conjugate_gradients_solve_the_normal_equations(monkeypatch):
    """Against (A^T V A + Dx^T wx Dx + Dy^T wy Dy)^-1 A^T V b as a dense matrix."""
    monkeypatch.setattr(R, "GRADIENT_STEPS", 120)
    h, w = 5, 8
    radius = torch.zeros(h, w, dtype=torch.float64)
    radius[:, 4:] = 2.0
    A = BlurOperator(radius, CIRCLE)
    V, b, x = (random(1, h, w, seed=k).double() + 0.1 for k in range(3))
    wx, wy = random(1, h, w - 1, seed=4).double() * 0.3, random(1, h - 1, w, seed=5).double() * 0.3
    Dx, Dy = differences(h, w)
    M = torch.stack([A.forward(e.reshape(1, h, w)).flatten() for e in torch.eye(h * w, dtype=torch.float64)], 1)
    H = M.T @ (V.flatten()[:, None] * M) + Dx.T @ (wx.flatten()[:, None] * Dx) + Dy.T @ (wy.flatten()[:, None] * Dy)
    want = torch.linalg.solve(H, M.T @ (V * b).flatten()).reshape(1, h, w)
    ticks = []
    got = R.conjugate_gradients(A, V, wx, wy, b, x, lambda: ticks.append(1))
    assert torch.allclose(got, want, atol=1e-4) and len(ticks) == 120


def test_few_steps_come_near(monkeypatch):
    """The preconditioner is H's diagonal where nothing is blurred, so uneven weights cost no more steps."""
    monkeypatch.setattr(R, "GRADIENT_STEPS", 6)
    h, w = 9, 14
    A = BlurOperator(torch.zeros(h, w), CIRCLE)
    V = 10 ** (3 * random(1, h, w))
    wx, wy = 10 ** (3 * random(1, h, w - 1, seed=1)), 10 ** (3 * random(1, h - 1, w, seed=2))
    b = random(1, h, w, seed=3)
    Dx, Dy = (d.float() for d in differences(h, w))
    H = torch.diag(V.flatten()) + Dx.T @ (wx.flatten()[:, None] * Dx) + Dy.T @ (wy.flatten()[:, None] * Dy)
    want = torch.linalg.solve(H, (V * b).flatten()).reshape(1, h, w)
    got = R.conjugate_gradients(A, V, wx, wy, b, torch.zeros_like(b), lambda: None)
    assert (got - want).abs().mean() < 0.1


def test_grain_is_measured_where_the_lens_left_no_detail():
    image = texture(80, 120)[0].movedim(-1, 0)
    radius = torch.zeros(80, 120)
    radius[:, 60:] = -3.0
    image[:, :, 58:] = 0.5 + 0.02 * torch.randn(3, 80, 62, generator=torch.Generator().manual_seed(1))
    assert R.measure_grain(image, radius) == pytest.approx(0.02 - 1 / 510, rel=0.1)
    assert R.measure_grain(image, torch.full((80, 120), 1.9)) == 0
    assert R.measure_grain(torch.full((3, 80, 120), 0.5), radius) == 0
    assert R.measure_grain(image[:, :2], radius[:2]) == 0


def highlights(centre, disc, radius, size=(60, 90)):
    """One clipped disc at centre (y, x) -> where a highlight is found, and its disc."""
    y, x = torch.meshgrid(torch.arange(size[0]).float(), torch.arange(size[1]).float(), indexing="ij")
    distance = torch.hypot(y - centre[0], x - centre[1])
    A = BlurOperator(torch.full(size, float(radius)), CIRCLE)
    return *R.find_highlights((distance < disc + 0.2).float(), A), distance


@pytest.mark.parametrize("radius", [7.0, -7.0, 5.0])
def test_a_clipped_disc_of_the_lens_is_a_highlight_at_its_centre(radius):
    highlight, disc, distance = highlights((20, 62), abs(radius), radius)
    assert highlight[20, 62] and distance[highlight].max() < 2
    assert disc[distance <= abs(radius)].all() and not disc[distance > abs(radius) + 8].any()


@pytest.mark.parametrize(("disc", "radius"), [(4.0, 7.0), (20.0, 5.0), (1.0, 1.0)])
def test_smaller_spots_white_surfaces_and_mild_blur_are_none(disc, radius):
    highlight, about, _ = highlights((28, 50), disc, radius)
    assert not highlight.any() and not about.any()


def test_clipped_pixels_say_at_least_white():
    """Inside a bright surface that clipped, the photo's equations only bound from below, so its edge comes out right
    and it stays white."""
    scene = torch.full((1, 60, 90, 3), 0.3)
    scene[:, 15:45, 20:70] = 1.0
    linear = torch.where(scene == 1, 1.5, decode_srgb(scene))[0].movedim(-1, 0)
    photo = (encode_srgb(BlurOperator(torch.full((60, 90), 4.0), CIRCLE).forward(linear)) * 255).round() / 255
    out = R.restore(photo, torch.full((60, 90), 4.0), CIRCLE, 12)[None].movedim(1, -1)
    assert psnr(out, scene) > psnr(photo[None].movedim(1, -1), scene) + 18
    assert out[:, 20:40, 25:65].min() > 0.9


def test_wrong_pixels_lose_their_say():
    """A dead pixel costs little beyond itself: its equation does not hold, and the robust loss notices."""
    sharp = texture(60, 90)
    photo = photograph(sharp, 3.0)[0].movedim(-1, 0)
    dead = photo.clone()
    dead[:, 30, 45] = 0.0
    radius = torch.full((60, 90), 3.0)
    clean, hurt = (R.restore(p, radius, CIRCLE, 8) for p in (photo, dead))
    assert (hurt - clean).abs()[:, 20:40, 35:55].mean() < 0.06


def test_the_margin_lets_light_in_from_outside():
    """With a margin the border is restored like the middle; the result has the input's size and place."""
    sharp = texture(50, 70)
    wide = photograph(texture(50, 70), 4.0)[0].movedim(-1, 0)
    radius = torch.full((50, 70), 4.0)
    out = R.restore(wide, radius, CIRCLE, 10)
    assert out.shape == (3, 50, 70)
    middle = (slice(None), slice(8, -8), slice(8, -8))
    truth = sharp[0].movedim(-1, 0)
    assert psnr(out[middle].movedim(0, -1), truth[middle].movedim(0, -1)) > psnr(
        wide[middle].movedim(0, -1), truth[middle].movedim(0, -1)
    )
