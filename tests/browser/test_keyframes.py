"""web/view/keyframes.js: it reads what Python reads, and changes of the text are as small as a person's."""

import json
import random
import re

import pytest

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optics import EASINGS, parse_keyframes
from rackfocus.pipelines.optics.rack import curve
from rackfocus.tests.fuzz import keyframes as drawn
from rackfocus.tests.fuzz.draw import Draw

TEXTS = [
    "0: 0.3, 0.6\n24: 0.8, 0.4",
    "0: 0.3, 0.6; 24: 0.8, 0.4 strength=60; 48: 12m",
    "# the pull\n\n48:12 M\n 0 :.3,0.6 ;; 24: 0.8 ,0.4  Strength = 60 # the face; 30: not a keyframe\n;",
    "0: 0. 3, 1.\r\n1 2: +.5, -0, STRENGTH=0\r\n007: 1e3m",
    *("", "  \n;", "# 0: 0.3, 0.6", "#", ";", "0", "0:", "0: 0.5", "x: 0.1, 0.2", "24 0.8, 0.4", "0: 1, 1, 1"),
    *("-4: 0.1, 0.2", "1.5: 0.1, 0.2", "24: 2.5 feet", "0: 0.1, 0.2 power=3", "0: 0.1, 0.2 strength=", "0: m"),
    *("0: 1.2, 0.2", "0: 0.1, -0.2", "0: 0m", "0: -3m", "0: 0.0000001m", "0: 1000000001m", "0: 1000000000m"),
    *("0: 0.1, 0.2 strength=-1", "0: 2m strength=1000000", "0: 2m strength=1000001", "0: 1,1\n0: 1,1", "0: 1,1;00: 2m"),
    *("999999999: 1,1", "1000000000: 1,1", "0000000000001: 1,1", "9" * 5000 + ": 1,1", "0: 0." + "3" * 400 + ", 1"),
    *("0: \u0661, 1", "\u0663: 1, 1", "0: 1, 1 \u017ftrength=3", "0:\u00a01,\u30001", "0: 1,\ufeff1", "0: 1,\u200b1"),
    *(f"0: 1, 1{end}4: 1, 1" for end in "\n\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029\x00\t"),
    *(f"0: 1, 1 # a{end}4: 1, 1" for end in "\n\r\v\f\x1c\x1d\x1e\x1f\x85\u2028\u2029\x00\t"),
    "0: 1, 1\n\r4: 1, 1",
    "0: 1, 1 strength=2m",
    "0: 1, 1m",
]


@pytest.fixture
def page(module_page):
    return module_page


@pytest.fixture
def js(page):
    """js("remove", text, 24) -> what that function of keyframes.js gives."""

    def call(name, *given):
        return page.evaluate(
            "async ([name, given]) => (await import('http://pack/keyframes.js'))[name](...JSON.parse(given))",
            [name, json.dumps(given)],
        )

    return call


def read(text):
    """[(frame, point, metres, strength)] as Python reads them; None for a text that it refuses."""
    try:
        return [(k.frame, k.point and list(k.point), k.metres, k.strength) for k in parse_keyframes(text)]
    except RefocusError:
        return None


def keys_of(parsed):
    if parsed["wrong"] or not parsed["keys"]:
        return None
    return [(k["frame"], k["point"], k["metres"], k["strength"]) for k in parsed["keys"]]


def test_it_reads_and_refuses_what_python_does(page):
    odd = [drawn.text(Draw(f"page {seed}")) for seed in range(800)]
    texts = TEXTS + [text for text in odd if isinstance(text, str) and len(text) < 5000]
    assert sum(read(text) is not None for text in texts) > 200 < sum(read(text) is None for text in texts)
    made = page.evaluate(
        "async (given) => JSON.parse(given).map((await import('http://pack/keyframes.js')).parse)", json.dumps(texts)
    )
    assert [text for text, parsed in zip(texts, made, strict=True) if keys_of(parsed) != read(text)] == []


