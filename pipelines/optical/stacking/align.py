"""Registration of a stack: focal breathing (scale), shift, small rotation and exposure drift.

Each frame is registered to its neighbour, whose blur is nearly its own; the steps are chained back to the first.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...image.device import bordered_bicubic, place_for
from ...image.filters import gaussian
from ...image.light import decode_srgb
from .register import register
from .warp import IDENTITY, Pose, chain, coordinates, place, sample, similarity

SIDE = 1024  # px: the longest side at which frames are registered
EXPOSED = (0.02, 0.9)  # light between these counts for exposure: not noise, not clipped


def align(
    frames: Callable[[int], Tensor],
    count: int,
    distortion: list[float],
    tick: Callable[[], None],
    pulse: Callable[[], None],
) -> list[Pose]:
    """frames(i) -> [3, H, W] sRGB; distortion: one coefficient a frame (see Pose) -> a pose for each frame, the first
    being the reference. tick is called after each frame, pulse within it."""
    poses, before = [], None
    for i in range(count):
        frame = frames(i)
        h, w = frame.shape[-2:]
        factor = max(1, -(-max(h, w) // SIDE))
        small = F.avg_pool2d(F.pad(frame[None], (0, -w % factor, 0, -h % factor), mode="replicate"), factor)[0]
        # Hundreds of samplings follow: where the device has none of this kind, all of them stay on the CPU.
        small = small.to(place_for("alignment of frames", small.device, bordered_bicubic))
        straight = Pose(IDENTITY, distortion[i])
        pulse()
        if distortion[i]:
            small = _warped(small, straight)
        if before is None:
            poses.append(straight)
        else:
            theta = register(small, before, pulse)
            pulse()
            step = similarity(theta)
            gain = exposure(small, before, step)
            step[:, 2] *= factor
            poses.append(Pose(chain(step, poses[-1].matrix), distortion[i], gain * poses[-1].gain))
        before = small
        tick()
    return poses


def exposure(moving: Tensor, fixed: Tensor, step: Tensor) -> float:
    """moving, fixed [3, H, W] sRGB, step [2, 3] from fixed to moving -> factor on moving's light that gives fixed's:
    the median ratio of the two after a blur, which makes defocus count little."""
    sigma = max(fixed.shape[-2:]) / 100
    a = gaussian(decode_srgb(_warped(moving, Pose(step)).clamp(0, 1)), sigma)
    b = gaussian(decode_srgb(fixed), sigma)
    good = (torch.minimum(a, b) > EXPOSED[0]) & (torch.maximum(a, b) < EXPOSED[1])
    return float((b[good] / a[good]).median()) if good.any() else 1.0


def _warped(frame: Tensor, pose: Pose) -> Tensor:
    """frame [3, H, W] -> [3, H, W], the reference's pixels as the frame shows them."""
    h, w = frame.shape[-2:]
    return sample(frame, place(coordinates(slice(0, h), slice(0, w), h, w, frame.device), pose, h, w), h, w)
