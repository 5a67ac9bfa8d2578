"""Detail transfer: the photo's own fine detail, at its own resolution, in generated frames that are as sharp there."""
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .positions import check_position
from .sizes import resize

# In pixels of the model's picture.
TAKEN = 1.5              # detail finer than this Gaussian is taken from the photo
SEEN = (0.7, 2.0)        # between these the frames are compared: finer detail does not survive the VAE
NEAR, WIDE = 3.0, 24.0   # windows of the comparison; the wide one decides where the near one holds nothing
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
    k = torch.exp(-t ** 2 / (2 * sigma ** 2))
    k = k / k.sum()
    b, h, w, c = x.shape
    x = x.movedim(-1, 1).reshape(b * c, 1, h, w)
    x = F.conv2d(F.pad(x, (0, 0, r, r), mode="replicate"), k.view(1, 1, -1, 1))
    x = F.conv2d(F.pad(x, (r, r, 0, 0), mode="replicate"), k.view(1, 1, 1, -1))
    return x.view(b, c, h, w).movedim(1, -1)
