"""Keyframes of a focus pull, read from text."""
import re
from dataclasses import dataclass

from .errors import RefocusError

FORM = "'frame: x, y' with x and y in 0..1, or 'frame: 2.5m', and 'strength=40' behind it if wanted"
_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+))"
_LINE = re.compile(rf"(\d+):(?:{_NUMBER},{_NUMBER}|{_NUMBER}m)(?:,?strength={_NUMBER})?", re.ASCII)
# Enough to find the line by; a message is one sentence, however long the text.
SHOWN_CHARACTERS, SHOWN_LINES = 30, 3


@dataclass(frozen=True)
class Keyframe:
    """Focus at one frame (from 0): a point (x, y) in 0..1 of the picture, or else a distance in metres.

    strength: as in RefocusLens, pixels of a picture 1000 px wide; None = not named here.
    """
    frame: int
    point: tuple[float, float] | None = None
    metres: float | None = None
    strength: float | None = None


def parse_keyframes(text: str) -> list[Keyframe]:
    """"0: 0.3, 0.6; 24: 0.8, 0.4 strength=60; 48: 12m" -> keyframes in order of their frames.

    One keyframe to a line, or several with ';' between them; spaces are free; '#' starts a comment, which ends with
    its line. Raises RefocusError that names every line which cannot be read (the first few of many), a frame that
    comes twice, or a text without any keyframe.
    """
    found, wrong = {}, []
    for number, line in enumerate(text.splitlines(), 1):
        for part in filter(None, map(str.strip, line.partition("#")[0].split(";"))):
            key, why = _read(part)
            if why is None and key.frame in found:
                why = f"frame {key.frame} again"
            if why is None:
                found[key.frame] = key
            else:
                short = part if len(part) <= SHOWN_CHARACTERS else part[:SHOWN_CHARACTERS - 3] + "..."
                wrong.append(f"line {number} reads '{short}'{why and f' ({why})'}")
    if wrong:
        more = f" and {len(wrong) - SHOWN_LINES} more" if len(wrong) > SHOWN_LINES else ""
        raise RefocusError(f"keyframes {', '.join(wrong[:SHOWN_LINES])}{more}, but each must be {FORM}.")
    if not found:
        raise RefocusError(f"the text holds no keyframe, but at least one is needed: write {FORM}.")
    return [found[frame] for frame in sorted(found)]


def _read(part: str) -> tuple[Keyframe | None, str | None]:
    """(keyframe, None), or (None, why not); "" where the form itself is wrong."""
    match = _LINE.fullmatch(re.sub(r"\s", "", part).lower())
    if not match:
        return None, ""
    frame, *numbers = match.groups()
    x, y, metres, strength = (None if n is None else float(n) for n in numbers)
    if metres is None and not (0 <= x <= 1 and 0 <= y <= 1):
        return None, "outside the picture"
    if metres is not None and not metres > 0:
        return None, "a distance must be above 0"
    if strength is not None and not strength >= 0:
        return None, "strength must be 0 or more"
    return Keyframe(int(frame), None if metres is not None else (x, y), metres, strength), None
