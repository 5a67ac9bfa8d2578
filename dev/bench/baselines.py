"""What others do, written plainly, to compare against: disc scatter and the Gaussian blend of the usual node."""

import torch
import torch.nn.functional as F

from rackfocus.pipelines.optical.bokeh.highlights import scatter
from rackfocus.pipelines.optics import aperture_kernel, aperture_mask


def disc_scatter(linear, radius, steps=40):
    """Each pixel's light over its own disc, divided by the summed coverage: discs, but no occlusion.

    linear [1, H, W, 3], radius [1, H, W] -> [1, H, W, 3]. The classical renderer of BokehMe (CVPR 2022).
    """
    light, size = linear[0], radius[0].abs()
    one = torch.ones_like(size)[..., None]
    top = float(size.max())
    total, cover, circle = torch.zeros_like(light), torch.zeros_like(one), aperture_mask()
    for i in range(steps + 1):
        share = (1 - (size * steps / top - i).abs()).clamp(0, 1)[..., None] if top else one
        if share.max() > 0:
            r = i * top / steps
            total += _disc(light * share, circle, r)
            cover += _disc(one * share, circle, r)
    return (total / cover.clamp(min=1e-4))[None]


def _disc(light, circle, r):
    if r <= 0.4:
        return light
    kernel = aperture_kernel(circle, r)
    p = kernel.shape[0] // 2
    return scatter(light, kernel)[p:-p, p:-p]


def gaussian_blend(image, radius, steps=8):
    """Gaussian blurs of the sRGB picture, cross-faded by |radius|: no discs, no occlusion, not in linear light."""
    x, size = image.permute(0, 3, 1, 2), radius[0].abs()
    top = max(float(size.max()), 1e-3)
    out = torch.zeros_like(x)
    for i in range(steps + 1):
        share = (1 - (size / top * steps - i).abs()).clamp(0, 1)
        out += share * (_gaussian(x, top * i / steps / 2) if i else x)
    return out.permute(0, 2, 3, 1)


def _gaussian(x, sigma):
    half = max(1, int(3 * sigma))
    k = torch.exp(-(torch.arange(-half, half + 1.0) ** 2) / (2 * sigma * sigma))
    k = (k / k.sum()).repeat(3, 1)
    x = F.conv2d(F.pad(x, (half, half, 0, 0), "replicate"), k[:, None, None], groups=3)
    return F.conv2d(F.pad(x, (0, 0, half, half), "replicate"), k[:, None, :, None], groups=3)
