"""A real photograph with measured disparity: the Middlebury motorcycle that scikit-image carries."""

import io
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image


def motorcycle() -> tuple[Image.Image, Image.Image]:
    """(photo, depth map): 741 x 500 RGB, and disparity as 8-bit grey, near is white.

    Pixels that the measurement left out take the farther of their two neighbours in the row: they were hidden from
    one of the two cameras, hence background.
    """
    folder = Path(skimage.data.__file__).parent
    photo = Image.open(folder / "motorcycle_left.png").convert("RGB")
    disparity = np.load(folder / "motorcycle_disp.npz")["arr_0"]
    known = np.isfinite(disparity)
    left, right = _carry(disparity, known), _carry(disparity[:, ::-1], known[:, ::-1])[:, ::-1]
    full = np.where(known, disparity, np.minimum(left, right))
    full[~np.isfinite(full)] = disparity[known].min()
    grey = np.clip(full / disparity[known].max(), 0, 1) * 255
    return photo, Image.fromarray(grey.round().astype(np.uint8))


def pages(pictures: list, kind: str = "PNG") -> bytes:
    """Several pictures as one lossless file that LoadImage of every ComfyUI reads as a batch: "PNG" or "WEBP".

    From 0.21 on it reads one page of a TIFF; a GIF has 256 colours.

    No two neighbours may be equal: the file would hold one frame for both.
    """
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, kind, save_all=True, append_images=pictures[1:], **({"lossless": True} if kind == "WEBP" else {})
    )
    return buffer.getvalue()


def _carry(values, known):
    """Each unknown value becomes the last known one to its left; infinity where there is none."""
    columns = np.where(known, np.arange(values.shape[1]), -1)
    last = np.maximum.accumulate(columns, axis=1)
    return np.where(last >= 0, np.take_along_axis(values, last.clip(0), axis=1), np.inf)
