"""Highlights: small things far brighter than their surroundings, and what becomes of them out of focus.

1. find_clipped_highlights: an 8-bit picture clips highlights to white. Which patches are highlights, what hue they had
   and how bright they may have been is told by the ring of unclipped pixels about them. A highlight far above white is
   clipped so far out on its edge that this ring is almost background; a patch that is just white fades over its edge.
   With a pixel as wide as the step between pixels, the ring of a highlight of L times white holds on average 1 / (2 L)
   of the way from background to white. So a ring at half or more tells of a plain white patch, and a ring that is
   nearly background of a highlight. The ring's colour is the highlight's own, unclipped.
2. split_highlights: a finite number of lens points turns one bright pixel into as many dots. So the light above a cap
   leaves the scene that the lens points see.
3. add_highlights: it is spread over the exact image of the aperture instead, less what nearer surfaces occlude of it.

Convention: light is linear, 1 = white. Radii are signed blur radii in pixels, negative in front of the focal plane.
"""

import math
from dataclasses import dataclass

import scipy.ndimage
import torch
from torch import Tensor

from ...image.filters import fft_size, window_max, window_mean
from ...image.light import WHITE, decode_srgb
from ...image.progress import bands, look
from ...optics.aperture import aperture_kernel
from .lens import Field, Lens

# A highlight's strongest channel is this many times white, where nothing tells by how much.
HIGHLIGHT_GAIN = 12.0
# A clipped patch wider than this share of the picture's diagonal is a wall or a sky, not a highlight.
HIGHLIGHT_SIZE = 0.025
_PATCH_RING, _HIGHLIGHT_RING = 0.5, 0.35  # a ring this far towards white: no highlight, and surely one
_IN_FOCUS, _BLURRED = 0.5, 2.0  # pixels of radius: up to which a highlight stays white, and from which it is recovered

_CONTRAST = 4.0  # times the mean of the neighbourhood: above it, light is a highlight
_NEIGHBOURHOOD = 25  # pixels
_MIN_RADIUS = 2.0  # pixels; below this the lens points leave no gaps

_STEP = 0.5  # pixels of radius by which discs are told apart ...
_EVEN_UP_TO = 20  # ... up to this radius, from there by the same ratio
_RATIO = 1 + _STEP / _EVEN_UP_TO
_FFT_COST = 40  # an FFT's work per pixel of its box, in multiply-adds of a direct sum
_FIELD_CELLS = 12  # parts of the picture's width within which one cat's eye serves
_BLOCK = 8  # highlights of one depth within radius / _BLOCK pixels are occluded alike
_GROUPS = 2048  # at most about so many groups of occluded highlights to a tile


@dataclass
class ClippedHighlights:
    """label [H, W] int32, 0 = no highlight; level [n + 1, 3]: linear light of each label, at most `gain`."""

    label: Tensor
    level: Tensor

    def recover(self, linear: Tensor, radius: Tensor, tile=None) -> Tensor:
        """linear [h, w, 3] and radius [h, w] -> linear with its highlights as bright as they were. tile.take(plane), if
        given, cuts what these show from a plane of the picture.

        Only what is out of focus changes (fully from 2 px on): in focus a highlight is to stay the white that it was.
        """
        label = self.label if tile is None else tile.take(self.label)
        out = torch.empty_like(linear)
        for _, rows in bands(linear[None]):
            level = self.level[label[rows].long()]
            blurred = ((radius[rows].abs() - _IN_FOCUS) / (_BLURRED - _IN_FOCUS)).clamp(0, 1)[..., None]
            out[rows] = linear[rows] + (level - linear[rows]).clamp(min=0) * blurred
        return out


