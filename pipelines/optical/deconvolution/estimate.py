"""Where a photo is sharp: the blur radius, estimated from the picture alone.

In a small window a sharp picture's power spectrum falls as c / f^a; defocus multiplies it by |K_r(f)|^2, the disc's
spectrum with its zeros, and noise adds a floor. The periodogram p(f) of a window is then exponentially distributed
about v(f) = c W(f^-a |K_r|^2) + noise, with W the leakage of the window, and

    log L(r) = max_{c, a}  - sum_f  log v(f) + p(f) / v(f)

(Whittle's likelihood; for defocus: X. Zhu et al., IEEE TIP 2013). Larger discs are looked for in smaller copies of the
picture. Where two radii explain a window alike, the smaller one is taken: it does less harm.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ...image.checks import check_image
from ...image.light import decode_srgb, encode_srgb
from ...image.progress import Clock
from ...image.pyramid import fill
from ...optics.aperture import aperture_kernel, aperture_mask
from ...optics.lens import DefocusMap
from .restore import srgb_slope

WINDOW, HOP = 32, 8
LEVELS = 3
RADII = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0)
_MOST_NOISE = 0.02  # sRGB
SLOPES = (1.5, 2.0, 2.5, 3.0)  # a: power spectra of natural pictures
MIXTURE = (0.7, 0.85, 1.0, 1.15, 1.3)  # on a slope the zeros of several discs wash each other out
_NEAR = 6  # px
_RINGS = 16
_FIRST_RING = 2  # lower frequencies tell about the scene, not the lens
_CORRELATED = 0.5  # edges tie frequencies together: this part of them counts
_DOUBT = 4.0  # log likelihood by which a larger radius must win
_LEAST_RADIUS = 1.25  # px: no photo is sharper than its sensor and demosaicing
_SIGNAL = 4.0  # signal to noise below which a window tells nothing
_QUANTUM = 1 / 255 / math.sqrt(12)  # noise of 8-bit steps


def estimate_defocus(image: Tensor, *, progress: Callable[[int, int], object] | None = None) -> DefocusMap:
    """image [B, H, W, 3] sRGB 0..1 -> DefocusMap, radius [B, H, W] >= 0 in pixels, 0 = sharp, up to 20.

    Which side of the focal plane a pixel lies on cannot be told. Flat parts take the radius of what surrounds them.
    progress(done, total) may raise to cancel. Raises RefocusError on wrong input.
    """
    image = check_image(image)
    h, w = image.shape[1:3]
    light = decode_srgb(image.clamp(0, 1)) @ image.new_tensor([0.2126, 0.7152, 0.0722])
    clipped = ((image.amax(-1) >= 254 / 255) | (image.amax(-1) <= 1 / 255)).float()
    if min(h, w) < WINDOW:
        return DefocusMap(torch.zeros_like(light))
    clock = Clock(progress, len(image) * sum(_passes(h, w)))
    return DefocusMap(torch.stack([_estimate(a, b, clock.tick) for a, b in zip(light, clipped, strict=True)]))


def _passes(h: int, w: int) -> list[int]:
    """Calls of tick per level: one for each row of windows, one for each spectrum that is compared."""
    sizes = [(-(-h // 2**level), -(-w // 2**level)) for level in range(LEVELS)]
    return [(a - WINDOW) // HOP + 1 + 2 * len(SLOPES) * len(RADII) for a, b in sizes if min(a, b) >= WINDOW]


def _estimate(light: Tensor, clipped: Tensor, tick) -> Tensor:
    """Linear luminance [H, W] -> radius [H, W]."""
    h, w = light.shape
    full = light
    total = known = None
    for level in range(LEVELS):
        if level:
            light = F.avg_pool2d(light[None, None], 2, ceil_mode=True, count_include_pad=False)[0, 0]
            clipped = F.max_pool2d(clipped[None, None], 2, ceil_mode=True)[0, 0]
        if min(light.shape) < WINDOW:
            break
        score, tells = _level(light, clipped, level, tick)
        if total is None:
            total, known, grid = score, tells, score.shape[-2:]
            continue
        rows, cols = (_nearest(n, score.shape[k - 2], level, score.device) for k, n in enumerate(grid))
        score, tells = score[:, rows][:, :, cols], tells[rows][:, cols]
        total = total + score * tells
        known = known | tells
    best = total.amax(0)
    # Real windows misfit more than chance: doubt grows with it (quasi-likelihood).
    misfit = (-best / (0.25 * _RINGS * LEVELS)).clamp(min=1)
    r = torch.tensor(RADII, device=total.device)[(total >= best - _DOUBT * misfit).float().argmax(0)]
    if not known.any():
        return light.new_zeros(h, w)
    radius = _settle(r, known)
    radius = torch.minimum(_spread_over(radius, (h, w)), steepest(full))
    return torch.where(radius < _LEAST_RADIUS, 0, radius)


def steepest(light: Tensor) -> Tensor:
    """Largest radius [H, W] that the slopes near each pixel of light [H, W] allow.

    A disc of radius r turns an edge of contrast C into a ramp no steeper than 2 C / (pi r), its line spread's peak.
    """
    x = F.pad(light[None, None], (1, 1, 1, 1), mode="replicate")
    dx, dy = (x[..., 1:-1, 2:] - x[..., 1:-1, :-2]) / 2, (x[..., 2:, 1:-1] - x[..., :-2, 1:-1]) / 2
    slope = torch.hypot(dx, dy)
    noise = 3 * _QUANTUM / srgb_slope(light)
    slope = _max_filter((slope - noise).clamp(min=1e-6), _NEAR)
    contrast = _max_filter(light[None, None], WINDOW // 2) + _max_filter(-light[None, None], WINDOW // 2)
    return (2 / math.pi * contrast / slope)[0, 0]


def _max_filter(x: Tensor, r: int) -> Tensor:
    x = F.max_pool2d(x, (2 * r + 1, 1), 1, (r, 0))
    return F.max_pool2d(x, (1, 2 * r + 1), 1, (0, r))


def _level(light: Tensor, clipped: Tensor, level: int, tick) -> tuple[Tensor, Tensor]:
    """[H, W] of a level -> log L [radii, h, w] on the grid of its windows, and where they tell anything [h, w]."""
    p, mean, lost = periodograms(light, clipped, tick)  # [h, w, rings], [h, w]
    p = p * srgb_slope(mean)[..., None] ** 2  # sRGB units: noise is about even there
    top = p[..., -_RINGS // 4 :].mean(-1).flatten()
    noise = float(torch.quantile(top[:: max(1, top.numel() // 100000)], 0.05))
    noise = min(max(noise, _QUANTUM**2), _MOST_NOISE**2)
    score = likelihood(p.reshape(-1, _RINGS), noise, level, tick).reshape(*mean.shape, -1).movedim(-1, 0)
    score = F.avg_pool2d(score[None], 3, 1, 1, count_include_pad=False)[0]
    return score, (p[..., _FIRST_RING] > _SIGNAL * noise) & (lost < 0.1)


def _nearest(count: int, coarse: int, level: int, device) -> Tensor:
    """For each window of level 0, the window of a coarser level whose centre is nearest."""
    centre = torch.arange(count, device=device) * HOP + WINDOW / 2
    return ((centre / 2**level - WINDOW / 2) / HOP).round().long().clamp(0, coarse - 1)


def periodograms(light: Tensor, clipped: Tensor, tick=lambda: None) -> tuple[Tensor, Tensor, Tensor]:
    """[H, W] -> ring means of the power per sample [h, w, rings], window means and clipped shares [h, w]."""
    n = WINDOW
    hann = torch.hann_window(n, periodic=True, device=light.device)
    hann = hann[:, None] * hann
    ring, count = _rings(light.device)
    out, means, lost = [], [], []
    rows = light.unfold(0, n, HOP)
    for k in range(rows.shape[0]):  # one row of windows at a time
        win = rows[k].transpose(0, 1).unfold(1, n, HOP).transpose(0, 1)  # [w, n, n]
        mean = (win * hann).sum((-1, -2)) / hann.sum()
        power = torch.fft.rfft2((win - mean[:, None, None]) * hann).abs() ** 2 / (hann**2).sum()
        sums = power.flatten(1) @ ring
        out.append(sums / count)
        means.append(mean)
        tick()
        lost.append(clipped[k * HOP : k * HOP + n].mean(0).unfold(0, n, HOP).mean(-1))
    return torch.stack(out), torch.stack(means), torch.stack(lost)


def likelihood(p: Tensor, noise: float, level: int, tick=lambda: None) -> Tensor:
    """Ring powers [N, rings] -> log L [N, radii], the best over amplitude and slope."""
    _, count = _rings(p.device)
    count = (count * _CORRELATED)[_FIRST_RING:]
    p = p[:, _FIRST_RING:]
    best = None
    for shape in expected_spectra(level).to(p.device)[:, :, _FIRST_RING:]:  # [radii, rings]
        scores = []
        for q in shape:
            c = ((p - noise).clamp(min=0) * count).sum(-1) / (q * count).sum()
            for _ in range(6):  # Fisher scoring for the amplitude
                v = c[:, None] * q + noise
                g = count * q / v**2
                c = ((g * (p - noise)).sum(-1) / (g * q).sum(-1)).clamp(min=1e-12)
            v = c[:, None] * q + noise
            tick()
            ratio = p.clamp(min=1e-14) / v
            scores.append(-(count * (ratio - ratio.log() - 1)).sum(-1))
        s = torch.stack(scores, -1)
        best = s if best is None else torch.maximum(best, s)
    return best


@lru_cache(maxsize=LEVELS)
def expected_spectra(level: int) -> Tensor:
    """W(f^-a |K_r|^2) averaged over rings: [slopes x (one disc, a mixture), radii, rings]."""
    n, fine = WINDOW, 4 * WINDOW
    f = torch.fft.fftfreq(fine)
    f2 = f[:, None] ** 2 + f**2
    hann = torch.hann_window(n, periodic=True)
    hann = torch.fft.fft2(hann[:, None] * hann, s=(fine, fine)).abs() ** 2
    leak = torch.fft.fft2(hann / hann.sum())
    ring, count = _rings(torch.device("cpu"))
    circle = aperture_mask()

    def lens(r: float) -> Tensor:
        r /= 2**level
        k = aperture_kernel(circle, r) if r else torch.ones(1, 1)
        return torch.fft.fft2(k, s=(fine, fine)).abs() ** 2

    lenses = [[lens(r) for r in RADII], [torch.stack([lens(r * m) for m in MIXTURE]).mean(0) for r in RADII]]
    out = []
    for a in SLOPES:
        for K2 in lenses:
            for k in K2:
                s = torch.fft.ifft2(torch.fft.fft2((f2 + (1 / fine) ** 2) ** (-a / 2) * k) * leak).real.clamp(min=1e-12)
                out.append((s[::4, ::4][:, : n // 2 + 1].flatten() @ ring) / count)
    return torch.stack(out).reshape(-1, len(RADII), _RINGS)


@lru_cache(maxsize=4)
def _rings(device) -> tuple[Tensor, Tensor]:
    """(membership [n * (n/2+1), rings] of the half spectrum, counts [rings])."""
    n = WINDOW
    fy, fx = torch.fft.fftfreq(n), torch.fft.rfftfreq(n)
    f = torch.hypot(fy[:, None].expand(-1, n // 2 + 1), fx.expand(n, -1)) * n
    index = (f - 0.5).floor().long().flatten()
    member = torch.zeros(f.numel(), _RINGS)
    inside = (index >= 0) & (index < _RINGS)
    member[torch.arange(f.numel())[inside], index[inside]] = 1
    return member.to(device), member.sum(0).to(device)


def _spread_over(t: Tensor, size) -> Tensor:
    """Window grid -> pixels, each window speaking for its centre."""
    h, w = size
    y = ((torch.arange(h, device=t.device) - WINDOW // 2) / HOP).round().long().clamp(0, t.shape[0] - 1)
    x = ((torch.arange(w, device=t.device) - WINDOW // 2) / HOP).round().long().clamp(0, t.shape[1] - 1)
    return t[y][:, x]


def _settle(radius: Tensor, sure: Tensor) -> Tensor:
    """Lower quartile of the sure ones among the 5 x 5 windows about each; where none is, from farther and farther.

    Too small a radius only leaves blur behind; too large a one rings.
    """
    v = torch.where(sure, radius, float("nan"))[None, None]
    near = F.unfold(F.pad(v, (2, 2, 2, 2), value=float("nan")), 5)[0].nanquantile(0.25, dim=0).reshape(radius.shape)
    return fill(torch.nan_to_num(near)[None], near.isnan())[0]


# The estimated blur of a large photo, found in a small copy of it.

PIXELS = 250_000


def estimate_coarse(
    image: Tensor, *, pixels: int = PIXELS, progress: Callable[[int, int], object] | None = None
) -> DefocusMap:
    """As estimate_defocus, from a copy of at most that many pixels: the time no longer grows with the photo.

    image [B, H, W, 3] sRGB 0..1 -> radius [B, H, W] in the photo's own pixels. Blur that the reduction makes small
    counts as sharp, and larger discs than estimate_defocus knows are found. Raises RefocusError on wrong input.
    """
    image = check_image(image)
    h, w = image.shape[1:3]
    scale = min(1.0, math.sqrt(pixels / (h * w)))
    if scale < 1:
        size = (max(1, math.floor(h * scale)), max(1, math.floor(w * scale)))
        light = F.interpolate(decode_srgb(image.clamp(0, 1)).movedim(-1, 1), size, mode="area")
        image = encode_srgb(light).movedim(1, -1)
    return estimate_defocus(image, progress=progress).scaled_to(h, w)
