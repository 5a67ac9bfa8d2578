"""What a node leaves behind for its view in the page: small pictures in the host's temp folder, and numbers.

It travels as the node's own key of the host's ui message, {"rackfocus": [{...}]}, which the host keeps with the run.
Files are named by what they hold, so that a run that changes nothing writes nothing. Without a server nobody looks, and
nothing is written.
"""

import hashlib
import logging
import math
import os
from collections.abc import Callable
from threading import get_ident
from typing import Any

import folder_paths
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..pipelines.optical import HIGHLIGHT_GAIN, lost_light
from ..pipelines.optics import pack_16_bit, resize_depth
from .abilities import running_server

KEY = "rackfocus"
LARGEST = 1024  # pixels of the longer side of what a view shows


def left_behind(make: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """The ui of a node: what `make` gives, under the pack's key; None where no page can look.

    A disk that is full costs the view, and not the run.
    """
    if running_server() is None:
        return None
    try:
        return {KEY: [make()]}
    except OSError:
        logging.getLogger(__name__).warning("Rackfocus could not leave a picture for the page:", exc_info=True)
        return None


def view_size(height: int, width: int, most: int = LARGEST) -> tuple[int, int]:
    """(height, width) of a picture that fits into most x most pixels; never larger than it is."""
    scale = min(1.0, most / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def kept_picture(image: Tensor, most: int = LARGEST) -> dict[str, Any]:
    """image [H, W, 3], sRGB in 0..1 -> the entry of a PNG of at most `most` pixels a side, without loss."""
    return kept_pixels(in_8_bits(small_picture(image, most)))


def small_picture(image: Tensor, most: int = LARGEST) -> Tensor:
    """image [H, W, C] -> float32 [h, w, C] on the CPU, averaged down to at most `most` pixels a side."""
    height, width = image.shape[:2]
    size = view_size(height, width, most)
    if size == (height, width):
        return image.float().cpu()
    # Whole pixels are skipped first: a photograph of 45 megapixels is not averaged in full for a thumbnail.
    step = max(1, math.floor(max(height, width) / (4 * most)))
    thinned = image[::step, ::step].float().cpu().permute(2, 0, 1)[None]
    return F.interpolate(thinned, size, mode="bilinear", antialias=True, align_corners=False)[0].permute(1, 2, 0)


def small_plane(plane: Tensor, size: tuple[int, int]) -> Tensor:
    """plane [H, W] -> float32 [h, w] on the CPU, of the given size, without averaging across edges."""
    return resize_depth(plane[None].float(), *size)[0].cpu()


def kept_plane(plane: Tensor, limits: tuple[float, float] | None = None) -> dict[str, Any]:
    """plane [h, w] -> the entry of a 16-bit file of it (see pack_16_bit), with low and high."""
    packed, low, high = pack_16_bit(plane, limits)
    return {**kept_pixels(packed), "low": low, "high": high}


def kept_shine(small: Tensor) -> dict[str, Any] | None:
    """small [h, w, 3], sRGB in 0..1 -> the entry of a PNG of the light that its clipped highlights lost, None if it has
    none. What is to be added to the picture's, linear: (value / 255)^2 times the entry's `gain`.
    """
    small = in_8_bits(small).contiguous() / 255  # as the page sees it
    lost = lost_light(small)
    if lost is None:
        return None
    return {**kept_pixels(in_8_bits((lost / HIGHLIGHT_GAIN).sqrt())), "gain": HIGHLIGHT_GAIN}


def in_8_bits(picture: Tensor) -> Tensor:
    """0..1 -> uint8."""
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8)


def kept_pixels(pixels: Tensor, quality: int | None = None) -> dict[str, Any]:
    """uint8 [h, w, 3] -> {filename, subfolder, type, width, height} of a file in the host's temp folder.

    A PNG, or a JPEG of that quality with colours at full resolution.
    """
    height, width, _ = pixels.shape
    array = pixels.contiguous().numpy()
    told = hashlib.sha256(array.data)
    told.update(bytes(f"{tuple(pixels.shape)} {quality}", "ascii"))
    name = f"{KEY}_{told.hexdigest()[:20]}.{'jpg' if quality else 'png'}"
    folder = folder_paths.get_temp_directory()
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
        part = f"{path}.{os.getpid()}.{get_ident()}.part"
        if quality:
            Image.fromarray(array).save(part, format="JPEG", quality=quality, subsampling=0)
        else:
            Image.fromarray(array).save(part, format="PNG", compress_level=1)
        os.replace(part, path)
    return {"filename": name, "subfolder": "", "type": "temp", "width": width, "height": height}
