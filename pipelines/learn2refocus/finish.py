"""Generated frames as the artist gets them: their size, the photo's detail, and the photo among them."""
from torch import Tensor

from ..optics import RefocusError
from .detail import transfer_detail
from .positions import check_position
from .sizes import resize

FRAME_SIZES = ("model", "input")


def finish(frames: Tensor, image: Tensor, position: int, *, size: str = "input", keep_input: bool = False,
           detail: float = 0.0) -> Tensor:
    """frames [9, h, w, 3] made from image [1, H, W, 3] -> [9, ., ., 3] at the model's or the image's size.

    keep_input: the frame at `position` is the photo itself, bit for bit where the size is the photo's.
    detail: how much of the photo's fine detail goes where a frame is as sharp as the photo, 0..1; see transfer_detail.
    """
    if size not in FRAME_SIZES:
        raise RefocusError(f"frame_size is '{size}', but one of {', '.join(FRAME_SIZES)} is needed.")
    if not 0 <= detail <= 1:
        raise RefocusError(f"detail is {detail:g}, but 0 (as generated) to 1 (all of the photo's) is needed.")
    image = (resize(image, *frames.shape[1:3]) if size == "model" else image).to(frames)
    made = transfer_detail(frames, image, position, detail) if detail else resize(frames, *image.shape[1:3])
    if keep_input:
        made = made.clone()
        made[check_position(position)] = image[0]
    return made
