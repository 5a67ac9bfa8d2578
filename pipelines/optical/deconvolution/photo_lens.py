"""The lens that took a photo, where its depth is known: focal plane and strength, hence the blur of every pixel.

One thin lens blurs every pixel by r = k (f - d), so two numbers are to be found, and each window of estimate.py votes
for them with the likelihood of the radius that they give it:

    cost(f, k) = mean_windows  w min(L_best - L(|k (f - d)|), _CAP) / misfit  +  _TRUST |f - f_sharp| / range

w is less where the blur changes within the window. What explains the far end of a photo by a large blur can mostly be
explained from the other end, too; so f is drawn to f_sharp, the disparity at which the photo is sharpest. One window
that misleads, as at an occlusion boundary, costs no more than _CAP. Of lenses that cost about the same the weakest is
taken.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ...image.checks import RefocusError, check_finite, check_image, check_plane, match_batch, size_of
from ...image.progress import Counter, look
from ...optics.lens import LARGEST, DefocusMap, defocus_from_disparity
from ...optics.sharpest import sharpest_disparity
from .estimate import HOP, LEAST_RADIUS, RADII, WINDOW, estimate_defocus, luminance, misfit, tick_count, window_scores

PLANES = 49  # disparities at which the focal plane is looked for
BLURS = tuple(0.5 * 1.12**n for n in range(40))  # px that the range of disparity is wide: strengths looked for, and 0
MOST_WINDOWS = 4096
_CAP = 8.0
_TRUST, _FARTHEST = 8.0, 0.5  # share of the range beyond which a focal plane is no less likely
_DOUBT = 0.3  # cost by which a larger strength must win: too little blur taken away does less harm than too much
_WITHIN = 3.0  # px of blur that differ within a window and halve its weight (squared)
_FLAT = 1e-6  # of the largest disparity: a range below it tells nothing


def estimate_lens(
    image: Tensor, disparity: Tensor, *, progress: Callable[[int, int], object] | None = None
) -> DefocusMap:
    """image [B, H, W, 3] sRGB 0..1, disparity [1 or B, H, W], larger is nearer, of its size -> the blur that the photo
    has, signed, with focal plane and strength: [B, H, W].

    0 where it is less than any photo's (LEAST_RADIUS), and everywhere in a photo too small or too plain to tell.
    Estimated without the depth, hence without a sign, where all of that is at one distance. progress(done, total) may
    raise to cancel. Raises RefocusError on wrong input.
    """
    image = check_image(image)
    b, h, w, _ = image.shape
    disparity = check_finite(match_batch(check_plane(disparity, "depth"), b, "depth", "the image"), "depth", LARGEST)
    if disparity.shape[1:] != (h, w):
        raise RefocusError(
            f"the depth is {size_of(disparity)} and the image {h} x {w}, but both must have one size: scale the depth "
            "to the image."
        )
    disparity = disparity.to(image.device)
    if min(h, w) < WINDOW:
        return DefocusMap(torch.zeros_like(disparity))
    maps = []
    with Counter(progress, 1000 * b) as counter:
        for i in range(b):
            part = None if progress is None else _part(counter, i)
            maps.append(_of_one(image[i].clamp(0, 1), disparity[i], part))
    focus = [m.focus_disparity for m in maps if m.focus_disparity is not None]
    strength = [m.strength for m in maps if m.strength is not None]
    known = len(strength) == b
    return DefocusMap(
        torch.cat([m.radius for m in maps]),
        focus_disparity=torch.cat(focus) if known else None,
        strength=torch.cat(strength) if known else None,
    )


def _part(counter: Counter, i: int) -> Callable[[int, int], None]:
    """A progress for one frame of several, in thousandths of a frame."""
    return lambda done, total: counter.to(1000 * i + 1000 * done // total)


def _of_one(frame: Tensor, disparity: Tensor, progress) -> DefocusMap:
    """frame [H, W, 3], disparity [H, W] -> radius [1, H, W]."""
    values = disparity.flatten()[:: max(1, disparity.numel() // 2**18)].sort().values
    low, high = (float(values[round(share * (len(values) - 1))]) for share in (0.005, 0.995))
    if high - low <= _FLAT * max(abs(low), abs(high), _FLAT):
        return estimate_defocus(frame[None], progress=progress)
    with Counter(progress, tick_count(1, *disparity.shape)) as counter:
        counter.pulse()
        light = luminance(frame)
        look()
        score, told = window_scores(frame, light, counter.tick)
        look()
        sharpest = sharpest_disparity(frame[None], disparity[None])
        look()
        cost, depth, span = _votes(score, told, disparity)
        if sharpest is None or not len(depth):
            return DefocusMap(torch.zeros_like(disparity)[None])
        focus, strength = _best_lens(cost, depth, span, (low, high), sharpest)
    out = defocus_from_disparity(disparity[None], focus, strength)
    radius = torch.where(out.radius.abs() < LEAST_RADIUS, 0, out.radius)
    return replace(out, radius=radius)


def _votes(score: Tensor, told: Tensor, disparity: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log L [radii, h, w], told [h, w], disparity [H, W] -> of at most MOST_WINDOWS windows that tell: the cost of each
    radius [radii, n], median disparity [n], and between which the middle 80 percent lie [n]."""
    at = told.flatten().nonzero()[:, 0]
    at = at[:: max(1, -(-len(at) // MOST_WINDOWS))]
    likely = score.flatten(1)[:, at]
    best = likely.amax(0)
    cost = ((best - likely) / misfit(best)).clamp(max=_CAP)
    depth, span = [], []
    for part in at.split(256):
        look()
        rows, columns = part // told.shape[1], part % told.shape[1]
        y, x = (HOP * v[:, None] + torch.arange(0, WINDOW, 2, device=v.device) for v in (rows, columns))
        inside = disparity[y[:, :, None], x[:, None, :]].flatten(1).sort(1).values  # [n, 256]
        depth.append(inside[:, inside.shape[1] // 2])
        span.append(inside[:, round(0.9 * inside.shape[1])] - inside[:, round(0.1 * inside.shape[1])])
    empty = torch.zeros(0, device=disparity.device)
    return cost, torch.cat([empty, *depth]), torch.cat([empty, *span])


def _best_lens(cost: Tensor, depth: Tensor, span: Tensor, limits: tuple[float, float], sharpest: float):
    """cost [radii, n], depth and span [n] of the windows -> (focus disparity, strength): the least strength that costs
    little more than the least cost."""
    low, high = limits
    radii = torch.tensor(RADII, device=cost.device)
    strengths = torch.tensor((0.0, *BLURS), device=cost.device) / (high - low)  # [k]
    weight = 1 / (1 + (strengths[:, None] * span / _WITHIN) ** 2)  # [k, n]
    weight = weight / weight.sum(1, keepdim=True)
    planes, costs = torch.linspace(low, high, PLANES).tolist(), []
    for focus in planes:
        look()
        r = (strengths[:, None] * (focus - depth)).abs().clamp(max=RADII[-1])
        above = torch.searchsorted(radii, r, right=True).clamp(1, len(RADII) - 1)
        share = (r - radii[above - 1]) / (radii[above] - radii[above - 1])
        paid = torch.lerp(cost.gather(0, above - 1), cost.gather(0, above), share)  # [k, n]
        far = min(abs(focus - sharpest) / (high - low), _FARTHEST)
        costs.append((weight * paid).sum(1) + _TRUST * far)
    total = torch.stack(costs)  # [planes, k]
    k = int((total.amin(0) <= total.min() + _DOUBT).float().argmax())
    return planes[int(total[:, k].argmin())], float(strengths[k])
