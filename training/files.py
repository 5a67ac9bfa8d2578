"""Pictures and depth maps of a folder, read and brought to the size of the training."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from ..pipelines.image.checks import RefocusError
from ..pipelines.image.light import decode_srgb, encode_srgb
from ..pipelines.optics.depth import resize_depth
from .example import UnfitError, in_steps

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
DEPTHS = (".png", ".tif", ".tiff", ".npy", ".jpg", ".jpeg", ".webp")
GRID = 16  # pixels of a token's side: both sides are whole numbers of it
MOST_ASPECT = 2.0  # what is longer is cut about its middle
SAME_ASPECT = 0.03  # between a photo and its depth map
# What Pillow and numpy raise for a file that is none, is cut off, or is a bomb.
BROKEN = (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError)


def why(error: BaseException) -> str:
    """An error on one short line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:120]


def read_picture(path: Path) -> Image.Image:
    """An RGB picture of 8 bits, as it is meant to be looked at. RefocusError for what is none."""
    try:
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file)
            if upright.mode.startswith("I;16"):
                upright = Image.fromarray((np.asarray(upright) / 257).round().astype(np.uint8))
            return upright.convert("RGB")
    except BROKEN as error:
        raise RefocusError(f"it cannot be read as a picture ({why(error)}): save it again, or take it away.") from error


def fitted(image: Image.Image, size: int) -> Tensor:
    """-> [H, W, 3] in steps of 8 bits: the shorter side reduced to `size` (rounded down to GRID) by means of light, the
    longer one cut about its middle. UnfitError for a smaller picture."""
    height, width = image.height, image.width
    if min(height, width) < size:
        raise UnfitError(f"it is {width} x {height}, but {size} pixels a side are needed.", "too small")
    coarse = min(height, width) // (4 * size)  # far larger ones first by whole numbers: memory
    if coarse > 1:
        image = image.reduce(coarse)
    light = decode_srgb(torch.from_numpy(np.array(image)).float() / 255)
    full = _reduced_size(height, width, size)
    light = F.interpolate(light.movedim(-1, 0)[None], full, mode="bilinear", antialias=True)[0].movedim(0, -1)
    return in_steps(encode_srgb(_middle(light, size)), 255).contiguous()


def fitted_depth(disparity: Tensor, photo: tuple[int, int], size: int) -> Tensor:
    """The disparity [h, w] of a photo, whose file is (height, width), cut and sized as `fitted` does the photo."""
    height, width = disparity.shape
    if abs(width * photo[0] / (height * photo[1]) - 1) > SAME_ASPECT:
        raise RefocusError(
            f"its depth map is {width} x {height} and the photo {photo[1]} x {photo[0]}, but both must show the same: "
            "make the map of this photo, uncut and unturned."
        )
    return _middle(resize_depth(disparity[None], *_reduced_size(*photo, size))[0], size).contiguous()


def _reduced_size(height: int, width: int, size: int) -> tuple[int, int]:
    scale = size / min(height, width)
    return max(size, round(height * scale)), max(size, round(width * scale))


def _middle(t: Tensor, size: int) -> Tensor:
    """[H, W, ...] cut to whole tokens, and to MOST_ASPECT."""
    sides = [min(n, int(MOST_ASPECT * size)) // GRID * GRID for n in t.shape[:2]]
    top, left = ((n - m) // 2 for n, m in zip(t.shape[:2], sides, strict=True))
    return t[top : top + sides[0], left : left + sides[1]]


def read_depth(path: Path) -> Tensor:
    """A map [h, w] or [h, w, 3]: whole numbers as 0..1 of their type, floats as they are. RefocusError else."""
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            with Image.open(path) as file:
                image = file.convert("RGB") if file.mode in ("P", "RGBA", "LA", "CMYK", "YCbCr") else file
                values = np.array(image)
    except BROKEN as error:
        raise RefocusError(f"its depth map cannot be read ({why(error)}): make it again.") from error
    if values.dtype == bool or values.dtype.kind not in "uif" or values.ndim not in (2, 3) or not values.size:
        raise RefocusError("its depth map holds no numbers, but grey values are needed: make it again.")
    if values.dtype.kind != "f":
        # Pillow gives 16 bits as 32 in some of its versions.
        most = 255 if values.dtype == np.uint8 else 65535
        values = values / most
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
