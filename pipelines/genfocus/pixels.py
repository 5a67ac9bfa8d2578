"""Pictures at the model's door: sides in whole tokens, defocus as an image."""
import torch
from torch import Tensor

TOKEN = 16  # pixels
FULL_DEFOCUS = 100.0  # pixels of blur radius that the defocus map shows as white


def pad_to_tokens(image: Tensor) -> Tensor:
    """[B, H, W, C] -> the same with both sides grown to multiples of 16 by repeating the last row and column."""
    h, w = image.shape[1:3]
    rows = torch.arange(-(-h // TOKEN) * TOKEN, device=image.device).clamp(max=h - 1)
    columns = torch.arange(-(-w // TOKEN) * TOKEN, device=image.device).clamp(max=w - 1)
    return image[:, rows][:, :, columns]


def defocus_image(radius: Tensor) -> Tensor:
    """Signed blur radius [B, H, W] in pixels -> [B, H, W, 3]: clip(|radius| / 100, 0, 1), three equal channels."""
    return (radius.abs() / FULL_DEFOCUS).clamp(0, 1)[..., None].expand(-1, -1, -1, 3)
