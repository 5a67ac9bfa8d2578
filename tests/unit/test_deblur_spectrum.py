"""The pieces of the blind estimate: luminance, periodograms, expected spectra, likelihood, grid."""

import math

import pytest
import torch

from rackfocus.pipelines.image.light import decode_srgb
from rackfocus.pipelines.optical.deconvolution import estimate as E
from rackfocus.pipelines.optics import aperture_kernel, aperture_mask
from rackfocus.tests.pictures import photograph, random

H, W = 61, 93


def test_luminance_by_hand():
    colours = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0.5, 0.5, 0.5]])
    want = torch.tensor([0.2126, 0.7152, 0.0722, float(decode_srgb(torch.tensor(0.5)))])
    assert torch.allclose(E.luminance(colours), want, atol=1e-6)


def test_white_noise_has_its_variance_in_every_ring():
    light = 0.4 + 0.05 * torch.randn(200, 300, generator=torch.Generator().manual_seed(0))
    p, mean, lost = E.periodograms(light, torch.zeros_like(light))
    assert p.shape == (22, 34, 16) and mean.shape == lost.shape == (22, 34)
    assert torch.allclose(p.mean((0, 1))[1:], torch.tensor(0.05**2), rtol=0.1)
    assert float(mean.mean()) == pytest.approx(0.4, abs=0.002)


@pytest.mark.parametrize("along", [0, 1])
@pytest.mark.parametrize("cycles", [3, 9])
def test_a_wave_falls_into_its_ring(along, cycles):
    t = torch.arange((H, W)[along]).float()
    wave = (2 * math.pi * cycles / E.WINDOW * t).sin()
    light = (wave if along else wave[:, None]).expand(H, W)
    p, _, _ = E.periodograms(light, torch.zeros(H, W))
    assert (p.argmax(-1) == cycles - 1).all()


def test_windows_lie_where_the_grid_says():
    """A spot near the lower left shows in the lower left windows alone."""
    light, clipped = torch.zeros(H, W), torch.zeros(H, W)
    light[55, 5] = clipped[55, 5] = 1
    p, mean, lost = E.periodograms(light, clipped)
    assert mean.shape == (4, 8)
    for plane in (p.sum(-1), mean, lost):
        assert (plane > 0).nonzero().tolist() == [[3, 0]]
    assert float(lost[3, 0]) == pytest.approx(1 / 32**2)


def test_rings_hold_the_half_spectrum_once():
    member, count = E._rings(torch.device("cpu"))
    assert member.sum(1).max() == 1 and torch.equal(member.sum(0), count)
    assert member[1].argmax() == 0 and member[16].argmax() == 15 and member[0].sum() == 0  # 1 and 16 cycles; the mean


def test_expected_spectra():
    """Ring k of a picture c / f^a falls so; a disc of radius r takes what its spectrum says; a level halves r."""
    s0, s1 = E.expected_spectra(0), E.expected_spectra(1)
    assert s0.shape == (2 * len(E.SLOPES), len(E.RADII), 16)
    for i, a in enumerate(E.SLOPES):
        sharp = s0[2 * i, 0]
        assert float(sharp[3] / sharp[7]) == pytest.approx(2**a, rel=0.15)  # 4 and 8 cycles
    two, four, eight = (E.RADII.index(r) for r in (2.0, 4.0, 8.0))
    assert torch.allclose(s1[:, four], s0[:, two], rtol=1e-3) and torch.allclose(s1[:, eight], s0[:, four], rtol=1e-3)
    spectrum = torch.fft.fft(aperture_kernel(aperture_mask(), 2.0).sum(0), n=32).abs() ** 2
    assert torch.allclose((s0[2, two] / s0[2, 0])[3:6], spectrum[4:7], rtol=0.15)
    # A mixture of discs washes out the zero of one.
    assert (s0[1, eight] / s0[0, eight]).max() > 1.2


@pytest.mark.parametrize("level", [0, 1])
def test_the_likelihood_is_highest_at_the_truth(level):
    """Of spectra made by the model, at any amplitude; and it is 0 there, as every ring is explained."""
    noise = 1e-7
    spectra = E.expected_spectra(level)
    for k in (0, 2, 4, 8):
        for i, c in ((2, 1e-2), (5, 3e-4)):
            p = (c * spectra[i, k] + noise)[None]
            score = E.likelihood(p, noise, level)[0]
            assert score[k] == score.max() and float(score[k]) == pytest.approx(0, abs=1e-3)


