"""Three ways to fuse frames by their sharpness, and the depth order that it tells.

    average  mean of the light, weighted by sharpness: forgiving of noise and of small misalignment
    depth    the sharpest frame per pixel: every colour comes from one frame or from two neighbours
    pyramid  octave by octave: a switch from frame to frame is sharp in fine detail and soft in soft light

Convention: measure [N, H, W] >= 0 as in sharpness, frame 0 nearest; positions are counted in frames, 0..N - 1.
"""

import torch
from torch import Tensor

from ...image.filters import guided
from ...image.light import decode_srgb, encode_srgb
from ...image.progress import look
from ...image.pyramid import analyse, down, synthesise
from .sharpness import ROUNDING

AVERAGE_CONTRAST = 8.0  # the sharper frame wins by this power of the ratio of the measures
PYRAMID_CONTRAST = 16.0
PYRAMID_LEVELS = 2  # few: in coarse bands all frames are alike, and there a wide switch only makes halos
PLATEAU = 0.4  # frames: a pixel as close as this to a frame's own position takes that frame alone
ORDER_RADIUS, ORDER_EPS = 4, 1e-3  # px and squared sRGB: the order map follows edges of a few percent


def weights(measure: Tensor, contrast: float) -> Tensor:
    """w_i = m_i^contrast / sum_j m_j^contrast, m the measure [N, H, W] over ROUNDING -> [N, H, W], sums to 1.

    Where all frames measure alike, as in noise, the weights are equal and the noise averages out.
    """
    w = ((measure + ROUNDING) / (measure.amax(0) + ROUNDING)) ** contrast
    return w / w.sum(0)


def fuse_average(frames: Tensor, measure: Tensor) -> Tensor:
    """frames [N, H, W, 3] sRGB, measure [N, H, W] -> [H, W, 3]: mean of the light, weighted by sharpness."""
    return encode_srgb((decode_srgb(frames) * weights(measure, AVERAGE_CONTRAST)[..., None]).sum(0))


def fuse_depth(frames: Tensor, position: Tensor) -> Tensor:
    """frames [N, H, W, 3], position [H, W] in 0..N-1 -> [H, W, 3].

    Between two neighbouring frames the colour is interpolated, so it always lies between theirs.
    """
    n = frames.shape[0]
    low = position.floor().clamp(0, max(n - 2, 0)).long()
    t = ((position - low - PLATEAU) / (1 - 2 * PLATEAU)).clamp(0, 1)[..., None]
    pick = low[None, ..., None].expand(1, -1, -1, frames.shape[-1])
    a, b = frames.gather(0, pick)[0], frames.gather(0, (pick + 1).clamp(max=n - 1))[0]
    return torch.lerp(a, b, t)


def fuse_pyramid(frames: Tensor, measure: Tensor) -> Tensor:
    """frames [N, H, W, 3] sRGB, measure [N, H, W] -> [H, W, 3].

    Multiresolution blending of the frames (Burt and Adelson, "A multiresolution spline", 1983) with weights from the
    measure. sRGB: its steps are near equal to the eye and to a camera's noise.
    """
    w = weights(measure, PYRAMID_CONTRAST)[:, None]
    look()
    fused = []
    for band in analyse(frames.movedim(-1, 1), PYRAMID_LEVELS):
        look()
        fused.append((band * w).sum(0, keepdim=True))
        w = down(w)  # still sums to 1
    return synthesise(fused)[0].movedim(0, -1).clamp(0, 1)


def peak(measure: Tensor) -> tuple[Tensor, Tensor]:
    """measure [N, H, W] -> (position [H, W] in frames 0..N-1, confidence [H, W] 0..1).

        position = k + (ln m_{k+1} - ln m_{k-1}) / (2 (2 ln m_k - ln m_{k-1} - ln m_{k+1})),    k = argmax m

    the peak of a Gaussian through the three values about the best frame (Nayar and Nakagawa, "Shape from Focus", 1994,
    eq. 11). Confidence is the share of the peak that rises over the mean frame.
    """
    n = measure.shape[0]
    best, index = measure.max(0)
    measure, best = measure + ROUNDING, best + ROUNDING
    here = best.log()
    before = measure.gather(0, (index - 1).clamp(min=0)[None])[0].log()
    after = measure.gather(0, (index + 1).clamp(max=n - 1)[None])[0].log()
    inner = (index > 0) & (index < n - 1)
    curve = (2 * here - before - after).clamp(min=1e-6)
    shift = torch.where(inner, 0.5 * (after - before) / curve, torch.zeros_like(here)).clamp(-0.5, 0.5)
    confidence = 1 - measure.mean(0) / best
    return index + shift, confidence.clamp(0, 1)


def smooth_position(position: Tensor, confidence: Tensor, guide: Tensor) -> Tensor:
    """position, confidence, guide [H, W] -> position [H, W] in which unsure pixels follow the sure ones beside them.

    G(c^2 p) / G(c^2) with G the filter guided by the picture, so that depth edges stay.
    """
    trust = confidence.square() + 1e-4
    weighted, total = guided(torch.stack([position * trust, trust]), guide, ORDER_RADIUS, ORDER_EPS)
    smooth = torch.where(total > 1e-6, weighted / total.clamp(min=1e-6), position)
    return torch.minimum(torch.maximum(smooth, position.min()), position.max())
