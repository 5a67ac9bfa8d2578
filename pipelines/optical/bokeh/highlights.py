"""The lights that an 8-bit picture clipped: which they are, what hue they had, how bright they may have been.

A light far above white is clipped so far out on its edge that the first unclipped pixels are almost background; a
patch that is just white fades over its edge. With a pixel as wide as the step between pixels, the first unclipped
ring of a light of L times white holds on average 1 / (2 L) of the way from background to white. So a ring at half or
more is no light, and a ring that is nearly background is one. The ring's colour is the light's own, unclipped.
"""

import math
from dataclasses import dataclass

import scipy.ndimage
import torch
import torch.nn.functional as F
from torch import Tensor

from ...image.filters import fft_size, window_max, window_mean
from ...image.light import decode_srgb
from ...optics.aperture import aperture_kernel
from .lens import Field, Lens

# A light's strongest channel is this many times white, where nothing tells by how much.
HIGHLIGHT_GAIN = 12.0
# A clipped patch wider than this part of the picture's diagonal is a wall or a sky, not a light.
LIGHT_SIZE = 0.025
_WHITE = 254 / 255
_PATCH, _LIGHT = 0.5, 0.35  # how bright the ring is about a patch that is just white, and about a sure light


@dataclass
class ClippedLights:
    """label [H, W] int32, 0 = no light; level [n + 1, 3]: linear light of each label, at most `gain`."""

    label: Tensor
    level: Tensor

    def recover(self, linear: Tensor, radius: Tensor, part=None) -> Tensor:
        """linear [h, w, 3] and radius [h, w] -> linear with its lights as bright as they were. part.take(plane), if
        given, cuts what these show from a plane of the picture.

        Only what is out of focus changes (fully from 2 px on): in focus the light is to stay the white that it was.
        """
        label = self.label if part is None else part.take(self.label)
        level = self.level[label.long()]
        blurred = ((radius.abs() - 0.5) / 1.5).clamp(0, 1)[..., None]
        return linear + (level - linear).clamp(min=0) * blurred


def find_clipped_lights(image: Tensor, gain: float = HIGHLIGHT_GAIN) -> ClippedLights | None:
    """image [H, W, 3] sRGB, gain >= 1 -> the small lights it clips, None if there are none.

    Clipped means a channel at white. What survives a morphological opening by a window of LIGHT_SIZE of the diagonal
    is large, hence no light.
    """
    clipped = image.amax(-1) >= _WHITE
    if gain == 1 or not clipped.any():
        return None
    small = clipped & ~_large(clipped)
    label, count = scipy.ndimage.label(small.cpu().numpy(), [[1] * 3] * 3)
    if not count:
        return None
    label = torch.from_numpy(label).to(image.device)
    near, far = _ring(label, clipped, 1), _ring(label, clipped, 3)
    background, _ = _means(decode_srgb(image[far[0]]), far[1], count)
    excess, seen = _means((decode_srgb(image[near[0]]) - background[near[1]]).clamp(min=0), near[1], count)
    ring = (excess / (1 - background).clamp(min=0.05)).amax(1)
    strongest = excess.amax(1, keepdim=True)
    own, _ = _means(decode_srgb(image[label > 0]), label[label > 0].long(), count)
    hue = torch.where(strongest > 1 / 255, excess, own)
    hue = hue / hue.amax(1, keepdim=True).clamp(min=1e-6)
    sure = ((_PATCH - ring) / (_PATCH - _LIGHT)).clamp(0, 1) * seen
    level = sure[:, None] * gain * hue
    level[0] = 0
    return ClippedLights(label, level)


def _large(clipped: Tensor) -> Tensor:
    k = int(LIGHT_SIZE * math.hypot(*clipped.shape) / 2) * 2 + 1
    opened = scipy.ndimage.grey_opening(clipped.to(torch.uint8).cpu().numpy(), size=(k, k), mode="nearest")
    return torch.from_numpy(opened).to(clipped.device).bool()


def _ring(label: Tensor, clipped: Tensor, distance: int) -> tuple[Tensor, Tensor]:
    """The unclipped pixels at this distance from each label: (mask [H, W], their labels [n]). At distance 1 they are
    those beside it, not across its corners: only they are cut by its edge."""
    plane = label.float()[None, None]
    if distance == 1:
        reached = torch.maximum(F.max_pool2d(plane, (3, 1), 1, (1, 0)), F.max_pool2d(plane, (1, 3), 1, (0, 1)))[0, 0]
        ring = (reached > 0) & ~clipped
    else:
        reached = window_max(plane, 2 * distance + 1)[0, 0]
        ring = (reached > 0) & ~clipped & (window_max(plane, 2 * distance - 1)[0, 0] == 0)
    return ring, reached[ring].long()


