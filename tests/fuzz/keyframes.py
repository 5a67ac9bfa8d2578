"""Texts of keyframes: well-formed ones, and what slips of the hand and of programs make of them."""

from functools import partial

from rackfocus.pipelines.optics import Rack, parse_keyframes, rack_focus

from . import outcome
from .draw import NUMBERS, Draw

FRAMES = (
    "0",
    "1",
    "7",
    "24",
    "100",
    "9998",
    "9999",
    "007",
    "10" * 20,
    "9" * 5000,
    "-1",
    "1.5",
    "",
    "x",
    "\u0663",
    "1e3",
)
NUMERALS = ("0", "1", "0.5", ".5", "1.", "+0.3", "-0.1", "1.01", "1e-3", "nan", "inf", "0" * 400, "0." + "3" * 400, "")
GLUE = ("", " ", "  ", "\t", "\n", ";", ",", ":", "#", "\u00a0", "\x00", "\r\n", "\ud800", "\u2028", "m", "strength=")


def keyframe(draw: Draw) -> str:
    """One keyframe, mostly as it should be."""
    frame = draw.pick(FRAMES) if draw.wild() else str(draw.random.randint(0, 30))

    def numeral():
        return draw.pick(NUMERALS) if draw.wild() else f"{draw.random.random():.3g}"

    kind = draw.random.random()
    metres = draw.pick((0, 1e-9, 1e30, *NUMBERS[:20])) if draw.wild() else 0.2 + 9 * draw.random.random()
    text = f"{frame}: {numeral()}, {numeral()}" if kind < 0.6 else f"{frame}: {metres}m"
    if draw.random.random() < 0.3:
        text += f" strength={draw.random.choice((0, 30, 2000.5, numeral(), '1' + '0' * 40))}"
    return text


def text(draw: Draw):
    """A text of keyframes; now and then none at all."""
    if draw.wild(0.3):
        return draw.text("")
    count = draw.pick((1, 1, 2, 3, 5, 12)) if not draw.wild() else draw.pick((0, 300, 3000))
    made = draw.pick(("\n", "; ", ";")).join(keyframe(draw) for _ in range(count))
    for _ in range(draw.random.randint(1, 6) if draw.wild() else 0):
        at = draw.random.randint(0, len(made))
        cut = made[at + draw.random.randint(0, 4) :]
        made = made[:at] + draw.pick((*GLUE, *NUMERALS, *FRAMES[:8])) + cut
    return made


def check(given):
    """A text -> keyframes in rising order."""
    keys = parse_keyframes(given)
    assert keys and [k.frame for k in keys] == sorted({k.frame for k in keys})
    return keys


def cases(count: int, seed: int):
    """(name, callable) of each case."""
    for k in range(count):
        yield f"keyframes {k}", partial(case, f"keyframes {seed} {k}")


def case(seed: str) -> None:
    """One text, parsed; and half of the time run through a small rack."""
    draw = Draw(seed)
    given = {"given": text(draw)}
    keys = outcome.run(check, given)
    if keys is None or draw.random.random() < 0.5:
        return
    rack = {
        "depth": draw.depth(),
        "kind": draw.choice(("auto", "disparity", "inverted", "metres", "inverse_metres")),
        "keyframes": keys[:20],
        "strength": draw.number(0, 2000, 30),
        "frames": draw.whole(0, 12, 0),
        "easing": draw.choice(("linear", "hold", "ease_in")),
        "near_m": draw.number(0.01, 10, 1.0),
        "far_m": draw.number(0.02, 100, 10.0),
        "near_factor": draw.number(0, 10, 1.0),
        "far_factor": draw.number(0, 10, 1.0),
        "in_focus_range": draw.number(0, 10, 0.0),
    }
    made = outcome.run(rack_focus, rack)
    assert made is None or (isinstance(made, Rack) and len(made.describe().splitlines()) == len(made.focus))
