"""Latents as tokens on a grid (2 x 2 latent pixels, 16 x 16 image pixels each) and their positions."""
import torch
from torch import Tensor

PATCH = 2


def pack(latents: Tensor) -> Tensor:
    """[B, C, 2h, 2w] -> token grid [B, h, w, 4C], the patch's channels ordered (channel, row, column) as in FLUX."""
    b, c, h, w = latents.shape
    grid = latents.reshape(b, c, h // PATCH, PATCH, w // PATCH, PATCH)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(b, h // PATCH, w // PATCH, c * PATCH * PATCH)


def unpack(grid: Tensor) -> Tensor:
    """[B, h, w, 4C] -> [B, C, 2h, 2w]; undoes pack."""
    b, h, w, c = grid.shape
    latents = grid.reshape(b, h, w, c // PATCH ** 2, PATCH, PATCH)
    return latents.permute(0, 3, 1, 4, 2, 5).reshape(b, c // PATCH ** 2, h * PATCH, w * PATCH)


def position_ids(h: int, w: int, offset: tuple[int, int] = (0, 0), device=None) -> Tensor:
    """[h * w, 3] float: (0, y + offset_y, x + offset_x) of each token, row by row."""
    y = torch.arange(h, device=device, dtype=torch.float32) + offset[0]
    x = torch.arange(w, device=device, dtype=torch.float32) + offset[1]
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([torch.zeros_like(y), y, x], dim=-1).flatten(0, 1)
