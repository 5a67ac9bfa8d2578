"""Fusion by depth: every pixel's colour comes from the frame that is sharpest there."""
import torch
from torch import Tensor

# A pixel within this part of a frame of a frame's own position takes that frame alone.
PLATEAU = 0.4


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