@pytest.mark.parametrize(
    "line", ["24 0.8, 0.4", "24: 1.2, 0.2", "24: 0m", "24: 1m strength=-1", "0: 1, 1", "1" * 12 + ": 1m"]
)
def test_it_names_what_python_names(js, line):
    text = f"0: 0.3, 0.6 # a\n{line} # b\n48: 12m"
    with pytest.raises(RefocusError) as error:
        parse_keyframes(text)
    (wrong,) = js("parse", text)["wrong"]
    why = f" ({wrong['why']})" if wrong["why"] else ""
    assert f"line {wrong['line']} reads '{wrong['text']}'{why}, but" in str(error.value)


# (what, text before, text after)
EDITS = [
    (("setPoint", 12, 0.5, 0.25), "0: 0.3, 0.6\n24: 0.8, 0.4", "0: 0.3, 0.6\n12: 0.5, 0.25\n24: 0.8, 0.4"),
    (("setPoint", 30, 0.5, 0.25), "0: 0.3, 0.6\n24: 0.8, 0.4", "0: 0.3, 0.6\n24: 0.8, 0.4\n30: 0.5, 0.25"),
    (("setPoint", 30, 0.5, 0.25), "0: 0.3, 0.6 # a\r\n", "0: 0.3, 0.6 # a\r\n30: 0.5, 0.25\r\n"),
    (("setPoint", 3, 0.5, 0.25), "# pull\n  4: 0.3, 0.6", "# pull\n  3: 0.5, 0.25\n  4: 0.3, 0.6"),
    (("setPoint", 3, 0.5, 0.25), "", "3: 0.5, 0.25"),
    (("setPoint", 3, 0.5, 0.25), "# nothing yet", "# nothing yet\n3: 0.5, 0.25"),
    (("setPoint", 3, 0.5, 0.25), "0:.3,.6;24:.8,.4 # x; y", "0:.3,.6;3:0.5,0.25;24:.8,.4 # x; y"),
    (("setPoint", 3, 0.5, 0.25), "4: 1m; 6: 2m", "3: 0.5, 0.25; 4: 1m; 6: 2m"),
    (("setPoint", 9, 0.5, 0.25), "4: 1m; 6: 2m # x", "4: 1m; 6: 2m; 9: 0.5, 0.25 # x"),
    (("setPoint", 5, 0.5, 0.25), "24: 1m\n0: 2m\nwhat?\n", "24: 1m\n0: 2m\n5: 0.5, 0.25\nwhat?\n"),
    (("setPoint", 4, 0.5, 0.25), "4: .3,0.6 strength=7 # a", "4: 0.5,0.25 strength=7 # a"),
    (("setPoint", 4, 0.5, 0.25), "0: 1m;  4 : 2.5 m , strength=7 # a", "0: 1m;  4 : 0.5, 0.25 , strength=7 # a"),
    (("setPoint", 4, -0.1, 1.2), "4: 1m", "4: 0, 1"),
    (("setPoint", 4, 0.30000001, 2 / 3), "4: 1m", "4: 0.3, 0.667"),
    (("setPoint", 4, 0.7987, 0.2512, 0.0015), "4: 1m", "4: 0.8, 0.25"),
    (("setPoint", 4, 0.7987, 0.2512, 0.0005), "4: 1m", "4: 0.799, 0.251"),
    (("retime", 4, 9), "0: 1m; 4: 2.5m # four\nwhat?", "0: 1m; 9: 2.5m # four\nwhat?"),
    (("retime", 4, 12), "004: 2.5m", "012: 2.5m"),
    (("retime", 0, 12), "0: 2.5m", "12: 2.5m"),
    (("retime", 4, 0), "0: 1m; 4: 2.5m", "0: 1m; 4: 2.5m"),
    (("retime", 5, 9), "0: 1m", "0: 1m"),
    (("retime", 0, -1), "0: 1m", "0: 1m"),
    (("setStrength", 4, 40), "4: 1m # a", "4: 1m strength=40 # a"),
    (("setStrength", 4, 40.25), "4: 1, 1 , Strength = 6 # a", "4: 1, 1 , Strength = 40.25 # a"),
    (("setStrength", 4, None), "4: 1, 1, strength=6 # a", "4: 1, 1 # a"),
    (("setStrength", 4, None), "4: 1m strength=6; 5: 2m", "4: 1m; 5: 2m"),
    (("setStrength", 4, None), "4: 1m", "4: 1m"),
    (("setStrength", 4, -3), "4: 1m", "4: 1m strength=0"),
    (("setStrength", 5, 40), "4: 1m", "4: 1m"),
    (("remove", 4), "0: 1m\n4: 2m\n8: 3m\n", "0: 1m\n8: 3m\n"),
    (("remove", 8), "0: 1m\r\n8: 3m", "0: 1m"),
    (("remove", 0), "0: 1m\n8: 3m", "8: 3m"),
    (("remove", 4), "0: 1m\n  4: 2m # the face\n8: 3m", "0: 1m\n  # the face\n8: 3m"),
    (("remove", 0), "0: 1m; 4: 2m; 8: 3m # a", "4: 2m; 8: 3m # a"),
    (("remove", 4), "0: 1m; 4: 2m; 8: 3m # a", "0: 1m; 8: 3m # a"),
    (("remove", 8), "0: 1m; 4: 2m; 8: 3m # a", "0: 1m; 4: 2m # a"),
    (("remove", 0), "0: 1m", ""),
    (("remove", 1), "0: 1m", "0: 1m"),
]


