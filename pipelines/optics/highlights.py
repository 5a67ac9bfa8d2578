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

from .light import decode_srgb
from .window import window_max

# A light's strongest channel is this many times white, where nothing tells by how much.
HIGHLIGHT_GAIN = 12.0
# A clipped patch wider than this part of the picture's diagonal is a wall or a sky, not a light.
LIGHT_SIZE = 0.025
_WHITE = 254 / 255
_PATCH, _LIGHT = 0.5, 0.35   # how bright the ring is about a patch that is just white, and about a sure light


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
