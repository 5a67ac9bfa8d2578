"""Depth conventions: everything inside works on disparity, converted once, at the door.

Convention: disparity [B, H, W] is larger where things are nearer; 1/m for the metric kinds, else relative with 1 at
white. Distances are in metres along the optical axis.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..image.checks import RefocusError, check_choice, check_number, check_plane
from ..image.progress import bands, by_pieces, look

DEPTH_KINDS = ("auto", "disparity", "inverted", "metres", "inverse_metres")
# The kinds whose disparity is in 1/m; the others know no scale until someone names the scene's limits.
METRIC_KINDS = ("metres", "inverse_metres")

# An inverted map does not say how far its black is. One to ten is the span of a room seen from its door.
INVERTED_NEAR_OVER_FAR = 0.1
# Disparities beyond this are no scene's (a nanometre from the lens), and their squares would overflow.
LARGEST_DISPARITY = 1e9
# Metres between which a scene may run, and by how much its far end must exceed its near one.
NEAREST, FARTHEST, LEAST_RATIO = 1e-6, 1e9, 1 + 1e-6

# A picture with colours is no depth map: this share of its pixels, this part of its range between two of its channels.
COLOURED, APART = 0.25, 1 / 16


def to_disparity(depth: Tensor, kind: str = "auto", *, near_over_far: float = INVERTED_NEAR_OVER_FAR) -> Tensor:
    """Depth map of any kind -> disparity [B, H, W] float32, larger = nearer.

    depth: [B, H, W], [H, W] or an image [B, H, W, C] (channels averaged).
    kind:
      "disparity"       relative, near is large (Depth Anything, MiDaS): taken as it is
      "inverse_metres"  1/m: taken as it is
      "metres"          distance along the optical axis; 0, negative and infinite mean "no surface" -> disparity 0
      "inverted"        near is white but LINEAR in depth: z runs from near_over_far (white, 1) to 1 (black, 0),
                        result near_over_far / z, so 1 at white
      "auto"            metres if anything exceeds 1, else disparity
    No frame is normalised by its own minimum or maximum: one outlier would change the blur everywhere and a clip
    would pump. Raises RefocusError on NaN, an unknown kind, a picture in colour, or values that no disparity has.
    """
    check_choice("depth_kind", kind, DEPTH_KINDS)
    check_number("near_over_far", near_over_far, NEAREST / FARTHEST, 1)
    d = _plane(depth)
    holes = sum(int(d[at].isnan().sum()) for at in bands(d))
    if holes:
        raise RefocusError(
            f"depth holds {holes} values that are NaN, but numbers are needed: fill the holes of the depth map first."
        )
    kind = resolve_kind(d, kind)
    largest = 0.0 if kind == "metres" else max(float(d[at].abs().max()) for at in bands(d))
    if largest > LARGEST_DISPARITY:
        raise RefocusError(
            f"depth holds {'infinite values' if largest == math.inf else f'values up to {largest:g}'}, which only "
            "metres can mean: choose depth_kind metres or fill the holes of the depth map."
        )
    if kind not in ("metres", "inverted"):
        return d
    out = torch.empty_like(d)
    for at in bands(d):
        out[at] = _inverse(d[at]) if kind == "metres" else _linear_in_depth(d[at], near_over_far)
    return out


def _plane(depth) -> Tensor:
    """The map [B, H, W]; RefocusError for a photo, or a map in false colours, in its place.

    Told by its colours alone: in COLOURED of its pixels two channels differ by more than APART of the range. A grey one
    that went through JPEG stays far below, and so does a photo without colours, which cannot be told from a map.
    """
    d = check_plane(depth, "depth")
    if depth.ndim == 4 and depth.shape[-1] >= 3:
        step = max(1, max(d.shape[1:]) // 256)
        for one in depth[:, step // 2 :: step, step // 2 :: step, :3]:
            spread = one.float().amax(-1) - one.float().amin(-1)
            if (spread > APART * one.abs().max().clamp(min=1)).float().mean() > COLOURED:
                raise RefocusError(
                    "depth is a picture in colour, but a depth map is grey: connect the depth map of the photo "
                    "(RefocusDepth makes one); one in false colours must be saved in grey."
                )
    return d


def _inverse(d: Tensor) -> Tensor:
    """Metres -> 1/metres, 0 where there is no surface."""
    solid = (d > 0) & d.isfinite()
    near = torch.where(solid, d, torch.ones_like(d)).clamp(min=1 / LARGEST_DISPARITY)
    return torch.where(solid, 1 / near, torch.zeros_like(d))


def _linear_in_depth(d: Tensor, near_over_far: float) -> Tensor:
    """Inverted, white 1 -> disparity, 1 at white."""
    return near_over_far / (near_over_far + (1 - d.clamp(0, 1)) * (1 - near_over_far))


def resize_depth(depth: Tensor, height: int, width: int) -> Tensor:
    """[B, h, w] -> [B, height, width] without averaging across edges.

    Bilinear where the four neighbours belong to one surface, nearest where they differ by more than a smooth slope
    would: a mean of two surfaces is a depth at which nothing stands.
    """
    if depth.shape[-2:] == (height, width):
        return depth
    out = depth.new_empty(len(depth), height, width)
    for i in range(len(depth)):
        out[i] = _resized(depth[i : i + 1], height, width)[0]
        look()
    return out


def _resized(depth: Tensor, height: int, width: int) -> Tensor:
    """resize_depth of one map [1, h, w]."""
    d = depth[:, None]
    if depth.shape[-2] > height or depth.shape[-1] > width:  # downsizing only selects, never averages
        return F.interpolate(d, (height, width), mode="nearest-exact")[:, 0]
    smooth = F.interpolate(d, (height, width), mode="bilinear", align_corners=False)
    look()
    nearest = F.interpolate(d, (height, width), mode="nearest-exact")
    look()
    p = F.pad(d, (1, 1, 1, 1), mode="replicate")
    span = F.max_pool2d(p, 3, 1) + F.max_pool2d(-p, 3, 1)  # local max - min
    look()
    edge = (span > 0.1 * d.abs().clamp(min=1e-6)).float()
    edge = F.interpolate(edge, (height, width), mode="nearest-exact") > 0
    look()
    return torch.where(edge, nearest, smooth)[:, 0]


def relative_to_metric(depth: Tensor, kind: str, near_m: float, far_m: float) -> Tensor:
    """A relative map whose white stands at near_m and whose black at far_m -> disparity [B, H, W] in 1/m.

    kind "disparity": 1/far_m + d (1/near_m - 1/far_m), linear in disparity d; "inverted": linear in depth.
    Raises RefocusError unless 0 < near_m < far_m.
    """
    check_scene(near_m, far_m)
    d = to_disparity(depth, kind, near_over_far=near_m / far_m)
    if kind == "inverted":
        return by_pieces(lambda d: d / near_m, d)
    return by_pieces(lambda d: 1 / far_m + d * (1 / near_m - 1 / far_m), d)


def metric_to_relative(disparity, kind: str, near_m: float, far_m: float):
    """The way back: disparity in 1/m (a number or a tensor) -> that of a relative map; of a metric kind as it is.

    "inverted" is as to_disparity gives it with near_over_far = near_m / far_m. Raises RefocusError unless
    0 < near_m < far_m.
    """
    if not isinstance(disparity, Tensor):
        check_number("the disparity", disparity)
    if check_choice("depth_kind", kind, DEPTH_KINDS) in METRIC_KINDS:
        return disparity
    check_scene(near_m, far_m)
    return disparity * near_m if kind == "inverted" else (disparity - 1 / far_m) / (1 / near_m - 1 / far_m)


def check_scene(near_m: float, far_m: float):
    """RefocusError unless 0 < near_m < far_m, in numbers that a scene may have."""
    check_number("the near distance", near_m, why="in metres")
    check_number("the far distance", far_m, why="in metres")
    if not NEAREST <= near_m * LEAST_RATIO <= far_m <= FARTHEST:
        raise RefocusError(
            f"the scene runs from {near_m:g} m to {far_m:g} m, but the near distance must be above 0 "
            f"and under the far one, and that {FARTHEST:g} m at most."
        )


def resolve_kind(depth: Tensor, kind: str) -> str:
    """ "auto" -> "metres" or "disparity" by the rule of to_disparity; any other kind as it is."""
    if check_choice("depth_kind", kind, DEPTH_KINDS) != "auto":
        return kind
    d = _plane(depth)
    return "metres" if any((d[at].isinf() | (d[at] > 1 + 1e-4)).any() for at in bands(d)) else "disparity"