def _means(value: Tensor, label: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """value [n, 3] averaged per label -> ([count + 1, 3], whether there was any [count + 1])."""
    number = torch.bincount(label, minlength=count + 1)
    total = torch.zeros(count + 1, 3, device=value.device).index_add_(0, label, value)
    return total / number.clamp(min=1)[:, None], (number > 0).float()


# Lights: points far brighter than their surroundings.
#
# A finite number of lens points turns one bright pixel into as many dots. So the light above a cap leaves the sampled
# scene and is spread over the exact image of the aperture instead (spread.py).

_CONTRAST = 4.0  # times the mean of the neighbourhood
_NEIGHBOURHOOD = 25  # pixels
_STEP = 0.5  # pixels of radius by which discs are told apart ...
_FINE = 20  # ... up to this radius, from there by the same ratio
_MIN_RADIUS = 2.0  # below this the lens points leave no gaps


@dataclass
class Lights:
    """Pixels of a tile that shine: x and y [L] int64, light [L, 3] linear, radius [L]."""

    x: Tensor
    y: Tensor
    light: Tensor
    radius: Tensor


def split_lights(linear: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """linear [H, W, 3], radius [H, W] -> (scene, lights), which add up to linear.

    A light is what exceeds white or, if darker, _CONTRAST times the mean around it, where it is out of focus.
    """
    level = linear.amax(-1)
    k = _NEIGHBOURHOOD
    mean = window_mean(level[None, None], k)[0, 0]
    cap = (_CONTRAST * mean).clamp(max=1)
    share = ((level - cap) / level.clamp(min=1e-9)).clamp(min=0) * (radius.abs() > _MIN_RADIUS)
    lights = linear * share[..., None]
    return linear - lights, lights


def gather_lights(lights: Tensor, radius: Tensor) -> Lights:
    """lights [H, W, 3], radius [H, W] -> those pixels that shine."""
    y, x = (lights.amax(-1) > 0).nonzero(as_tuple=True)
    return Lights(x, y, lights[y, x], radius[y, x])


def sort_by_radius(radius: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
    """radius [L] -> {signed step: (which lights [l], their share [l])}; a light between two steps is shared by both."""
    a, ratio = radius.abs().clamp(min=1e-6), 1 + _STEP / _FINE
    at = torch.where(a < _FINE, a / _STEP, _FINE / _STEP + torch.log(a / _FINE) / math.log(ratio))
    low, frac, sign = at.floor().long(), at - at.floor(), torch.where(radius < 0, -1, 1)
    which = torch.arange(len(radius), device=radius.device).repeat(2)
    groups = sort_by(torch.cat([low * sign, (low + 1) * sign]))
    share = torch.cat([1 - frac, frac])
    return {step: (which[i], share[i]) for step, i in groups.items()}


def sort_by(key: Tensor) -> dict[int, Tensor]:
    """key [n] int64 -> {key: its places [m]}."""
    order = key.argsort(stable=True)
    keys, counts = key[order].unique_consecutive(return_counts=True)
    return dict(zip(keys.tolist(), order.split(counts.tolist()), strict=True))


def signed_radius(step: int) -> float:
    """The radius of a step counted from 0, negative in front of the focal plane."""
    fine, a = _FINE / _STEP, abs(step)
    return math.copysign(a * _STEP if a < fine else _FINE * (1 + _STEP / _FINE) ** (a - fine), step)


# Spread lights over the exact image of the aperture, less what nearer things hide of it.

_FFT_COST = 40  # an FFT's work per pixel of its box, in multiply-adds of a direct sum
_FIELD_CELLS = 12  # parts of the picture's width within which one cat's eye serves
_BLOCK = 8  # lights of one depth within radius / _BLOCK pixels are hidden alike
_GROUPS = 2048  # at most about so many groups of hidden lights to a tile


def add_lights(out: Tensor, lights: Lights, open_: Tensor, lens: Lens, field: Field, tick) -> None:
    """Add lights to out [H, W, 3]. open_ [L, N] uint8: which lens points see each light past nearer things; around a
    lens point, its part of the aperture's image is as open as the point."""
    free = open_.bool().all(1)
    block = max(1.0, math.sqrt(int((~free).sum()) / _GROUPS))
    for step, (which, share) in sort_by_radius(lights.radius).items():
        radius = signed_radius(step)
        kernel = aperture_kernel(lens.mask(radius), abs(radius)) if radius else torch.ones(1, 1, device=out.device)
        cell = lens_cells(lens, kernel.shape[0], abs(radius))
        key = _groups(lights.x[which], lights.y[which], free[which], abs(radius), block, lens, field)
        for members in sort_by(key).values():
            i = which[members]
            light = lights.light[i] * share[members][:, None]
            image = kernel
            if not free[i[0]]:
                weight = light.sum(1)
                seen = (open_[i].float() * weight[:, None]).sum(0) / weight.sum().clamp(min=1e-9)
                image = image * seen[cell]
            if lens.cats_eye:
                x, y = lights.x[i].float().mean(), lights.y[i].float().mean()
                barrel = _barrel(kernel.shape[0], abs(radius), lens, *field.shift(x, y, lens.cats_eye))
                # The picture is exposed alike everywhere, so what the barrel leaves is as bright as the whole.
                image = image * barrel / (kernel * barrel).sum().clamp(min=1e-9)
            _spread(out, lights.x[i], lights.y[i], light, image.flip(0, 1) if radius < 0 else image)
        tick(len(lens.points) - 1)


def _groups(x: Tensor, y: Tensor, free: Tensor, radius: float, block: float, lens: Lens, field: Field) -> Tensor:
    """Number of the group [l] in which one image serves: the free ones, in parts of the field if that matters, and
    small blocks of the others."""
    side = max(2.0, block, radius / _BLOCK)
    hidden = 1 + ((y + field.y + 4096) // side).long() * 65536 + ((x + field.x + 4096) // side).long()
    if lens.cats_eye:
        side = math.ceil(field.width / _FIELD_CELLS)
        whole = -1 - ((y + field.y + 4096) // side) * 65536 - (x + field.x + 4096) // side
    else:
        whole = torch.zeros_like(x)
    return torch.where(free, whole, hidden)


def lens_cells(lens: Lens, size: int, radius: float) -> Tensor:
    """[K, K]: which lens point is nearest to each pixel of the aperture's image at this radius (> 0)."""
    c = ((torch.arange(size, device=lens.points.device) - size // 2) / max(radius, 0.5)).clamp(-1, 1)
    where = torch.stack(torch.meshgrid(c, c, indexing="xy"), -1)[None]
    cells = lens.nearest.float()[None, None]
    return F.grid_sample(cells, where, mode="nearest", padding_mode="border", align_corners=False)[0, 0].long()


def _barrel(size: int, radius: float, lens: Lens, x: Tensor, y: Tensor) -> Tensor:
    """[K, K]: where the barrel's opening, shifted by (x, y) radii, passes; its edge is one pixel wide."""
    c = (torch.arange(size, device=lens.points.device) - size // 2) / radius
    return ((lens.rim - torch.hypot(c[None] - x, c[:, None] - y)) * radius + 1).clamp(0, 1)


def _spread(out: Tensor, x: Tensor, y: Tensor, light: Tensor, kernel: Tensor):
    h, w, _ = out.shape
    k = kernel.shape[0]
    p = k // 2
    top, left = int(y.min()), int(x.min())
    bh, bw = int(y.max()) - top + 1, int(x.max()) - left + 1
    if len(x) * k * k < _FFT_COST * (bh + k) * (bw + k):
        for py, px, colour in zip(y.tolist(), x.tolist(), light, strict=True):
            y0, x0, y1, x1 = max(0, py - p), max(0, px - p), min(h, py + p + 1), min(w, px + p + 1)
            part = kernel[y0 - py + p : y1 - py + p, x0 - px + p : x1 - px + p]
            out[y0:y1, x0:x1] += part[..., None] * colour
        return
    box = torch.zeros(bh * bw, 3, device=out.device).index_add_(0, (y - top) * bw + x - left, light).view(bh, bw, 3)
    spread = scatter(box, kernel)
    y0, x0 = max(0, top - p), max(0, left - p)
    y1, x1 = min(h, top + bh + p), min(w, left + bw + p)
    out[y0:y1, x0:x1] += spread[y0 - top + p : y1 - top + p, x0 - left + p : x1 - left + p]


def scatter(light: Tensor, kernel: Tensor) -> Tensor:
    """[H, W, 3] light through a kernel [K, K] -> [H + K - 1, W + K - 1, 3]: the full convolution."""
    h, w, _ = light.shape
    h, w = h + kernel.shape[0] - 1, w + kernel.shape[1] - 1
    size = (fft_size(h), fft_size(w))
    spectrum = torch.fft.rfft2(light.permute(2, 0, 1), s=size) * torch.fft.rfft2(kernel, s=size)
    return torch.fft.irfft2(spectrum, s=size)[:, :h, :w].permute(1, 2, 0).clamp(min=0)
