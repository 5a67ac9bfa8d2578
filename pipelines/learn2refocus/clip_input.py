"""The picture as CLIP's vision tower sees it."""
import torch
import torch.nn.functional as F
from torch import Tensor

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
    kernel = torch.exp(-t ** 2 / (2 * sigma ** 2))
    kernel = (kernel / kernel.sum()).view(1, 1, *((-1, 1) if axis == -2 else (1, -1)))
    b, c, h, w = x.shape
    pad = (0, 0, reach, reach) if axis == -2 else (reach, reach, 0, 0)
    flat = F.pad(x.reshape(b * c, 1, h, w), pad, mode="reflect" if x.shape[axis] > reach else "replicate")
    return F.conv2d(flat, kernel).view(b, c, h, w)
