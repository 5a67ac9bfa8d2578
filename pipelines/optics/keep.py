"""What a new lens leaves as it was stays the photo's own, bit for bit."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image.checks import check_image, match_batch
from ..image.filters import window_mean, window_min
from ..image.progress import look
from .lens import DefocusMap, check_defocus

SAME, SAME_SHARE = 0.5, 0.1  # px, and share of the blur: radii that differ by no more look alike
NEARER = 0.5  # px of radius by which a surface in front of another differs from it
MARGIN, FEATHER = 2, 5  # px: maps are off by some at edges; width of the window over which the two pictures are mixed
_CELLS = 16  # of a coarse grid to a reach: a large one needs no finer


def keep_unchanged(photo: Tensor, made: Tensor, before: DefocusMap, after: DefocusMap) -> Tensor:
    """The picture `made`, with the photo's own pixels where the blur `after` is that of `before`.

    photo, made [B, H, W, 3]; before: the blur that the photo has (its sign is not read), after: signed, whose order is
    that of the surfaces. A pixel is also changed where a surface in front of it, itself changed, spreads over it:
    nearer by NEARER and not farther away than its larger radius. Over FEATHER pixels the two are mixed. Returns
    [B, H, W, 3]. Raises RefocusError on wrong input.
    """
    photo, made = check_image(photo), check_image(made, "the result").to(photo.device)
    b, h, w, _ = photo.shape
    old, new = (
        match_batch(check_defocus(d).scaled_to(h, w).radius, b, "the defocus map").to(photo.device)
        for d in (before, after)
    )
    out = torch.empty_like(made)
    for i in range(b):
        look()
        share = _kept(old[i].abs(), new[i])[..., None]  # [H, W, 1]
        mixed = made[i] + share * (photo[i] - made[i])
        out[i] = torch.where(share == 1, photo[i], torch.where(share == 0, made[i], mixed))
    return out


def _kept(old: Tensor, new: Tensor) -> Tensor:
    """old [H, W] >= 0, new [H, W] signed -> share of the photo [H, W]."""
    changed = (new.abs() - old).abs() > SAME + SAME_SHARE * old
    reach = torch.maximum(new.abs(), old).clamp(min=1)
    spoilt = changed.clone()
    low, largest = 0.0, float(reach.max())
    high = 2.0
    while low < largest:
        these = changed & (reach > low) & (reach <= high)
        if these.any():
            nearest = _nearest_within(torch.where(these, new, math.inf), math.ceil(high))
            spoilt |= nearest < new - NEARER
        low, high = high, 2 * high
        look()
    whole = window_min((~spoilt).float()[None, None], 2 * MARGIN + 1)
    share = window_mean(whole, FEATHER)[0, 0]
    # A mean may round: only what is surrounded by kept pixels alone is wholly kept, and the others not at all.
    share = torch.where(window_min(whole, FEATHER)[0, 0] == 1, 1.0, share.clamp(max=0.999))
    return torch.where(window_min(1 - whole, FEATHER)[0, 0] == 1, 0.0, share)


def _nearest_within(radius: Tensor, reach: int) -> Tensor:
    """[H, W] -> smallest value within `reach` pixels along either axis; a little farther where the reach is large."""
    step = max(1, reach // _CELLS)
    h, w = radius.shape
    x = F.pad(radius[None, None], (0, -w % step, 0, -h % step), value=math.inf)
    if step > 1:
        x = -F.max_pool2d(-x, step)
    x = window_min(x, 2 * math.ceil(reach / step) + 1)
    if step > 1:
        x = x.repeat_interleave(step, 2).repeat_interleave(step, 3)
    return x[0, 0, :h, :w]
