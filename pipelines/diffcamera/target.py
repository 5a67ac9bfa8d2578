"""What a picture shall become: a plane in focus and a blur, made of what an artist chose or of a defocus map."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..optics.focus import focus_at_point, pixel_at
from ..optics.lens import DefocusMap, defocus_from_disparity, from_1000
from .camera import Aim
from .geometry import DEFOCUS, defocus_picture, depth_picture, quantiles, scaled

UNIT = 100.0  # RefocusLens's strength for a blur of 1
CELLS = 32  # along each side, in which a plane's place is looked for
FLAT = 1e-3  # pixels: a map whose radii differ by less is one plane


@dataclass(frozen=True)
class Target:
    """aim: what the camera is told; defocus: the target's map [B, H, W], disparity: [B, H, W] scaled to about 0..1,
    each None where it is not known."""

    aim: Aim
    defocus: DefocusMap | None = None
    disparity: Tensor | None = None

    def geometry(self, kind: str, side: int) -> Tensor | None:
        """The geometry picture [B, H, W, 3], None where it is not known and its tokens are left out."""
        if kind == DEFOCUS:
            return None if self.defocus is None else defocus_picture(self.defocus.radius, side)
        return None if self.disparity is None else depth_picture(self.disparity)

    def enlarged(self, times: float) -> "Target":
        """The same target for a part of the picture so many times narrower, in which the blur counts for more."""
        return replace(self, aim=replace(self.aim, blur=self.aim.blur * times))


def sharp(batch: int) -> Target:
    """Everything in focus: a blur of 0, for which no depth is needed."""
    return Target(Aim(torch.full((batch, 2), 0.5), torch.zeros(batch)))


def at_point(point: tuple[float, float], strength: float, batch: int, disparity: Tensor | None = None) -> Target:
    """In focus at a point (x, y) in 0..1, as blurred as RefocusLens's strength says.

    disparity [B, H, W] of the picture's size, or None: then the blur is what the strength would be if the scene's
    disparity went from 0 to 1. Raises RefocusError for a point outside the picture.
    """
    if disparity is None:
        pixel_at(*point, 1, 1)
        return Target(Aim(torch.tensor(point).expand(batch, 2), torch.full((batch,), strength / UNIT)))
    focus = focus_at_point(disparity, *point)
    return _at(torch.tensor(point).expand(batch, 2), focus, strength, disparity, point)


def at_plane(plane: float, strength: float, disparity: Tensor) -> Target:
    """In focus on a plane, given by its disparity; its place is where most of it is seen. disparity [1, H, W]."""
    point = place_of((disparity - plane).abs())
    return _at(point, disparity.new_tensor([plane]), strength, disparity, None)


def _at(point: Tensor, focus: Tensor, strength: float, disparity: Tensor, chosen: tuple[float, float] | None) -> Target:
    low, high = quantiles(disparity)
    defocus = defocus_from_disparity(disparity, focus, from_1000(strength, disparity.shape[-1]), focus_point=chosen)
    blur = torch.full((len(disparity),), strength * (high - low) / UNIT)
    at = scaled(focus.float().cpu(), low, high).expand(len(disparity))
    return Target(Aim(point.cpu(), blur, at), defocus, scaled(disparity, low, high))


def of_map(defocus: DefocusMap) -> Target:
    """The target that a defocus map shows, whatever made it: near and far factors and a range in focus included.

    Its disparity is f - r / s (strength s, focus f); where they are not known, that of each map by itself:
    with r's quantiles for the scene's ends, the blur is their distance and the focus where r is 0.
    """
    b, _, w = defocus.radius.shape
    radius, per_unit = defocus.radius.float().cpu(), 1000 / w / UNIT
    focus, strength = defocus.focus_disparity, defocus.strength
    point = place_of(radius.abs()) if defocus.focus_point is None else torch.tensor(defocus.focus_point).expand(b, 2)
    if focus is not None and strength is not None and bool((strength > 0).all()):
        focus, strength = focus.float().cpu(), strength.float().cpu()
        low, high = quantiles(focus[:, None, None] - radius / strength[:, None, None])
        if (high - low) * float(strength.max()) > FLAT:
            return Target(Aim(point, strength * (high - low) * per_unit, scaled(focus, low, high)), defocus)
    front, behind = (torch.tensor(ends) for ends in zip(*(quantiles(r) for r in radius), strict=True))
    flat = behind - front < FLAT
    span = torch.where(flat, torch.full_like(front, FLAT), behind - front)
    return Target(Aim(point, torch.where(flat, behind.abs(), span) * per_unit, behind / span), defocus)


def place_of(distance: Tensor) -> Tensor:
    """[B, H, W] distance from a plane -> [B, 2]: (x, y) in 0..1 of the cell with the least; of near equals, that in the
    middle."""
    h, w = distance.shape[-2:]
    cells = F.adaptive_avg_pool2d(distance[:, None].float().cpu(), (min(h, CELLS), min(w, CELLS)))[:, 0]
    rows, columns = cells.shape[-2:]
    y, x = ((torch.arange(n) + 0.5) / n for n in (rows, columns))
    middle = (y[:, None] - 0.5).square() + (x[None] - 0.5).square()
    best = (cells + (0.05 * cells.amax((1, 2), keepdim=True) + 1e-9) * middle).flatten(1).argmin(1)
    return torch.stack([x[best % columns], y[best // columns]], dim=-1)
