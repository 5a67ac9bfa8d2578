"""Where a photo is sharp: the blur radius, estimated from the picture alone.

In a small window a sharp picture's power spectrum falls as c / f^a; defocus multiplies it by |K_r(f)|^2, the disc's
spectrum with its zeros, and noise adds a floor. The periodogram p(f) of a window is then exponentially distributed
about v(f) = c W(f^-a |K_r|^2) + noise, with W the leakage of the window, and

    log L(r) = max_{c, a}  - sum_f  log v(f) + p(f) / v(f)

(Whittle's likelihood; for defocus: X. Zhu et al., IEEE TIP 2013). Larger discs are looked for in smaller copies of the
picture. Where two radii explain a window alike, the smaller one is taken: it does less harm.

Convention: windows of WINDOW pixels start every HOP pixels; window (i, j) of a level speaks for its centre. Frequencies
are averaged over rings one cycle per window wide, ring k about k + 1 cycles.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ...image.checks import check_image, check_whole
from ...image.device import means_over_areas, where_able
from ...image.filters import gradient, window_max, window_min
from ...image.light import WHITE, decode_srgb, encode_srgb
from ...image.progress import PIECE, Counter, by_pieces, look
from ...image.pyramid import fill
from ...optics.aperture import aperture_kernel, aperture_mask
from ...optics.lens import DefocusMap
from .restore import srgb_slope

WINDOW, HOP = 32, 8  # px
LEVELS = 3  # the picture and its smaller copies
RADII = (0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0)
SLOPES = (1.5, 2.0, 2.5, 3.0)  # a: power spectra of natural pictures
MIXTURE = (0.7, 0.85, 1.0, 1.15, 1.3)  # on a slope the zeros of several discs wash each other out
PIXELS = 250_000  # of the copy that estimate_coarse looks at
_LUMINANCE = (0.2126, 0.7152, 0.0722)  # of linear sRGB
_RINGS = 16
_FIRST_RING = 2  # lower frequencies tell about the scene, not the lens
_CORRELATED = 0.5  # edges tie frequencies together: this share of them counts
_DOUBT = 4.0  # log likelihood by which a larger radius must win
LEAST_RADIUS = 1.25  # px: no photo is sharper than its sensor and demosaicing
_SIGNAL = 4.0  # signal to noise below which a window tells nothing
_MOST_CLIPPED = 0.1  # share of a window's pixels from which it tells nothing
_QUANTUM = 1 / 255 / math.sqrt(12)  # sRGB: noise of 8-bit steps
_MOST_NOISE = 0.02  # sRGB
_SLOPE_REACH = 6  # px about a pixel in which the steepest slope is looked for

Tick = Callable[[], None]
Progress = Callable[[int, int], object]


def estimate_defocus(image: Tensor, *, progress: Progress | None = None) -> DefocusMap:
    """image [B, H, W, 3] sRGB 0..1 -> DefocusMap, radius [B, H, W] >= 0 in pixels, 0 = sharp, up to 20.

    Which side of the focal plane a pixel lies on cannot be told. Flat regions take the radius of what surrounds them.
    progress(done, total) may raise to cancel. Raises RefocusError on wrong input.
    """
    image = check_image(image)
    h, w = image.shape[1:3]
    if min(h, w) < WINDOW:
        return DefocusMap(image.new_zeros(image.shape[:3]))
    # Frame by frame from the decoding on: even a power may round otherwise at another place in a batch.
    counter = Counter(progress, tick_count(len(image), h, w))
    with counter:
        counter.pulse()
        return DefocusMap(torch.stack([_estimate(frame.clamp(0, 1), counter.tick) for frame in image]))


def estimate_coarse(image: Tensor, *, pixels: int = PIXELS, progress: Progress | None = None) -> DefocusMap:
    """As estimate_defocus, from a copy of at most that many pixels: the time no longer grows with the photo.

    image [B, H, W, 3] sRGB 0..1 -> radius [B, H, W] in the photo's own pixels. Blur that the reduction makes small
    counts as sharp, and larger discs than estimate_defocus knows are found. Raises RefocusError on wrong input.
    """
    image = check_image(image)
    h, w = image.shape[1:3]
    pixels = check_whole("pixels", pixels, 1, 1 << 40)
    scale = min(1.0, math.sqrt(pixels / (h * w)))
    if scale < 1:
        size = (max(1, math.floor(h * scale)), max(1, math.floor(w * scale)))
        with Counter(progress, tick_count(len(image), *size)):
            image = torch.stack([_reduced(frame.clamp(0, 1), size) for frame in image])
    return estimate_defocus(image, progress=progress).scaled_to(h, w)


def _reduced(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """frame [H, W, 3] sRGB -> [*size, 3] sRGB: means of the light."""

    def means(light: Tensor) -> Tensor:
        return F.interpolate(light.movedim(-1, 0)[None], size, mode="area")[0].movedim(0, -1)

    return encode_srgb(where_able("reduction of photos", means_over_areas, means, decode_srgb(frame)))


def tick_count(frames: int, h: int, w: int) -> int:
    """Calls of tick; 1 of nothing where no window fits."""
    return frames * sum(_passes(h, w)) or 1


def _passes(h: int, w: int) -> list[int]:
    """Calls of tick per level: one for each row of windows, one for each spectrum that is compared."""
    sizes = [(-(-h // 2**level), -(-w // 2**level)) for level in range(LEVELS)]
    return [(a - WINDOW) // HOP + 1 + 2 * len(SLOPES) * len(RADII) for a, b in sizes if min(a, b) >= WINDOW]


def _estimate(frame: Tensor, tick: Tick) -> Tensor:
    """frame [H, W, 3] sRGB -> radius [H, W]."""
    full = luminance(frame)
    look()
    score, told = window_scores(frame, full, tick)
    look()
    if not told.any():
        return torch.zeros_like(full)
    radius = _to_pixels(_lower_quartile(_smallest_likely(score), told), full.shape)
    look()
    radius = torch.minimum(radius, steepest(full))
    look()
    return torch.where(radius < LEAST_RADIUS, 0, radius)


def window_scores(frame: Tensor, light: Tensor, tick: Tick) -> tuple[Tensor, Tensor]:
    """frame [H, W, 3] sRGB, its luminance [H, W] -> log L [radii, h, w] of every window, which of them tell [h, w]."""
    brightest = frame.amax(-1)
    clipped = ((brightest >= WHITE) | (brightest <= 1 - WHITE)).float()
    score, told = _scores(light, clipped, 0, tick)  # [radii, h, w], [h, w]
    for level in range(1, LEVELS):
        light = F.avg_pool2d(light[None, None], 2, ceil_mode=True, count_include_pad=False)[0, 0]
        clipped = F.max_pool2d(clipped[None, None], 2, ceil_mode=True)[0, 0]
        if min(light.shape) < WINDOW:
            break
        coarse, tells = _scores(light, clipped, level, tick)
        rows, columns = (_nearest(n, m, level, light.device) for n, m in zip(told.shape, tells.shape, strict=True))
        coarse, tells = coarse[:, rows][:, :, columns], tells[rows][:, columns]
        score = score + coarse * tells
        told = told | tells
    return score, told


def misfit(best: Tensor) -> Tensor:
    """How much worse than by chance the best radius of a window fits: its likelihoods differ by so much less."""
    return (-best / (0.25 * _RINGS * LEVELS)).clamp(min=1)


def luminance(image: Tensor) -> Tensor:
    """image [..., 3] sRGB -> linear luminance [...], added up channel by channel: how a matrix product rounds depends
    on its size."""
    r, g, b = decode_srgb(image).unbind(-1)
    return _LUMINANCE[0] * r + _LUMINANCE[1] * g + _LUMINANCE[2] * b


def _smallest_likely(score: Tensor) -> Tensor:
    """log L [radii, h, w] -> radius [h, w]: the smallest that is less likely than the best one by _DOUBT at most."""
    best = score.amax(0)
    # Real windows misfit more than chance: doubt grows with it (quasi-likelihood).
    doubt = _DOUBT * misfit(best)
    return torch.tensor(RADII, device=score.device)[(score >= best - doubt).float().argmax(0)]


def steepest(light: Tensor) -> Tensor:
    """Largest radius [H, W] that the slopes near each pixel of light [H, W] allow.

    A disc of radius r turns an edge of contrast C into a ramp no steeper than 2 C / (pi r), its line spread's peak.
    """
    slope = by_pieces(srgb_slope, light)
    slope = torch.hypot(*gradient(light)) - 3 * _QUANTUM / slope
    look()
    slope = window_max(slope.clamp(min=1e-6)[None, None], 2 * _SLOPE_REACH + 1)
    look()
    contrast = window_max(light[None, None], WINDOW + 1)
    look()
    contrast = contrast - window_min(light[None, None], WINDOW + 1)
    look()
    return (2 / math.pi * contrast / slope)[0, 0]


def _scores(light: Tensor, clipped: Tensor, level: int, tick: Tick) -> tuple[Tensor, Tensor]:
    """[H, W] of a level -> log L [radii, h, w] on the grid of its windows, and where they tell anything [h, w]."""
    p, mean, lost = periodograms(light, clipped, tick)  # [h, w, rings], [h, w], [h, w]
    p = p * srgb_slope(mean)[..., None] ** 2  # sRGB units: noise is about even there
    finest = p[..., -_RINGS // 4 :].mean(-1).flatten()
    noise = float(torch.quantile(finest[:: max(1, finest.numel() // 100000)], 0.05))
    noise = min(max(noise, _QUANTUM**2), _MOST_NOISE**2)
    look()
    score = likelihood(p.reshape(-1, _RINGS), noise, level, tick).reshape(*mean.shape, -1).movedim(-1, 0)
    score = F.avg_pool2d(score[None], 3, 1, 1, count_include_pad=False)[0]
    return score, (p[..., _FIRST_RING] > _SIGNAL * noise) & (lost < _MOST_CLIPPED)


def _nearest(count: int, coarse: int, level: int, device) -> Tensor:
    """For each window of level 0, the window of a coarser level whose centre is nearest."""
    centre = torch.arange(count, device=device) * HOP + WINDOW / 2
    return ((centre / 2**level - WINDOW / 2) / HOP).round().long().clamp(0, coarse - 1)


def periodograms(light: Tensor, clipped: Tensor, tick: Tick = lambda: None) -> tuple[Tensor, Tensor, Tensor]:
    """[H, W] -> ring means of the power per sample [h, w, rings], window means [h, w] and clipped shares [h, w]."""
    n = WINDOW
    hann = torch.hann_window(n, periodic=True, device=light.device)
    hann = hann[:, None] * hann  # [n, n]
    ring, count = _rings(light.device)
    powers, means, lost = [], [], []
    for top in range(0, light.shape[0] - n + 1, HOP):  # one row of windows at a time
        windows = light[top : top + n].unfold(1, n, HOP).transpose(0, 1)  # [w, n, n]
        mean = (windows * hann).sum((-1, -2)) / hann.sum()
        power = torch.fft.rfft2((windows - mean[:, None, None]) * hann).abs() ** 2 / (hann**2).sum()
        powers.append(power.flatten(1) @ ring / count)
        means.append(mean)
        lost.append(clipped[top : top + n].mean(0).unfold(0, n, HOP).mean(-1))
        tick()
    return torch.stack(powers), torch.stack(means), torch.stack(lost)


def likelihood(p: Tensor, noise: float, level: int, tick: Tick = lambda: None) -> Tensor:
    """Ring powers [N, rings] -> log L [N, radii], the best over amplitude and slope."""
    _, count = _rings(p.device)
    count = (count * _CORRELATED)[_FIRST_RING:]
    p = p[:, _FIRST_RING:]
    best = torch.tensor(-torch.inf, device=p.device)
    for shape in expected_spectra(level).to(p.device)[:, :, _FIRST_RING:]:  # [radii, rings]
        scores = []
        for q in shape:
            c = ((p - noise).clamp(min=0) * count).sum(-1) / (q * count).sum()
            for _ in range(6):  # Fisher scoring for the amplitude
                look()
                v = c[:, None] * q + noise
                g = count * q / v**2
                c = ((g * (p - noise)).sum(-1) / (g * q).sum(-1)).clamp(min=1e-12)
            v = c[:, None] * q + noise
            tick()
            ratio = p.clamp(min=1e-14) / v
            scores.append(-(count * (ratio - ratio.log() - 1)).sum(-1))
        s = torch.stack(scores, -1)
        best = torch.maximum(best, s)
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


def _to_pixels(t: Tensor, size: Sequence[int]) -> Tensor:
    """[h, w] on the grid of windows -> [H, W]: each pixel takes the window whose centre is nearest."""
    rows, columns = (
        ((torch.arange(n, device=t.device) - WINDOW // 2) / HOP).round().long().clamp(0, m - 1)
        for n, m in zip(size, t.shape, strict=True)
    )
    return t[rows][:, columns]


def _lower_quartile(radius: Tensor, told: Tensor) -> Tensor:
    """[h, w] -> lower quartile of the told ones among the 5 x 5 windows about each; where none is, from farther away.

    Too small a radius only leaves blur behind; too large a one rings.
    """
    v = torch.where(told, radius, float("nan"))[None, None]
    v = F.unfold(F.pad(v, (2, 2, 2, 2), value=float("nan")), 5)[0]  # [25, h * w]
    parts = []
    for part in v.split(PIECE // 64, dim=1):  # each is sorted
        look()
        parts.append(part.nanquantile(0.25, dim=0))
    quartile = torch.cat(parts).reshape(radius.shape)
    return fill(torch.nan_to_num(quartile)[None], quartile.isnan())[0]
