"""Values at the door: numbers, choices and texts of any kind, and tensors that hold no ordinary picture."""

import math

import pytest
import torch

from rackfocus.pipelines.image.checks import (
    BRIGHTEST,
    SHOWN,
    RefocusError,
    check_choice,
    check_flag,
    check_image,
    check_number,
    check_plane,
    check_text,
    check_whole,
    cut,
    shown,
    size_of,
)

NAN, INF = math.nan, math.inf


def sentence(error) -> str:
    text = str(error.value)
    assert len(text) <= 400 and "\n" not in text and text.endswith(".")
    return text


@pytest.mark.parametrize("value", [0, 1.5, 2, True])
def test_a_number_within_its_limits_is_itself(value):
    assert check_number("x", value, 0, 2) is value


@pytest.mark.parametrize(
    "wrong", [NAN, INF, -INF, -1e-9, 2.001, 10**400, -(10**400), "1", None, [1], torch.ones(1)], ids=repr
)
def test_no_other_number_passes(wrong):
    for check in (check_number, check_whole):
        with pytest.raises(RefocusError, match=r"^x is .*, but a (whole )?number from 0 to 2 is needed\.") as error:
            check("x", wrong, 0, 2)
        sentence(error)


def test_without_limits_a_number_must_be_finite():
    assert check_number("x", -1e300) == -1e300
    for wrong in (NAN, INF, -INF, 10**400):
        with pytest.raises(RefocusError, match="but a finite number is needed"):
            check_number("x", wrong)
    with pytest.raises(RefocusError, match=r"^x is -1, but 0 or more is needed: 0 is off\.$"):
        check_number("x", -1, 0, why="0 is off")


def test_a_whole_number_is_an_int():
    assert check_whole("n", 3.0, 1, 9) == 3 and type(check_whole("n", 3.0, 1, 9)) is int
    with pytest.raises(RefocusError, match=r"n is 2\.5, but a whole number from 1 to 9"):
        check_whole("n", 2.5, 1, 9)
    with pytest.raises(RefocusError, match="n is a number of more than 15 digits"):
        check_whole("n", 2**80, 0, 2**64 - 1)


@pytest.mark.parametrize(
    "wrong", ["c", "A", "", 0, None, ["a"], {"a": 1}, b"a", "x" * 10**7], ids=lambda v: type(v).__name__
)
def test_a_choice_is_one_of_the_list(wrong):
    assert check_choice("kind", "a", {"a": 1, "b": 2}) == "a"
    with pytest.raises(RefocusError, match=r"^kind is .*, but one of a, b is needed\.$") as error:
        check_choice("kind", wrong, ("a", "b"))
    assert len(sentence(error)) < 120


def test_a_flag_is_on_or_off():
    assert check_flag("blend", True) is check_flag("blend", 1) is True and check_flag("blend", 0.0) is False
    for wrong in (None, "no", 2, NAN, [], torch.ones(1)):
        with pytest.raises(RefocusError, match=r"^blend is .*, but on or off \(true or false\) is needed\.$"):
            check_flag("blend", wrong)


def test_a_text_is_a_text():
    assert check_text("prompt", "x" * 10**6) == "x" * 10**6
    with pytest.raises(RefocusError, match=r"^prompt is 3, but a text is needed\.$"):
        check_text("prompt", 3)


@pytest.mark.parametrize(
    "value, said",
    [
        ("a\n  b", "'a b'"),
        (None, "None"),
        (0.5, "0.5"),
        (-3, "-3"),
        (NAN, "nan"),
        ([1, 2], "a list"),
        (torch.ones(2, 3), "a tensor of 2 x 3"),
    ],
)
def test_what_is_shown_is_one_short_line(value, said):
    assert shown(value) == said


def test_long_texts_are_cut():
    assert cut("a" * SHOWN) == "a" * SHOWN and cut("a" * (SHOWN + 1)) == "a" * (SHOWN - 3) + "..."
    assert len(shown("word " * 10**6)) <= SHOWN + 2 and len(size_of(torch.ones((1,) * 60))) <= SHOWN


KINDS = {
    "sparse": lambda t: t.to_sparse(),
    "meta": lambda t: t.to("meta"),
    "complex": lambda t: t * 1j,
    "nested": lambda t: torch.nested.as_nested_tensor(list(t)),
}


@pytest.mark.filterwarnings("ignore:.*nested")
@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_without_a_number_for_each_place_is_told(kind):
    odd = KINDS[kind](torch.ones(2, 5, 7, 3))
    for check in (check_image, check_plane):
        with pytest.raises(RefocusError, match=f"^photo is a {kind} tensor, but an ordinary one") as error:
            check(odd, "photo")
        sentence(error)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float8_e4m3fn, torch.uint8, torch.bool])
def test_any_type_of_number_becomes_float32(dtype):
    given = torch.ones(1, 5, 7, 3).to(dtype)
    assert check_image(given).dtype == check_plane(given, "depth").dtype == torch.float32


def test_no_gradient_comes_in():
    given = torch.ones(1, 5, 7, 3, requires_grad=True)
    assert not check_image(given).requires_grad and not check_plane(given, "depth").requires_grad


def test_a_picture_too_bright_for_its_light_to_be_counted_is_told():
    ends = torch.ones(1, 5, 7, 3)
    ends[0, 1, 2] = BRIGHTEST
    assert torch.equal(check_image(ends), ends)
    for factor in (1.01, -1.01, 1e30):
        with pytest.raises(RefocusError, match=r"holds values up to .*, but at most 1e\+06 is possible"):
            check_image(ends * factor)
