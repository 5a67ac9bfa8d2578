"""Where the lens is focused, and what it makes of the depth there.

Convention: a focus is the disparity of the focal plane, [B], one for each map. A point (x, y) is in 0..1 of the
picture, x from the left and y from the top; distances are in metres.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..image.checks import (
    RefocusError,
    check_choice,
    check_finite,
    check_image,
    check_number,
    check_plane,
    check_whole,
    match_batch,
    shown,
    size_of,
)
from ..image.progress import by_pieces, look
from .depth import (
    FARTHEST,
    METRIC_KINDS,
    NEAREST,
    check_scene,
    metric_to_relative,
    relative_to_metric,
    resize_depth,
    resolve_kind,
    to_disparity,
)
from .lens import STRONGEST, Camera, DefocusMap, defocus_from_disparity, from_1000

FOCUS_BY = ("point", "mask", "distance", "automatic")
# A single depth pixel is noise; a window of this part of the width is what a finger points at.
POINT_WINDOW = 0.01
MOST_FRAMES = 1000  # of a focal stack


def pixel_at(x: float, y: float, height: int, width: int) -> tuple[int, int]:
    """Point in 0..1 of the picture -> (column, row) of the pixel under it. RefocusError for a point outside."""
    for name, v in (("x", x), ("y", y)):
        where = "0 is left or top, 1 right or bottom; the point lies outside the picture"
        check_number(f"the focus point's {name}", v, 0, 1, why=where)
    return min(int(x * width), width - 1), min(int(y * height), height - 1)


def focus_at_point(disparity: Tensor, x: float, y: float) -> Tensor:
    """[B, H, W], x and y in 0..1 of the picture -> [B] disparity: median of a small window about the point."""
    disparity = check_plane(disparity, "disparity")
    b, h, w = disparity.shape
    cx, cy = pixel_at(x, y, h, w)
    r = int(POINT_WINDOW * w / 2)
    win = disparity[:, max(0, cy - r) : cy + r + 1, max(0, cx - r) : cx + r + 1]
    return check_finite(win.reshape(b, -1).median(dim=1).values, "disparity")


def focus_at_mask(disparity: Tensor, mask: Tensor) -> Tensor:
    """[B, H, W] and a mask of the same shape (white = the subject) -> [B] median disparity under the mask."""
    disparity, mask = check_plane(disparity, "disparity"), check_plane(mask, "the focus mask")
    if mask.shape != disparity.shape:
        raise RefocusError(
            f"the focus mask is {size_of(mask)} and the disparity {size_of(disparity)}, but both must have one size: "
            "scale one to the other."
        )
    out = []
    for d, m in zip(disparity, mask, strict=True):
        look()
        inside = d[m > 0.5]
        if not inside.numel():
            raise RefocusError(
                "the focus mask is empty (nothing above 0.5), but some white is needed: paint the "
                "subject white or disconnect the mask."
            )
        look()
        out.append(inside.median())
    return check_finite(torch.stack(out), "disparity")


def focus_at_distance(metres: float, batch: int) -> Tensor:
    """Distance in metres -> [batch] disparity in 1/m; infinity is 0."""
    if not (isinstance(metres, float) and metres == float("inf")):
        check_number("the focus distance", metres, NEAREST, FARTHEST, why="metres, more than 0")
    return torch.full((check_whole("the number of maps", batch, 1, 1 << 20),), 1 / metres)


def focus_automatic(disparity: Tensor) -> Tensor:
    """[B, H, W] -> [B]: the nearest sizeable thing near the middle, the guess of a camera's autofocus.

    80th percentile of disparity over the central third of the width and height.
    """
    disparity = check_plane(disparity, "disparity")
    h, w = disparity.shape[1:]
    out = []
    for d in disparity:
        look()
        middle = d[h // 3 : h - h // 3, w // 3 : w - w // 3].reshape(-1).cpu()  # not every device has kthvalue
        out.append(middle.kthvalue(max(1, round(0.8 * len(middle)))).values)
    return check_finite(torch.stack(out), "disparity").to(disparity.device)


def stack_disparities(disparity: Tensor, count: int, robust: float = 0.01) -> list[float]:
    """Focal planes from the nearest to the farthest surface: `count` disparities, falling in even steps (dioptres).

    disparity [1, H, W]; the `robust` share of pixels at either end is left out as depth noise. Raises RefocusError
    for fewer than 2 frames.
    """
    count = check_whole("the number of frames of a focal stack", count, 2, MOST_FRAMES)
    check_number("robust", robust, 0, 0.499)
    disparity = check_finite(check_plane(disparity, "disparity"), "disparity")
    v = disparity.reshape(-1).cpu()  # not every device has kthvalue
    k = int(robust * (len(v) - 1))
    look()
    far = float(v.kthvalue(k + 1).values)
    look()
    return torch.linspace(float(v.kthvalue(len(v) - k).values), far, count).tolist()


@dataclass(frozen=True)
class Focused:
    """A lens focused on a scene.

    defocus   DefocusMap [B, H, W], which carries focus, point and strength
    focus     B disparities of the focal plane
    picture   [B, H, W, 3]: the picture that was given, else the depth map as grey, nearest white
    kind      of the disparity that the focus is measured in, never "auto"
    camera    the physical lens, or None
    """

    defocus: DefocusMap
    focus: list[float]
    picture: Tensor
    kind: str
    camera: Camera | None

    def describe(self) -> str:
        """One line: blur range in pixels, focus disparities, and the limits of sharpness of a camera."""
        r, focus = self.defocus.radius, self.focus
        h, w = r.shape[1:]
        text = [
            f"blur radius {float(r.min()):.2f} (in front) to {float(r.max()):.2f} (behind) px at {w} x {h}",
            "focus disparity " + ", ".join(f"{f:.4g}" for f in focus[:4]) + (" ..." if len(focus) > 4 else ""),
        ]
        if self.camera and focus[0] > 0:
            focus_m = 1 / focus[0]
            near, far = self.camera.near_far_limits(focus_m)
            text.append(f"focused at {focus_m:.3g} m, sharp from {near:.3g} m to {far:.3g} m")
        elif self.kind not in METRIC_KINDS:
            text.append("relative depth: strength is not in metres")
        return "; ".join(text)


def focus_lens(
    depth: Tensor,
    kind: str = "auto",
    *,
    by: str = "point",
    point: tuple[float, float] = (0.5, 0.5),
    mask: Tensor | None = None,
    metres: float = 2.0,
    strength: float = 60.0,
    camera: Camera | None = None,
    near_m: float = 1.0,
    far_m: float = 10.0,
    near_factor: float = 1.0,
    far_factor: float = 1.0,
    in_focus_range: float = 0.0,
    image: Tensor | None = None,
) -> Focused:
    """Depth of any kind and size -> the defocus map of a lens that is focused by a point, mask, distance or by itself.

    depth         one map for all frames or one each; kind as in to_disparity
    by            one of FOCUS_BY: "point" reads `point`, "mask" `mask`, "distance" `metres`
    strength      without a camera: pixels of a picture 1000 px wide, per unit of disparity
    camera        a physical lens; its strength is that of the first frame's focus, for the whole clip
    near_m, far_m where the white and the black of a relative map stand: for a camera and for a distance
    image         [B, H, W, 3]: sets the size of the maps, and their number if the depth is one map

    The other keywords are those of defocus_from_disparity. Raises RefocusError on wrong input.
    """
    check_choice("focus_by", by, FOCUS_BY)
    check_number("strength", strength, 0, STRONGEST, why="0 means no blur")
    if not isinstance(camera, Camera | None):
        raise RefocusError(f"camera is {shown(camera)}, but a Camera is needed, or None for a strength.")
    kind = resolve_kind(depth, kind)
    if camera and kind not in METRIC_KINDS:
        disparity, kind = relative_to_metric(depth, kind, near_m, far_m), "inverse_metres"
    else:
        scale = {}
        if by == "distance" and kind == "inverted":  # what stands at that distance, stands there in the map
            check_scene(near_m, far_m)
            scale["near_over_far"] = near_m / far_m
        disparity = to_disparity(depth, kind, **scale)
    if image is None:
        largest = disparity.amax().clamp(min=1e-6)
        grey = by_pieces(lambda d: d / largest, disparity)
        picture = grey[..., None].expand(-1, -1, -1, 3)
    else:
        picture = check_image(image).to(disparity.device)
        count = max(disparity.shape[0], picture.shape[0])
        disparity = match_batch(resize_depth(disparity, *picture.shape[1:3]), count, "depth")
        picture = match_batch(picture, count, "image", "depth")
    focus = _focus(disparity, kind, by, point, mask, metres, near_m, far_m)
    width = disparity.shape[-1]
    if camera:
        strength = camera.strength(1 / float(focus[0]) if focus[0] > 0 else float("inf"), width)
    else:
        strength = from_1000(strength, width)
    defocus = defocus_from_disparity(
        disparity,
        focus,
        strength,
        near_factor=near_factor,
        far_factor=far_factor,
        in_focus_range=in_focus_range,
        focus_point=point if by == "point" else None,
    )
    return Focused(defocus, focus.tolist(), picture, kind, camera)


def _focus(disparity, kind, by, point, mask, metres, near_m, far_m) -> Tensor:
    """[B, H, W] -> [B]: the focus that focus_lens's keywords choose."""
    if by == "point":
        if not isinstance(point, tuple | list) or len(point) != 2:
            raise RefocusError(f"the focus point is {shown(point)}, but two numbers from 0 to 1 are needed: x and y.")
        return focus_at_point(disparity, *point)
    if by == "automatic":
        return focus_automatic(disparity)
    if by == "distance":
        return metric_to_relative(focus_at_distance(metres, disparity.shape[0]), kind, near_m, far_m)
    if mask is None:
        raise RefocusError(
            "focus_by is mask, but no focus_mask is connected: connect a mask that is white on the "
            "subject, or focus by point."
        )
    mask = resize_depth(check_plane(mask, "focus_mask").to(disparity.device), *disparity.shape[1:])
    return focus_at_mask(disparity, match_batch(mask, disparity.shape[0], "focus_mask", "depth"))
