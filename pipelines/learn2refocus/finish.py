"""Generated frames as the artist gets them: their size, the photo's detail, and the photo among them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image.checks import RefocusError
from .inputs import check_position, resize

# Detail transfer: the photo's own fine detail, at its own resolution, in generated frames that are as sharp there.

# In pixels of the model's picture.
TAKEN = 1.5  # detail finer than this Gaussian is taken from the photo
SEEN = (0.7, 2.0)  # between these the frames are compared: finer detail does not survive the VAE
NEAR, WIDE = 3.0, 24.0  # windows of the comparison; the wide one decides where the near one holds nothing
ENOUGH = (2 / 255) ** 2  # energy of detail that decides by itself
# A blur that leaves a share a of what is seen leaves about a^(frequency ratio squared) of what is taken.
STEEP = 10


def transfer_detail(frames: Tensor, image: Tensor, position: int, amount: float = 1.0) -> Tensor:
    """frames [N, h, w, 3] made from image [1, H, W, 3] at `position` -> [N, H, W, 3] of the image's size.

    out = frame + amount * share * (detail(image) - detail(frame)); share = as_sharp ^ STEEP is 1 where the frame shows
    the same detail as the frame at the photo's own position, which went through the same VAE, and falls to 0 where it
    is blurred or sharper.
    """
    own = frames[check_position(position)][None]
    h, w = frames.shape[1:3]
    height, width = image.shape[1:3]
    sigma = TAKEN * math.sqrt(height * width / (h * w))
    fine, out = _detail(image, sigma), []
    for frame in frames.split(1):
        share = amount * resize(as_sharp(frame, own)[..., None] ** STEEP, height, width)
        large = resize(frame, height, width)
        out.append((large + share * (fine - _detail(large, sigma))).clamp(0, 1))
    return torch.cat(out)


def as_sharp(a: Tensor, b: Tensor) -> Tensor:
    """[B, h, w, 3] twice -> [B, h, w] in 0..1: <a b> / max(<a a>, <b b>) of their detail, 1 where it is the same.

    <> is a mean over a small window; where that holds little detail a wide one stands in, and 1 where it does, too.
    """
    a, b = (_gaussian(x, SEEN[0]) - _gaussian(x, SEEN[1]) for x in (a, b))
    ab, aa, bb = ((x * y).sum(-1, keepdim=True) for x, y in ((a, b), (a, a), (b, b)))

    def mean(sigma, enough, otherwise):
        most = torch.maximum(_gaussian(aa, sigma), _gaussian(bb, sigma))
        return (_gaussian(ab, sigma) + enough * otherwise) / (most + enough)

    return mean(NEAR, ENOUGH, mean(WIDE, 0.004 * ENOUGH, 1.0))[..., 0].clamp(0, 1)


def _detail(x: Tensor, sigma: float) -> Tensor:
    return x - _gaussian(x, sigma)


def _gaussian(x: Tensor, sigma: float) -> Tensor:
    """[B, H, W, C] blurred; borders repeat."""
    r = math.ceil(3 * sigma)
    t = torch.arange(-r, r + 1, dtype=x.dtype, device=x.device)
    k = torch.exp(-(t**2) / (2 * sigma**2))
    k = k / k.sum()
    b, h, w, c = x.shape
    x = x.movedim(-1, 1).reshape(b * c, 1, h, w)
    x = F.conv2d(F.pad(x, (0, 0, r, r), mode="replicate"), k.view(1, 1, -1, 1))
    x = F.conv2d(F.pad(x, (r, r, 0, 0), mode="replicate"), k.view(1, 1, 1, -1))
    return x.view(b, c, h, w).movedim(1, -1)


FRAME_SIZES = ("model", "input")


def finish(
    frames: Tensor, image: Tensor, position: int, *, size: str = "input", keep_input: bool = False, detail: float = 0.0
) -> Tensor:
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


# A contact sheet of stacks, to choose an input position by eye.

LINE = 2  # pixels round the photo's own frame


def contact_sheet(stacks: list[Tensor], width: int) -> Tensor:
    """Stacks [N, h, w, 3], one for each start -> [1, rows * h', N * width, 3]: a row for each, near to far.

    The frame that stands where the photo was taken to stand, number r of row r, has a white frame.
    """
    rows = []
    for r, stack in enumerate(stacks):
        small = resize(stack, max(1, round(stack.shape[1] * width / stack.shape[2])), width).clone()
        own = small[r]
        own[:LINE] = own[-LINE:] = own[:, :LINE] = own[:, -LINE:] = 1
        rows.append(torch.cat(list(small), dim=1))
    return torch.cat(rows)[None]
