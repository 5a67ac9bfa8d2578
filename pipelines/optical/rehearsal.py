"""Each kind of this engine's work on a picture of a few pixels: image/device.py tries by it what a device can do.

They take the device, meet every feature once, and return what came out.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..optics.lens import DefocusMap
from .bokeh import render_bokeh
from .deconvolution import deblur, estimate_coarse
from .stacking import fuse_stack

_HEIGHT, _WIDTH = 36, 44


def lens_blur(device: torch.device) -> Tensor:
    """Two surfaces, a highlight, and all that a lens may have."""
    image, radius = _picture(device), torch.linspace(-1, 3, _WIDTH, device=device).repeat(1, _HEIGHT, 1)
    image[:, 20, 30], radius[:, 8:24, 12:26] = 1.0, -3.0
    opening = torch.ones(1, 20, 30, device=device)
    return render_bokeh(
        image,
        DefocusMap(radius),
        aperture=opening,
        background=1 - image,
        quality="fast",
        cats_eye=0.5,
        spherical=0.5,
        chromatic=1.0,
    )


def deblurring(device: torch.device) -> Tensor:
    """With a known radius, a negative one too."""
    radius = torch.linspace(-2, 2, _WIDTH, device=device).repeat(1, _HEIGHT, 1)
    return deblur(_picture(device), DefocusMap(radius))


def blur_estimation(device: torch.device) -> Tensor:
    """Of a reduced copy."""
    soft = F.interpolate(_picture(device)[:, :18, :22].movedim(-1, 1), (_HEIGHT, _WIDTH), mode="bilinear")
    return 1 + estimate_coarse(soft.movedim(1, -1), pixels=34 * 42).radius


def focus_stacking(device: torch.device) -> Tensor:
    """Three frames, aligned; the picture beside its depth order."""
    image = _picture(device)
    frames = torch.cat([image, image.roll(1, 2), 0.9 * image])
    fused = fuse_stack(frames, align=True)
    return torch.cat([fused.image, fused.order[..., None]], -1)


def _picture(device: torch.device) -> Tensor:
    """[1, H, W, 3]: waves of many lengths."""
    y, x = torch.arange(_HEIGHT, device=device)[:, None], torch.arange(_WIDTH, device=device)
    waves = ((1.0, 2.0), (0.4, 1.3), (0.7, 3.0))
    planes = [0.5 + 0.2 * torch.sin(x * a + y) + 0.2 * torch.sin(y * y * 0.1 + x * b) for a, b in waves]
    return torch.stack(planes, -1)[None]