def find_clipped_highlights(image: Tensor, gain: float = HIGHLIGHT_GAIN) -> ClippedHighlights | None:
    """image [H, W, 3] sRGB, gain >= 1 -> the highlights that it clips, None if there are none.

        excess = mean of max(ring - background, 0)            per channel; the ring is one pixel wide
        level = sure * gain * excess / max(excess)            sure falls from 1 to 0 as the ring nears white

    Clipped means a channel at white. What survives a morphological opening by a window of HIGHLIGHT_SIZE of the
    diagonal is large, hence no highlight.
    """
    clipped = image.amax(-1) >= WHITE
    if gain == 1 or not clipped.any():
        return None
    small = clipped & ~_large(clipped)
    look()
    label, count = scipy.ndimage.label(small.cpu().numpy(), [[1] * 3] * 3)
    if not count:
        return None
    look()
    label = torch.from_numpy(label).to(image.device)
    around, around_label = _outer_ring(label, clipped)
    look()
    background, _ = _means(decode_srgb(image[around]), around_label, count)
    look()
    ring, ring_label = _touching_ring(label, clipped)
    look()
    excess = (decode_srgb(image[ring]) - background[ring_label]).clamp(min=0)
    excess, has_ring = _means(excess, ring_label, count)
    look()
    towards_white = (excess / (1 - background).clamp(min=0.05)).amax(1)
    sure = ((_PATCH_RING - towards_white) / (_PATCH_RING - _HIGHLIGHT_RING)).clamp(0, 1) * has_ring
    own, _ = _means(decode_srgb(image[label > 0]), label[label > 0].long(), count)
    hue = torch.where(excess.amax(1, keepdim=True) > 1 / 255, excess, own)
    hue = hue / hue.amax(1, keepdim=True).clamp(min=1e-6)
    level = sure[:, None] * gain * hue  # [n + 1, 3]
    level[0] = 0
    return ClippedHighlights(label, level)


def lost_light(image: Tensor, gain: float = HIGHLIGHT_GAIN) -> Tensor | None:
    """image [H, W, 3] sRGB -> linear light [H, W, 3] that its highlights lost to clipping, None if none did: what
    ClippedHighlights.recover adds well out of focus."""
    found = find_clipped_highlights(image, gain)
    if found is None:
        return None
    at = found.label > 0
    lost = torch.zeros_like(image)
    lost[at] = (found.level[found.label[at].long()] - decode_srgb(image[at])).clamp(min=0)
    return lost if lost.any() else None


def _large(clipped: Tensor) -> Tensor:
    """bool [H, W] -> what survives an opening by a square window."""
    k = int(HIGHLIGHT_SIZE * math.hypot(*clipped.shape) / 2) * 2 + 1
    look()
    inner = scipy.ndimage.grey_erosion(clipped.to(torch.uint8).cpu().numpy(), size=(k, k), mode="nearest")
    look()
    opened = scipy.ndimage.grey_dilation(inner, size=(k, k), mode="nearest")
    return torch.from_numpy(opened).to(clipped.device).bool()


def _touching_ring(label: Tensor, clipped: Tensor) -> tuple[Tensor, Tensor]:
    """The unclipped pixels beside each label: (mask [H, W], their labels [n]). Those across its corners are left out:
    its edge does not cut them."""
    plane = label.float()[None, None]
    reached = torch.maximum(window_max(plane, (3, 1)), window_max(plane, (1, 3)))[0, 0]
    ring = (reached > 0) & ~clipped
    return ring, reached[ring].long()


def _outer_ring(label: Tensor, clipped: Tensor) -> tuple[Tensor, Tensor]:
    """The unclipped pixels three away from each label, which show its background: (mask [H, W], their labels [n])."""
    plane = label.float()[None, None]
    reached, closer = window_max(plane, 7)[0, 0], window_max(plane, 5)[0, 0]
    look()
    ring = (reached > 0) & (closer == 0) & ~clipped
    return ring, reached[ring].long()


