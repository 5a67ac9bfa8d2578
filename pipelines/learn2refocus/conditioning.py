"""Position-dependent conditioning: which of the nine frames is the photo (arXiv 2512.19823)."""
import torch
from torch import Tensor

from .positions import POSITIONS, check_position

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