@pytest.mark.parametrize("what, before, after", EDITS)
def test_a_change_is_what_a_person_would_make(js, what, before, after):
    name, *given = what
    assert js(name, before, *given) == after


def test_a_change_of_any_text_changes_one_keyframe_and_nothing_else(page):
    """Of odd texts: what the change means; comments, and what cannot be read, are as they were."""
    rand = random.Random(5)
    cases = []
    for text in [*TEXTS, *(drawn.text(Draw(f"edit {seed}")) for seed in range(300))]:
        if isinstance(text, str) and len(text) < 3000:
            frames = [int(frame) for frame in re.findall(r"\b\d{1,4}(?=:)", text, re.ASCII)]
            cases.append((text, rand.choice([*frames, 4]), rand.randint(0, 40)))
    made = page.evaluate(
        """async (given) => {
          const k = await import('http://pack/keyframes.js');
          return JSON.parse(given).map(([text, frame, to]) => [text, k.setPoint(text, frame, 0.5, 0.25),
            k.retime(text, frame, to), k.setStrength(text, frame, 40), k.remove(text, frame)]
            .map((text) => ({ text, ...k.parse(text) })));
        }""",
        json.dumps(cases),
    )
    touched = 0
    for (text, frame, to), (before, *changed) in zip(cases, made, strict=True):
        if any(w["why"].endswith("again") for w in before["wrong"]):
            continue  # the second of two at one frame is read once the first has gone
        for after in changed:
            assert [w["text"] for w in after["wrong"]] == [w["text"] for w in before["wrong"]], text
            assert comments(after["text"]) == comments(before["text"]), text
        point, retimed, strength, removed = map(facts, changed)
        keys = facts(before)
        old = keys.get(frame, (None, None, None))
        there = frame in keys
        touched += there
        assert point == {**keys, frame: ([0.5, 0.25], None, old[2])}, text
        assert retimed == ({to if k == frame else k: v for k, v in keys.items()} if there and to not in keys else keys)
        assert strength == ({**keys, frame: (*old[:2], 40)} if there else keys), text
        assert removed == {k: v for k, v in keys.items() if k != frame}, text
    assert touched > 100


def comments(text):
    return [line.partition("#")[2].strip() for line in text.splitlines() if "#" in line]


def facts(parsed):
    return {k["frame"]: (k["point"], k["metres"], k["strength"]) for k in parsed["keys"]}


@pytest.mark.parametrize("easing", EASINGS)
def test_the_way_between_keyframes_is_that_of_python(js, easing):
    keys = [(3, 0.2), (9, 0.9), (10, -1.0), (30, 0.4)]
    assert js("curve", keys, 34, easing) == pytest.approx(curve(keys, 34, easing), abs=1e-12)


def test_the_page_knows_every_easing(page):
    names = page.evaluate("import('http://pack/keyframes.js').then((k) => Object.keys(k.EASINGS))")
    assert names == list(EASINGS)


def test_strength_holds_from_the_first_keyframe_unless_it_names_one(js):
    def key(frame, strength=None):
        return {"frame": frame, "strength": strength}

    assert js("namedStrengths", [key(2), key(5), key(9, 7)], 30) == [[2, 30], [9, 7]]
    assert js("namedStrengths", [key(2, 8), key(5)], 30) == [[2, 8]]
