"""How sharp each frame is at each pixel, and where along the stack the peak lies."""
import torch
import torch.nn.functional as F
from torch import Tensor

from .filters import gaussian

# Wide enough to bridge the gaps between texels, narrow enough to follow a twig: a few pixels.
WINDOW = 3.0


def focus_measure(frames: Tensor, window: float = WINDOW) -> Tensor:
    """frames [N, H, W, 3] sRGB -> sharpness [N, H, W] >= 0.

    Sum-modified Laplacian (Nayar and Nakagawa, "Shape from Focus", 1994, eq. 9), summed over the channels and a
    Gaussian window of `window` pixels: |2x - left - right| + |2x - up - down|.
    """
    x = frames.movedim(-1, 1)
    p = F.pad(x, (1, 1, 1, 1), mode="replicate")
    bend = (2 * x - p[..., 1:-1, :-2] - p[..., 1:-1, 2:]).abs()
    bend += (2 * x - p[..., :-2, 1:-1] - p[..., 2:, 1:-1]).abs()
    return gaussian(bend.sum(1), window)


def peak(measure: Tensor) -> tuple[Tensor, Tensor]:
    """measure [N, H, W] -> (position [H, W] in frames 0..N-1, confidence [H, W] 0..1).

    The peak between frames is that of a Gaussian through the three values about the best frame (Nayar and
    Nakagawa, eq. 11). Confidence is the part of the peak that rises over the median frame.
    """
    n = measure.shape[0]
    best, index = measure.max(0)
    log = measure.clamp(min=1e-6).log()
    here = log.gather(0, index[None])[0]
    before = log.gather(0, (index - 1).clamp(min=0)[None])[0]
    after = log.gather(0, (index + 1).clamp(max=n - 1)[None])[0]
    inner = (index > 0) & (index < n - 1)
    curve = (2 * here - before - after).clamp(min=1e-6)
    shift = torch.where(inner, 0.5 * (after - before) / curve, torch.zeros_like(here)).clamp(-0.5, 0.5)
    confidence = 1 - measure.median(0).values / best.clamp(min=1e-6)
    return index + shift, confidence.clamp(0, 1)
