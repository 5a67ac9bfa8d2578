"""What learn2refocus is given: positions, sizes, CLIP's picture, conditioning."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image.checks import RefocusError

# The nine focal positions of learn2refocus: 0 is focused at about 5 cm, 8 at infinity, even in dioptres between.

POSITIONS = 9
NEAREST_M = 0.05


def check_position(position: int) -> int:
    """0..8 as it is, anything else raises RefocusError."""
    if position not in range(POSITIONS):
        raise RefocusError(
            f"the input position is {position}, but a whole number from 0 (nearest, about 5 cm) to "
            f"{POSITIONS - 1} (infinity) is needed."
        )
    return int(position)


def dioptres_at(position: float) -> float:
    """Position 0..8 -> focus in dioptres (1/m): 20 .. 0."""
    return (1 - position / (POSITIONS - 1)) / NEAREST_M


def position_at(dioptres: float) -> float:
    """Focus in dioptres (1/m) -> position, a fraction in 0..8; nearer than 5 cm is 0."""
    return (POSITIONS - 1) * (1 - min(max(dioptres * NEAREST_M, 0.0), 1.0))


# The sizes learn2refocus works at: sides in multiples of 64, half a megapixel at most.

SIDE = 64
MEGAPIXELS = 0.5


def model_size(height: int, width: int, megapixels: float = MEGAPIXELS) -> tuple[int, int]:
    """(height, width) for a picture of that size: shrunk to the megapixels, then both sides floored to 64s, 64 at
    least."""
    if not megapixels > 0:
        raise RefocusError(f"the largest size is {megapixels:g} megapixels, but more than 0 is needed.")
    scale = min(1.0, math.sqrt(megapixels * 1e6 / (height * width)))
    return tuple(max(SIDE, int(n * scale + 1e-6) // SIDE * SIDE) for n in (height, width))


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """[B, h, w, C] in 0..1 -> [B, height, width, C] in 0..1: bicubic, antialiased; of its own size it is unchanged."""
    if image.shape[1:3] == (height, width):
        return image
    x = F.interpolate(image.movedim(-1, 1), (height, width), mode="bicubic", antialias=True, align_corners=False)
    return x.movedim(1, -1).clamp(0, 1)


# The picture as CLIP's vision tower sees it.

SIZE = 224
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def clip_pixels(image: Tensor, *, corrected: bool = False) -> Tensor:
    """image [B, H, W, 3] in 0..1 -> [B, 3, 224, 224], the whole picture squeezed into the square, CLIP-normalised.

    As released, inference normalises values in -1..1, although training normalised 0..1; corrected does as training.
    """
    x = shrink(image.movedim(-1, 1) * 2 - 1)
    x = (x + 1) / 2 if corrected else x
    return (x - x.new_tensor(MEAN).view(3, 1, 1)) / x.new_tensor(STD).view(3, 1, 1)


def shrink(x: Tensor, size: int = SIZE) -> Tensor:
    """[B, C, H, W] -> [B, C, size, size] as SVD does it: a Gaussian of (factor - 1) / 2 pixels, then bicubic with
    aligned corners."""
    for axis in (-1, -2):
        x = _blur(x, axis, max((x.shape[axis] / size - 1) / 2, 0.001))
    return F.interpolate(x, (size, size), mode="bicubic", align_corners=True)


def _blur(x: Tensor, axis: int, sigma: float) -> Tensor:
    """Gaussian along one axis, cut off at about two sigma, mirrored at the borders."""
    reach = int(max(4 * sigma, 3)) // 2
    t = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-(t**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).view(1, 1, *((-1, 1) if axis == -2 else (1, -1)))
    b, c, h, w = x.shape
    pad = (0, 0, reach, reach) if axis == -2 else (reach, reach, 0, 0)
    flat = F.pad(x.reshape(b * c, 1, h, w), pad, mode="reflect" if x.shape[axis] > reach else "replicate")
    return F.conv2d(flat, kernel).view(b, c, h, w)


# Position-dependent conditioning: which of the nine frames is the photo (arXiv 2512.19823).

FPS_ID, MOTION_BUCKET, NOISE_AUGMENTATION = 6, 0, 0.0  # FPS_ID is fps - 1, as SVD counts


def place(latent: Tensor, position: int) -> Tensor:
    """Latents [B, 4, h, w] of the photo (VAE mode, not scaled) -> [B, 9, 4, h, w]: zero but at its position."""
    frames = latent.new_zeros(latent.shape[0], POSITIONS, *latent.shape[1:])
    frames[:, check_position(position)] = latent
    return frames


def added_time_ids(like: Tensor) -> Tensor:
    """[B, 3] for noise [B, ...]: frame rate, motion bucket, noise augmentation."""
    ids = torch.tensor([[FPS_ID, MOTION_BUCKET, NOISE_AUGMENTATION]], dtype=like.dtype, device=like.device)
    return ids.expand(like.shape[0], -1)
