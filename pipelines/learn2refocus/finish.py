"""Generated frames as the artist gets them: their size, and the photo among them."""
from torch import Tensor

from ..optics import RefocusError
from .positions import check_position
from .sizes import resize

FRAME_SIZES = ("model", "input")


def finish(frames: Tensor, image: Tensor, position: int, *, size: str = "input", keep_input: bool = False) -> Tensor:
    """frames [9, h, w, 3] made from image [1, H, W, 3] -> [9, ., ., 3] at the model's or the image's size.

    keep_input: the frame at `position` is the photo itself, bit for bit where the size is the photo's.
    """
    if size not in FRAME_SIZES:
        raise RefocusError(f"frame_size is '{size}', but one of {', '.join(FRAME_SIZES)} is needed.")
    frames = resize(frames, *image.shape[1:3]) if size == "input" else frames
    if keep_input:
        frames = frames.clone()
        frames[check_position(position)] = resize(image, *frames.shape[1:3])[0].to(frames)
    return frames
