"""Where the pixels of the fused picture lie in a frame, and resampling by it.

Convention: positions are (x, y) in pixels from the picture's centre, x right, y down; tensors of them [2, h, w]. The
reference is the frame that the fused picture is laid out by.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...image.device import bordered_bicubic, where_able
from ...image.progress import look

LOBES = 6  # of the Lanczos window, in samples to either side
REACH = LOBES + 2  # px that a sample looks at beyond its position
IDENTITY = torch.eye(2, 3, dtype=torch.float64)


@dataclass(frozen=True)
class Pose:
    """q = M p, then q (1 + k |q|^2 / (half the diagonal)^2): from the reference's positions p to the frame's.

    matrix M [2, 3] float64; distortion k; gain: factor on the frame's light that gives the reference's exposure.
    """

    matrix: Tensor
    distortion: float = 0.0
    gain: float = 1.0


def similarity(theta: Tensor) -> Tensor:
    """theta [4]: log scale, rotation in radians (x towards y), shift x, y in pixels -> matrix [2, 3]."""
    s, c, d = theta[0].exp(), theta[1].cos(), theta[1].sin()
    return torch.stack([torch.stack([s * c, -s * d, theta[2]]), torch.stack([s * d, s * c, theta[3]])])


def chain(outer: Tensor, inner: Tensor) -> Tensor:
    """Matrices [2, 3] -> the matrix of p -> outer (inner p)."""
    return torch.cat([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2:] + outer[:, 2:]], 1)


def coordinates(rows: slice, columns: slice, height: int, width: int, device=None) -> Tensor:
    """-> [2, h, w]: positions of a window's pixels in the [height, width] picture."""
    y = torch.arange(rows.start, rows.stop, device=device, dtype=torch.float32) - (height - 1) / 2
    x = torch.arange(columns.start, columns.stop, device=device, dtype=torch.float32) - (width - 1) / 2
    return torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))])


def place(p: Tensor, pose: Pose, height: int, width: int) -> Tensor:
    """p [2, h, w] in the reference -> [2, h, w] in the frame; both have the size [height, width]."""
    m = pose.matrix.to(p.dtype).to(p.device)  # in this order: not every device holds float64
    q = torch.einsum("ij,jhw->ihw", m[:, :2], p) + m[:, 2, None, None]
    return q * (1 + pose.distortion * q.square().sum(0) * 4 / (height * height + width * width))


def sample(image: Tensor, q: Tensor, height: int, width: int, corner: tuple[int, int] = (0, 0)) -> Tensor:
    """image [C, h, w], whose first pixel is pixel `corner` (y, x) of the [height, width] frame; positions q [2, H, W]
    in that frame -> [C, H, W], bicubic; the border's colour goes on outside."""
    h, w = image.shape[-2:]
    x = (q[0] + (width - 1) / 2 - corner[1] + 0.5) * 2 / w - 1
    y = (q[1] + (height - 1) / 2 - corner[0] + 0.5) * 2 / h - 1
    return _bicubic(image, torch.stack([x, y], -1))


def sample_sharply(image: Tensor, q: Tensor, height: int, width: int, corner: tuple[int, int] = (0, 0)) -> Tensor:
    """As sample, but keeps fine detail: bicubic among pixels and the values halfway between them, which Lanczos
    interpolation gives (Duchon, "Lanczos Filtering in One and Two Dimensions", 1979)."""
    fine = _halve(image)
    look()
    fine = _halve(fine.mT).mT
    look()
    # pixel i of the picture is sample 2 i of the fine one
    scale = torch.tensor([fine.shape[-1] / 2, fine.shape[-2] / 2]).to(q)[:, None, None]
    first = torch.tensor([(width - 1) / 2 - corner[1], (height - 1) / 2 - corner[0]]).to(q)[:, None, None]
    at = (q + first + 0.25) / scale * 2 - 1
    return _bicubic(fine, at.movedim(0, -1))


def _bicubic(image: Tensor, at: Tensor) -> Tensor:
    """image [C, h, w], at [H, W, (x, y)] from -1 to 1 over it -> [C, H, W]; the border's colour goes on outside."""

    def sampled(image: Tensor, at: Tensor) -> Tensor:
        return F.grid_sample(image[None], at[None], mode="bicubic", padding_mode="border", align_corners=False)[0]

    return where_able("resampling of frames", bordered_bicubic, sampled, image, at)


def _halve(x: Tensor) -> Tensor:
    """[C, H, W] -> [C, H, 2 W - 1]: the samples, and between any two the one halfway."""
    if x.shape[-1] == 1:
        return x
    t = torch.arange(2 * LOBES, dtype=x.dtype) - LOBES + 0.5
    kernel = (torch.sinc(t) * torch.sinc(t / LOBES)).to(x.device)  # made on the CPU: not every device has sinc
    rows = F.pad(x, (LOBES - 1, LOBES - 1), mode="replicate")
    middle = F.conv1d(rows.flatten(0, 1)[:, None], (kernel / kernel.sum())[None, None]).reshape(*x.shape[:2], -1)
    out = x.new_empty(*x.shape[:2], 2 * x.shape[-1] - 1)
    out[..., ::2], out[..., 1::2] = x, middle
    return out


def inside(q: Tensor, height: int, width: int) -> Tensor:
    """q [2, H, W] -> [H, W], 1 where the frame has a pixel there, 0 where not."""
    return ((q[0].abs() <= (width - 1) / 2 + 0.5) & (q[1].abs() <= (height - 1) / 2 + 0.5)).float()
