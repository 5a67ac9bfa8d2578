"""Generated frames as the artist gets them: their size, the photo's detail, the photo among them, a contact sheet."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ..image.checks import check_choice, check_flag, check_number, check_whole
from ..image.filters import gaussian
from ..image.progress import bands, look
from .inputs import check_position, resize

FRAME_SIZES = ("model", "input")

# Detail transfer; lengths are in pixels of the model's picture.
TAKEN = 1.5  # detail finer than this Gaussian is taken from the photo
SEEN = (0.7, 2.0)  # between these Gaussians the frames are compared: finer detail does not survive the VAE
NARROW, WIDE = 3.0, 24.0  # windows of the comparison; the wide one decides where the narrow one holds nothing
ENOUGH = (2 / 255) ** 2  # energy of detail in the narrow window that decides by itself
ENOUGH_WIDE = 0.004 * ENOUGH  # and in the wide one, which averages over more that is empty
# A blur that leaves a share a of what is seen leaves about a^(frequency ratio squared) of what is taken.
STEEP = 10

WIDEST = 4096  # px of a frame on a contact sheet
LINE = 2  # pixels of the white line round the photo's own frame on a contact sheet


def finish(
    frames: Tensor, image: Tensor, position: int, *, size: str = "input", keep_input: bool = False, detail: float = 0.0
) -> Tensor:
    """frames [9, h, w, 3] made from image [1, H, W, 3] -> [9, ., ., 3] at the model's or the image's size.

    keep_input: the frame at `position` is the photo itself, bit for bit where the size is the photo's.
    detail: how much of the photo's fine detail goes where a frame is as sharp as the photo, 0..1; see transfer_detail.
    Raises RefocusError for another size or detail.
    """
    check_choice("frame_size", size, FRAME_SIZES)
    keep_input = check_flag("keep_input", keep_input)
    check_number("detail", detail, 0, 1, why="0 is as generated, 1 all of the photo's")
    image = (resize(image, *frames.shape[1:3]) if size == "model" else image).to(frames)
    made = transfer_detail(frames, image, position, detail) if detail else resize(frames, *image.shape[1:3])
    if keep_input:
        made = made.clone()
        made[check_position(position)] = image[0]
    return made


def transfer_detail(frames: Tensor, image: Tensor, position: int, amount: float = 1.0) -> Tensor:
    """out = frame + amount as_sharp^STEEP (detail(image) - detail(frame)), at the photo's own resolution.

    frames [N, h, w, 3] made from image [1, H, W, 3] at `position` -> [N, H, W, 3]. as_sharp compares a frame with that
    at the photo's own position, which went through the same VAE: 1 where both show the same detail, falling to 0 where
    the frame is blurred or sharper.
    """
    own = frames[check_position(position)][None]
    h, w = frames.shape[1:3]
    height, width = image.shape[1:3]
    sigma = TAKEN * math.sqrt(height * width / (h * w))
    soft = _blurred(image, sigma)
    made = image.new_empty(len(frames), height, width, 3)
    for i, frame in enumerate(frames.split(1)):
        look()
        share = amount * resize(as_sharp(frame, own)[..., None] ** STEEP, height, width)  # [1, H, W, 1]
        look()
        large = resize(frame, height, width)
        soft_frame = _blurred(large, sigma)
        for _, at in bands(large):
            fine, coarse = image[0, at] - soft[0, at], large[0, at]
            made[i, at] = (coarse + share[0, at] * (fine - (coarse - soft_frame[0, at]))).clamp(0, 1)
    return made


def as_sharp(a: Tensor, b: Tensor) -> Tensor:
    """<a b> / max(<a a>, <b b>) of the detail in two pictures [B, h, w, 3] -> [B, h, w] in 0..1, 1: all the same.

    <> is a mean over a narrow window. Where that holds little detail a wide one decides, and where that one holds
    little, too, the answer is 1.
    """
    a, b = (_blurred(x, SEEN[0]) - _blurred(x, SEEN[1]) for x in (a, b))
    ab, aa, bb = ((x * y).sum(-1) for x, y in ((a, b), (a, a), (b, b)))  # [B, h, w]

    def ratio(window: float, enough: float, otherwise):
        energy = torch.maximum(gaussian(aa, window), gaussian(bb, window))
        return (gaussian(ab, window) + enough * otherwise) / (energy + enough)

    return ratio(NARROW, ENOUGH, ratio(WIDE, ENOUGH_WIDE, 1.0)).clamp(0, 1)


def contact_sheet(stacks: Iterable[Tensor], width: int) -> Tensor:
    """Stacks [N, h, w, 3], one for each input position -> [1, rows * h', N * width, 3]: a row for each, near to far.

    The frame at the photo's own position, number r of row r, has a white line round it.
    """
    width, rows = check_whole("the width of a frame", width, 1, WIDEST), []
    for r, stack in enumerate(stacks):
        small = resize(stack, max(1, round(stack.shape[1] * width / stack.shape[2])), width).clone()
        own = small[r]
        own[:LINE] = own[-LINE:] = own[:, :LINE] = own[:, -LINE:] = 1
        rows.append(torch.cat(list(small), dim=1))  # [h', N * width, 3]
    return torch.cat(rows)[None]


def _blurred(image: Tensor, sigma: float) -> Tensor:
    return gaussian(image.movedim(-1, 1), sigma).movedim(1, -1)
