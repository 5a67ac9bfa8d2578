"""Rack focus: focus and strength run from keyframe to keyframe, and every frame gets its defocus map.

    value(t) = a + (b - a) * easing((t - start) / (end - start))        between two keyframes (start, a) and (end, b)

Convention: frames count from 0. Focus runs in DISPARITY, as the ring of a lens runs in dioptres. Strength is in
pixels of a picture 1000 px wide, per unit of disparity. A point (x, y) is in 0..1, from the left and from the top.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..image.checks import (
    RefocusError,
    check_choice,
    check_number,
    check_plane,
    check_tensor,
    check_text,
    check_whole,
    cut,
    shown,
)
from ..image.progress import Counter, look
from .depth import (
    DEPTH_KINDS,
    FARTHEST,
    NEAREST,
    check_scene,
    metric_to_relative,
    resize_depth,
    resolve_kind,
    to_disparity,
)
from .focus import focus_at_point
from .lens import STRONGEST, DefocusMap, defocus_from_disparity, from_1000

MAX_FRAMES = 9999
# How the way between two keyframes is spread over time: 0..1 -> 0..1.
EASINGS: dict[str, Callable[[float], float]] = {
    "linear": lambda t: t,
    "ease_in": lambda t: t * t,
    "ease_out": lambda t: t * (2 - t),
    "ease_in_out": lambda t: t * t * (3 - 2 * t),
    "hold": lambda t: 0.0 if t < 1 else 1.0,
}

# A keyframe as text, without its spaces.
FORM = "'frame: x, y' with x and y in 0..1, or 'frame: 2.5m', and 'strength=40' behind it if wanted"
_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+))"
_LINE = re.compile(rf"(\d+):(?:{_NUMBER},{_NUMBER}|{_NUMBER}m)(?:,?strength={_NUMBER})?", re.ASCII)
# A message is one sentence, however long the text: enough of it to find the line by.
SHOWN_CHARACTERS, SHOWN_LINES = 30, 3
MOST_STRENGTH = 1e6  # of a keyframe; the widget goes to 2000


@dataclass(frozen=True)
class Keyframe:
    """Focus at one frame (from 0): a point (x, y) in 0..1 of the picture, or else a distance in metres.

    strength: None = the keyframe does not name one.
    """

    frame: int
    point: tuple[float, float] | None = None
    metres: float | None = None
    strength: float | None = None


def parse_keyframes(text: str) -> list[Keyframe]:
    """Text such as "0: 0.3, 0.6; 24: 0.8, 0.4 strength=60; 48: 12m" -> keyframes in order of their frames.

    One keyframe to a line, or several with ';' between them; spaces are free; '#' starts a comment, which ends with
    its line. Raises RefocusError that names every line which cannot be read (the first few of many), a frame that
    comes twice, or a text without any keyframe.
    """
    found: dict[int, Keyframe] = {}
    wrong = []
    for number, line in enumerate(check_text("keyframes", text).splitlines(), 1):
        for part in filter(None, map(str.strip, line.partition("#")[0].split(";"))):
            try:
                key = _read(part)
                if key.frame in found:
                    raise ValueError(f"frame {key.frame} again")
                found[key.frame] = key
            except ValueError as why:
                short = cut(part, SHOWN_CHARACTERS)
                wrong.append(f"line {number} reads '{short}'" + (f" ({why})" if str(why) else ""))
    if wrong:
        more = f" and {len(wrong) - SHOWN_LINES} more" if len(wrong) > SHOWN_LINES else ""
        raise RefocusError(f"keyframes {', '.join(wrong[:SHOWN_LINES])}{more}, but each must be {FORM}.")
    if not found:
        raise RefocusError(f"the text holds no keyframe, but at least one is needed: write {FORM}.")
    return [found[frame] for frame in sorted(found)]


def _read(part: str) -> Keyframe:
    """One keyframe. ValueError says why it cannot be one; nothing where its form is another."""
    match = _LINE.fullmatch(re.sub(r"\s", "", part).lower())
    if not match:
        raise ValueError
    frame, x, y, metres, strength = match.groups()
    if len(frame.lstrip("0")) > 9:  # rack_focus says how many there may be
        raise ValueError("too late a frame")
    number = int(frame.lstrip("0") or "0")
    if metres is None:
        key = Keyframe(number, point=(float(x), float(y)))
        if not all(0 <= v <= 1 for v in (float(x), float(y))):
            raise ValueError("outside the picture")
    else:
        key = Keyframe(number, metres=float(metres))
        if not float(metres) >= NEAREST:
            raise ValueError("a distance must be above 0")
        if float(metres) > FARTHEST:
            raise ValueError("too far")
    if strength is None:
        return key
    if not 0 <= float(strength) <= MOST_STRENGTH:
        raise ValueError(f"strength must be 0 or more, up to {MOST_STRENGTH:g}")
    return replace(key, strength=float(strength))


@dataclass(frozen=True)
class Rack:
    """A focus pull of N frames: defocus [N, H, W]; focus and strength, N numbers each, as the keyframes gave them.

    kind: of the depth they were read in, never "auto".
    """

    defocus: DefocusMap
    focus: list[float]
    strength: list[float]
    kind: str

    def describe(self) -> str:
        """A line for each frame: its focus disparity and its strength."""
        return "\n".join(
            f"frame {i}: focus disparity {focus:.4g}, strength {k:g}"
            for i, (focus, k) in enumerate(zip(self.focus, self.strength, strict=True))
        )


def curve(keys: Sequence[tuple[int, float]], frames: int, easing: str = "linear") -> list[float]:
    """Values at `frames` frames from [(frame, value)] in rising order; held before the first and after the last.

    At a keyframe's own frame the value is exactly the keyframe's. Raises RefocusError on an unknown easing.
    """
    check_choice("easing", easing, EASINGS)
    out, k = [], -1
    for frame in range(frames):
        while k + 1 < len(keys) and keys[k + 1][0] <= frame:
            k += 1
        (start, a), (end, b) = keys[max(k, 0)], keys[min(k + 1, len(keys) - 1)]
        inside = start <= frame < end
        out.append(a + (b - a) * EASINGS[easing]((frame - start) / (end - start)) if inside else a)
    return out


def rack_focus(
    depth: Tensor,
    kind: str,
    keyframes: Sequence[Keyframe],
    *,
    strength: float,
    frames: int = 0,
    easing: str = "linear",
    size: tuple[int, int] | None = None,
    clip: int = 1,
    near_m: float = 1.0,
    far_m: float = 10.0,
    near_factor: float = 1.0,
    far_factor: float = 1.0,
    in_focus_range: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> Rack:
    """Keyframes, and the depth of a still or a clip -> one defocus map for each frame.

    depth       1 map for all frames, or one for each frame of a clip; kind as in to_disparity, never normalised.
    keyframes   as from parse_keyframes: rising frames. A point is read in its own frame's map of a clip. Strength
                runs with the same easing between the keyframes that name it.
    strength    that of the first keyframe, unless it names one.
    frames      length of the result; 0 = that of the clip, else up to the last keyframe. A clip sets it alone.
    size        (height, width) of the maps; None = that of the depth.
    clip        frames of the picture they are for; above 1 it is a clip as well.
    near_m, far_m  metres at which the white and the black of a relative map stand: needed by distances, and the
                scale of kind "inverted".
    progress    progress(done, total) after every map; what it raises passes through.

    The other keywords are those of defocus_from_disparity. Each map is converted once, so that a keyframe costs no more
    than the window about its point. Holds N maps of float32 beside its input, and one more for a still. Raises
    RefocusError on wrong input.
    """
    check_number("strength", strength, 0, STRONGEST, why="0 means no blur")
    frames = check_whole("frames", frames, 0, MAX_FRAMES, why="0 goes to the last keyframe")
    _check_keyframes(keyframes)
    maps = _maps(depth)
    count = _count(maps.shape[0], clip, frames, keyframes)
    with Counter(progress, len(maps) + count) as counter:
        disparity, kind = _disparities(maps, kind, size, near_m, far_m, counter.tick)

        def read(key: Keyframe) -> float:
            look()
            if key.point is not None:
                frame = key.frame if len(disparity) > 1 else 0
                return float(focus_at_point(disparity[frame : frame + 1], *key.point))
            if key.metres is not None:
                return metric_to_relative(1 / key.metres, kind, near_m, far_m)
            raise RefocusError(f"the keyframe at frame {key.frame} names neither a point nor a distance: give one.")

        focus = curve([(key.frame, read(key)) for key in keyframes], count, easing)
        named = [(key.frame, key.strength) for key in keyframes if key.strength is not None]
        if keyframes[0].strength is None:
            named.insert(0, (keyframes[0].frame, strength))
        strengths = curve(named, count, easing)
        h, w = disparity.shape[1:]
        # A clip's disparity becomes its radius where it lies.
        radius = disparity if len(disparity) == count else torch.empty((count, h, w), device=maps.device)
        for i in range(count):
            radius[i] = defocus_from_disparity(
                disparity[i][None] if len(disparity) > 1 else disparity,
                focus[i],
                from_1000(strengths[i], w),
                near_factor=near_factor,
                far_factor=far_factor,
                in_focus_range=in_focus_range,
            ).radius[0]
            counter.tick()
        pulled = torch.tensor(focus), from_1000(torch.tensor(strengths), w)
        return Rack(DefocusMap(radius, focus_disparity=pulled[0], strength=pulled[1]), focus, strengths, kind)


def _disparities(
    maps: Tensor, kind: str, size: tuple[int, int] | None, near_m: float, far_m: float, tick: Callable[[], None]
) -> tuple[Tensor, str]:
    """(disparity [M, h, w] of the maps, in memory of its own; its kind, never "auto")."""
    kind = _kind(maps, kind)
    scale = {}
    if kind == "inverted":
        check_scene(near_m, far_m)
        scale["near_over_far"] = near_m / far_m
    h, w = size or maps.shape[1:3]
    out = torch.empty((len(maps), h, w), device=maps.device)
    for i in range(len(maps)):
        out[i] = resize_depth(to_disparity(maps[i : i + 1], kind, **scale), h, w)[0]
        tick()
    return out, kind


def _kind(maps: Tensor, kind: str) -> str:
    """ "auto" resolved once for the whole clip: what a map holds cannot change from frame to frame."""
    if check_choice("depth_kind", kind, DEPTH_KINDS) != "auto":
        return kind
    return "metres" if any(resolve_kind(one[None], kind) == "metres" for one in maps) else "disparity"


def _check_keyframes(keyframes: Sequence[Keyframe]) -> None:
    """RefocusError unless they are keyframes, at least one, of rising frames and finite numbers."""
    if not isinstance(keyframes, Sequence) or not keyframes or not all(isinstance(k, Keyframe) for k in keyframes):
        raise RefocusError(f"keyframes is {shown(keyframes)}, but a list of at least one Keyframe is needed.")
    last = -1
    for key in keyframes:
        last = check_whole("a keyframe's frame", key.frame, last + 1, 10**9, why="frames rise from one to the next")
        where = f"of the keyframe at frame {last}"
        if key.metres is not None:
            check_number(f"the distance {where}", key.metres, NEAREST, FARTHEST, why="in metres")
        if key.strength is not None:
            check_number(f"the strength {where}", key.strength, 0, STRONGEST)


def _maps(depth) -> Tensor:
    """The depth with a batch axis, its form checked."""
    if not isinstance(depth, Tensor) or depth.ndim not in (2, 3, 4):
        return check_plane(depth, "depth")  # which says what is wrong with it
    maps = check_tensor(depth[None] if depth.ndim == 2 else depth, "depth")
    check_plane(maps[:1], "depth")
    return maps


def _count(maps: int, clip: int, frames: int, keyframes: Sequence[Keyframe]) -> int:
    """The number of frames that depth maps, pictures, the widget and the keyframes agree on."""
    if min(maps, clip) > 1 and maps != clip:
        raise RefocusError(
            f"depth has {maps} frames and image has {clip}, but both must have one length: give one "
            "depth map for all or one for each."
        )
    length = max(maps, clip)
    if length > 1:
        if frames not in (0, length):
            raise RefocusError(
                f"frames is {frames} and the clip has {length}, but both must be one number: set frames "
                "to 0 to take the clip's."
            )
        late = [key.frame for key in keyframes if key.point is not None and key.frame >= maps > 1]
        if late:
            raise RefocusError(
                f"the keyframe at frame {late[0]} is a point, but the depth clip ends at frame "
                f"{maps - 1}: give a distance in metres or move the keyframe."
            )
        return length
    count = frames or keyframes[-1].frame + 1
    if not 0 < count <= MAX_FRAMES:
        raise RefocusError(
            f"{count} frames were asked for, but 1 to {MAX_FRAMES} are needed: the last keyframe is at "
            f"frame {keyframes[-1].frame}, frames is {frames}."
        )
    return count
