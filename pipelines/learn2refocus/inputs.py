"""What learn2refocus (arXiv 2512.19823) is given: a position, a size, the photo for CLIP, the photo among nine frames.

Convention: a position counts the frames of a stack from near to far. 0 is focused at 5 cm, 8 at infinity, and between
them positions are even in dioptres (1/m). Pictures are sRGB in 0..1; latents are the VAE's mode, not scaled.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image.checks import check_number, check_whole
from ..image.filters import shrink
from ..image.progress import look

POSITIONS, NEAREST_M = 9, 0.05
SIDE, MEGAPIXELS = 64, 0.5  # sides are multiples of SIDE; the largest picture, as published
# The picture that CLIP's vision tower sees: its side, and the mean and deviation of its training pictures.
CLIP_SIDE = 224
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
FPS_ID, MOTION_BUCKET, NOISE_AUGMENTATION = 6, 0, 0.0  # FPS_ID is fps - 1, as SVD counts


def check_position(position: int) -> int:
    """0..8 as it is, anything else raises RefocusError."""
    return check_whole("the input position", position, 0, POSITIONS - 1, why="0 is at about 5 cm, 8 at infinity")


def dioptres_at(position: float) -> float:
    """(1 - position / 8) / 0.05 m: position 0..8 -> focus in dioptres (1/m), 20 to 0."""
    check_number("the input position", position, 0, POSITIONS - 1)
    return (1 - position / (POSITIONS - 1)) / NEAREST_M


def position_at(dioptres: float) -> float:
    """8 (1 - 0.05 m * dioptres): focus in dioptres (1/m) -> position, a fraction in 0..8; nearer than 5 cm is 0."""
    check_number("the focus", dioptres, why="in dioptres")
    return (POSITIONS - 1) * (1 - min(max(dioptres * NEAREST_M, 0.0), 1.0))


def model_size(height: int, width: int, megapixels: float = MEGAPIXELS) -> tuple[int, int]:
    """Size of a picture -> the size learn2refocus works at, (height, width).

    scale = min(1, sqrt(10^6 megapixels / (height width)));  side' = max(64, 64 floor(scale side / 64))
    Raises RefocusError unless 0 < megapixels <= 1000.
    """
    check_number("the largest size", megapixels, 1e-6, 1000, why="in megapixels, more than 0")
    scale = min(1.0, math.sqrt(megapixels * 1e6 / (height * width)))
    rounding = 1e-6  # a side that is 64 n up to rounding counts as 64 n
    height, width = (max(SIDE, int(side * scale + rounding) // SIDE * SIDE) for side in (height, width))
    return height, width


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """[B, h, w, C] in 0..1 -> [B, height, width, C] in 0..1: bicubic, antialiased; of its own size it is unchanged."""
    if image.shape[1:3] == (height, width):
        return image
    out = image.new_empty(len(image), image.shape[-1], height, width)
    for i, one in enumerate(image.movedim(-1, 1).split(1)):
        look()
        one = F.interpolate(one, (height, width), mode="bicubic", antialias=True, align_corners=False)
        out[i] = one[0].clamp(0, 1)
    return out.movedim(1, -1)


def clip_pixels(image: Tensor, *, corrected: bool = False) -> Tensor:
    """(x - mean) / std: image [B, H, W, 3] -> [B, 3, 224, 224], the whole picture squeezed into CLIP's square.

    As released, inference normalises x in -1..1, although training normalised x in 0..1; corrected does as training.
    """
    x = clip_square(image.movedim(-1, 1) * 2 - 1)  # [B, 3, 224, 224] in -1..1
    x = (x + 1) / 2 if corrected else x
    return (x - x.new_tensor(CLIP_MEAN).view(3, 1, 1)) / x.new_tensor(CLIP_STD).view(3, 1, 1)


def clip_square(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 224, 224] as SVD resizes it.

    A Gaussian of (side / 224 - 1) / 2 pixels along each side, then bicubic with aligned corners.
    """
    return shrink(x, CLIP_SIDE, CLIP_SIDE)


def place(latent: Tensor, position: int) -> Tensor:
    """Latents [B, 4, h, w] of the photo -> the frames' conditioning [B, 9, 4, h, w]: zero but at its position."""
    frames = latent.new_zeros(latent.shape[0], POSITIONS, *latent.shape[1:])
    frames[:, check_position(position)] = latent
    return frames


def added_time_ids(like: Tensor) -> Tensor:
    """[B, 3] for noise [B, ...]: frame rate, motion bucket, noise augmentation."""
    ids = torch.tensor([[FPS_ID, MOTION_BUCKET, NOISE_AUGMENTATION]], dtype=like.dtype, device=like.device)
    return ids.expand(like.shape[0], -1)
