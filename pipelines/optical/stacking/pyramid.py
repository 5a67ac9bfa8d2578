"""Fusion octave by octave: a switch from frame to frame is sharp in fine detail and soft in soft light."""
from torch import Tensor

from .average import weights
from .bands import analyse, down, synthesise

# Few levels: in coarse bands all frames are alike, and there a wide switch only makes halos.
LEVELS = 2
CONTRAST = 16.0


def fuse_pyramid(frames: Tensor, measure: Tensor) -> Tensor:
    """frames [N, H, W, 3] sRGB, measure [N, H, W] -> [H, W, 3].

    Multiresolution blending of the frames (Burt and Adelson, "A multiresolution spline", 1983) with weights from the
    measure. sRGB: its steps are near equal to the eye and to a camera's noise.
    """
    w = weights(measure, CONTRAST)[:, None]
    fused = []
    for band in analyse(frames.movedim(-1, 1), LEVELS):
        fused.append((band * w).sum(0, keepdim=True) / w.sum(0, keepdim=True))
        w = down(w)
    return synthesise(fused)[0].movedim(0, -1).clamp(0, 1)
