"""Pictures that tests use again and again, and how two of them are compared. `from rackfocus.tests.pictures import ...`

Convention: a picture is float32 [B, H, W, 3] in 0..1, sRGB; a depth map [B, H, W]. x runs right and y down. Every
random number comes from its own seeded generator, so a picture is the same in any order of the tests.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from rackfocus.pipelines.image.light import decode_srgb, encode_srgb
from rackfocus.pipelines.optics import aperture_kernel, aperture_mask


def psnr(a: Tensor, b: Tensor, mask: Tensor | None = None) -> float:
    """10 log10(1 / mean((a - b)^2)) in dB, of [..., H, W, C], over mask [H, W] (bool) if given; 120 for equal ones."""
    error = (a - b).square()
    return -10 * math.log10(float((error if mask is None else error[..., mask, :]).mean()) + 1e-12)


def random(*shape: int, seed: int = 0, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform noise of this shape in low..high."""
    return low + (high - low) * torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def texture(h: int, w: int, seed: int = 0) -> Tensor:
    """[1, h, w, 3] in 0.05..0.9: a natural (1 / f) spectrum and a dozen hard-edged rectangles."""
    g = torch.Generator().manual_seed(seed)
    f = torch.hypot(torch.fft.fftfreq(h)[:, None].expand(h, w // 2 + 1), torch.fft.rfftfreq(w).expand(h, -1))
    white = torch.fft.rfft2(torch.randn(3, h, w, generator=g) * 0.3 + torch.randn(1, h, w, generator=g))
    x = torch.fft.irfft2(white / f.clamp(min=2 / max(h, w)), s=(h, w))
    x = 0.45 + 0.13 * (x - x.mean()) / x.std()
    for _ in range(12):
        y0, x0 = (int(v * torch.rand(1, generator=g)) for v in (h, w))
        x[:, y0 : y0 + h // 7, x0 : x0 + w // 6] += 0.25 * (torch.rand(3, 1, 1, generator=g) - 0.5)
    return x.clamp(0.05, 0.9).movedim(0, -1)[None]


def ramp(h: int, w: int, left: float = 0.1, right: float = 0.9) -> Tensor:
    """[1, h, w]: a plane that runs evenly from `left` in the first column to `right` in the last."""
    return torch.linspace(left, right, w).expand(1, h, w).clone()


def stripes(h: int, w: int, *values: float) -> Tensor:
    """[1, h, w]: upright stripes of one width, of these values from left to right."""
    return torch.tensor(values)[torch.arange(w) * len(values) // w].expand(1, h, w).clone()


def photograph(image: Tensor, radius: float, *, noise: float = 0.0, aperture: Tensor | None = None) -> Tensor:
    """The whole picture through one disc behind the focal plane (radius in px), in linear light, then 8 bits."""
    k = aperture_kernel(aperture_mask() if aperture is None else aperture, radius)
    p = k.shape[0] // 2
    x = F.pad(decode_srgb(image).movedim(-1, 1), (p,) * 4, mode="reflect")
    y = encode_srgb(F.conv2d(x, k.flip(0, 1).expand(3, 1, *k.shape), groups=3)).movedim(1, -1)
    y = y + noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(9))
    return (y.clamp(0, 1) * 255).round() / 255