def _means(value: Tensor, label: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """value [n, 3] averaged per label -> ([count + 1, 3], 1 where there was any, else 0 [count + 1])."""
    number = torch.bincount(label, minlength=count + 1)
    total = torch.zeros(count + 1, 3, device=value.device).index_add_(0, label, value)
    return total / number.clamp(min=1)[:, None], (number > 0).float()


def split_highlights(linear: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """linear [H, W, 3], radius [H, W] -> (scene, highlights), which add up to linear.

    A highlight is what exceeds white or, if darker, _CONTRAST times the mean around it, where it is out of focus.
    """
    level = linear.amax(-1)
    look()
    mean = window_mean(level[None, None], _NEIGHBOURHOOD)[0, 0]
    scene, highlights = torch.empty_like(linear), torch.empty_like(linear)
    for _, at in bands(linear[None]):
        cap = (_CONTRAST * mean[at]).clamp(max=1)
        share = ((level[at] - cap) / level[at].clamp(min=1e-9)).clamp(min=0) * (radius[at].abs() > _MIN_RADIUS)
        highlights[at] = linear[at] * share[..., None]
        scene[at] = linear[at] - highlights[at]
    return scene, highlights


@dataclass
class Highlights:
    """Pixels of a window that shine: x and y [L] int64, light [L, 3] linear, radius [L]."""

    x: Tensor
    y: Tensor
    light: Tensor
    radius: Tensor


def gather_highlights(light: Tensor, radius: Tensor) -> Highlights:
    """light [H, W, 3], radius [H, W] -> those pixels that shine."""
    y, x = (light.amax(-1) > 0).nonzero(as_tuple=True)
    return Highlights(x, y, light[y, x], radius[y, x])


def add_highlights(out: Tensor, highlights: Highlights, visible: Tensor, lens: Lens, field: Field) -> None:
    """Add highlights to out [H, W, 3], each spread over the image of the aperture at its radius.

    visible [L, N] uint8: which lens points see each highlight past nearer surfaces; around a lens point, its part of
    the aperture's image is as visible as from the point.
    """
    unoccluded = visible.all(1).bool()
    look()
    block = max(1.0, math.sqrt(int((~unoccluded).sum()) / _GROUPS))
    for step, (which, share) in sort_by_radius(highlights.radius).items():
        radius = radius_of_step(step)
        # From any place in the window to any other: no more of the aperture's image can show.
        reach = max(out.shape[:2])
        kernel = aperture_kernel(lens.mask(radius), abs(radius), reach) if radius else torch.ones_like(out[:1, :1, 0])
        lens_point = nearest_lens_point(lens, kernel.shape[0], abs(radius))
        x, y = highlights.x[which], highlights.y[which]
        for members in sort_by(_groups(x, y, unoccluded[which], abs(radius), block, lens, field)).values():
            look()
            i = which[members]
            light = highlights.light[i] * share[members][:, None]
            image = kernel
            if not unoccluded[i[0]]:
                weight = light.sum(1)
                seen = (visible[i].float() * weight[:, None]).sum(0) / weight.sum().clamp(min=1e-9)  # [N]
                image = image * seen[lens_point]
            if lens.cats_eye:
                centre = x[members].float().mean(), y[members].float().mean()
                pupil = exit_pupil(lens, kernel.shape[0], abs(radius), *field.pupil_shift(*centre, lens.cats_eye))
                # The picture is exposed alike everywhere, so what the exit pupil leaves is as bright as the whole.
                image = image * pupil / (kernel * pupil).sum().clamp(min=1e-9)
            # In front of the focal plane the aperture's image is turned by 180 degrees.
            _add_images(out, x[members], y[members], light, image.flip(0, 1) if radius < 0 else image)


def sort_by_radius(radius: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
    """radius [L] -> {signed step: (which highlights [l], their share [l])}; one between two steps is shared by both."""
    a = radius.abs().clamp(min=1e-6)
    even, geometric = a / _STEP, _EVEN_UP_TO / _STEP + torch.log(a / _EVEN_UP_TO) / math.log(_RATIO)
    at = torch.where(a < _EVEN_UP_TO, even, geometric)
    low, frac, sign = at.floor().long(), at - at.floor(), torch.where(radius < 0, -1, 1)
    which = torch.arange(len(radius), device=radius.device).repeat(2)
    share = torch.cat([1 - frac, frac])
    groups = sort_by(torch.cat([low * sign, (low + 1) * sign]))
    return {step: (which[i], share[i]) for step, i in groups.items()}


def radius_of_step(step: int) -> float:
    """The radius of a step counted from 0, negative in front of the focal plane."""
    even, a = _EVEN_UP_TO / _STEP, abs(step)
    return math.copysign(a * _STEP if a < even else _EVEN_UP_TO * _RATIO ** (a - even), step)


def sort_by(key: Tensor) -> dict[int, Tensor]:
    """key [n] int64 -> {key: its places [m]}."""
    order = key.argsort(stable=True)
    keys, counts = key[order].unique_consecutive(return_counts=True)
    return dict(zip(keys.tolist(), order.split(counts.tolist()), strict=True))


def _groups(x: Tensor, y: Tensor, unoccluded: Tensor, radius: float, block: float, lens: Lens, field: Field) -> Tensor:
    """Number [l] of the group in which one image serves: small blocks of the occluded highlights (above 0), and all the
    others (0), or with a cat's eye those in one part of the field (below 0)."""
    occluded = 1 + _cell_number(x + field.x, y + field.y, max(2.0, block, radius / _BLOCK))
    whole = torch.zeros_like(x)
    if lens.cats_eye:
        whole = -1 - _cell_number(x + field.x, y + field.y, math.ceil(field.width / _FIELD_CELLS))
    return torch.where(unoccluded, whole, occluded)


def _cell_number(x: Tensor, y: Tensor, side: float) -> Tensor:
    """Places in the picture [l] -> int64 number of the square of `side` pixels in which each lies."""
    past_frame = 4096  # more than a window reaches past the picture's top left: no place is negative
    return ((y + past_frame) // side).long() * 65536 + ((x + past_frame) // side).long()


def nearest_lens_point(lens: Lens, size: int, radius: float) -> Tensor:
    """[K, K]: which lens point is nearest to each pixel of the aperture's image at this radius (> 0)."""
    c = ((torch.arange(size, device=lens.points.device) - size // 2) / max(radius, 0.5)).clamp(-1, 1)
    cells = lens.nearest.shape[0]
    i = ((c + 1) * (cells / 2) - 0.5).clamp(0, cells - 1).round().long()
    return lens.nearest[i[:, None], i]


def exit_pupil(lens: Lens, size: int, radius: float, x: Tensor, y: Tensor) -> Tensor:
    """[K, K] of the aperture's image: where the rim of the exit pupil, shifted by (x, y) blur radii, lets light pass;
    its edge is one pixel wide."""
    c = (torch.arange(size, device=lens.points.device) - size // 2) / radius
    return ((lens.rim - torch.hypot(c[None] - x, c[:, None] - y)) * radius + 1).clamp(0, 1)


def _add_images(out: Tensor, x: Tensor, y: Tensor, light: Tensor, kernel: Tensor) -> None:
    """Add kernel [K, K] times light [l, 3], centred at the pixels (x, y) [l], to out [H, W, 3]: one by one, or by one
    FFT over the box that holds them, whichever is less work."""
    k = kernel.shape[0]
    top, left = int(y.min()), int(x.min())
    height, width = int(y.max()) - top + 1, int(x.max()) - left + 1
    if len(x) * k * k < _FFT_COST * (height + k) * (width + k):
        for row, column, colour in zip(y.tolist(), x.tolist(), light, strict=True):
            look()
            _add_at(out, kernel[..., None] * colour, row - k // 2, column - k // 2)
        return
    box = torch.zeros(height * width, 3, device=out.device).index_add_(0, (y - top) * width + x - left, light)
    _add_at(out, scatter(box.view(height, width, 3), kernel), top - k // 2, left - k // 2)


def _add_at(out: Tensor, patch: Tensor, top: int, left: int) -> None:
    """Add patch [h, w, 3], whose first pixel is (top, left) of out [H, W, 3], as far as it lies inside."""
    y0, x0 = max(0, top), max(0, left)
    y1, x1 = min(out.shape[0], top + patch.shape[0]), min(out.shape[1], left + patch.shape[1])
    out[y0:y1, x0:x1] += patch[y0 - top : y1 - top, x0 - left : x1 - left]


def scatter(light: Tensor, kernel: Tensor) -> Tensor:
    """[H, W, 3] light through a kernel [K, K] -> [H + K - 1, W + K - 1, 3]: the full convolution."""
    h, w = light.shape[0] + kernel.shape[0] - 1, light.shape[1] + kernel.shape[1] - 1
    size = (fft_size(h), fft_size(w))
    spread = torch.fft.rfft2(kernel, s=size)
    out = light.new_empty(h, w, light.shape[2])
    for c in range(light.shape[2]):
        look()
        out[..., c] = torch.fft.irfft2(torch.fft.rfft2(light[..., c], s=size) * spread, s=size)[:h, :w].clamp(min=0)
    return out