def test_the_likelihood_by_hand():
    """- sum of counts/2 of p/v - log p/v - 1 over the rings from the third on, at the best amplitude."""
    spectra, (_, count) = E.expected_spectra(0), E._rings(torch.device("cpu"))
    p, noise = spectra[2, 4] * 1e-2 * (1 + 0.4 * torch.arange(16).remainder(2)) + 1e-7, 1e-7
    best = -math.inf
    for shape in spectra:
        for c in torch.logspace(-4, 0, 600):
            v = c * shape[6] + noise
            ratio = p[2:] / v[2:]
            best = max(best, float(-(0.5 * count[2:] * (ratio - ratio.log() - 1)).sum()))
    assert float(E.likelihood(p[None], noise, 0)[0, 6]) == pytest.approx(best, rel=0.03)


def test_the_smallest_radius_that_is_likely_enough():
    score = torch.full((len(E.RADII), 1, 3), -50.0)
    score[6, 0] = 0.0
    score[3, 0] = torch.tensor([-3.9, -4.1, -60.0])
    assert E._smallest_likely(score)[0].tolist() == [E.RADII[3], E.RADII[6], E.RADII[6]]
    # With a misfit of twice what chance explains, the doubt is twice as large.
    score = torch.full((len(E.RADII), 1, 2), -500.0)
    score[6, 0] = -24.0  # 2 * 0.25 * 16 rings * 3 levels
    score[3, 0] = torch.tensor([-31.9, -32.1])
    assert E._smallest_likely(score)[0].tolist() == [E.RADII[3], E.RADII[6]]


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("radius", [3.0, 6.0])
def test_an_edge_tells_the_largest_radius(upright, radius):
    """The line spread of a disc peaks at 2 / (pi r)."""
    edge = torch.full((1, H, W, 3), 0.2)
    if upright:
        edge[:, :, 46:] = 0.8
    else:
        edge[:, 30:] = 0.8
    most = E.steepest(E.luminance(photograph(edge, radius))[0])
    assert most.shape == (H, W)
    assert float(most[30, 46]) == pytest.approx(radius, rel=0.12)
    assert most[5, 5] == 0  # a flat region: no contrast


def test_coarser_windows_with_the_nearest_centre():
    """Window k of level 0 has its centre at 8 k + 16, window j of level 1 at 2 (8 j + 16)."""
    for level, coarse in ((1, 5), (2, 2)):
        got = E._nearest(12, coarse, level, None)
        for k in range(12):
            distance = [abs(8 * k + 16 - 2**level * (8 * j + 16)) for j in range(coarse)]
            assert distance[got[k]] == min(distance)


def test_pixels_take_the_window_with_the_nearest_centre():
    t = torch.arange(3)[:, None] * 10 + torch.arange(5)
    pixels = E._to_pixels(t, (50, 66))
    assert pixels.shape == (50, 66)
    for y, x in ((0, 0), (16, 16), (19, 21), (23, 65), (49, 30), (29, 45)):
        rows, columns = ([abs(v - (8 * k + 16)) for k in range(n)] for v, n in ((y, 3), (x, 5)))
        assert pixels[y, x] == t[rows.index(min(rows)), columns.index(min(columns))]


def test_the_lower_quartile_of_what_is_told():
    radius = torch.zeros(7, 11)
    radius[:, :2], radius[:, 2:] = 2.0, 6.0
    told = torch.ones(7, 11, dtype=torch.bool)
    got = E._lower_quartile(radius, told)
    assert got[3].tolist()[:3] == [2, 2, 2] and got[3, 4] == 6 and got[3, 8] == 6  # 2 of 5 columns, 1 of 5, none
    told[:, 5:] = False
    got = E._lower_quartile(radius, told)
    assert (got[:, 5:] >= 4).all() and torch.isfinite(got).all()
    assert got[3, 10] > 4  # nothing within two windows: from farther away


@pytest.mark.parametrize(("value", "tells"), [(1.0, False), (0.0, False), (0.5, True)])
def test_clipped_windows_tell_nothing(value, tells):
    """A fifth of each window is one value: clipped to white or black it hides the picture, else it belongs to it."""
    frame = 0.3 + 0.4 * random(40, 57, 3)
    frame[:, ::5] = value
    light = E.luminance(frame)
    clipped = ((frame.amax(-1) >= 254 / 255) | (frame.amax(-1) <= 1 / 255)).float()
    assert bool(E._scores(light, clipped, 0, lambda: None)[1].all()) == tells
    seen = []
    real, E._scores = E._scores, lambda *a: seen.append(a[1]) or real(*a)
    try:
        E._estimate(frame, lambda: None)
    finally:
        E._scores = real
    assert torch.equal(seen[0], clipped)
