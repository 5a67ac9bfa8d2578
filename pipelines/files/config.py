"""config.json and its like: JSON objects of a bounded size and depth, and numbers in a range."""

import json
import math
import os

from ..image.checks import RefocusError, check_number, check_whole, cut
from .regular import file_name, read_bytes, short

MOST_BYTES = 1 << 22  # a config.json has some kB, with the names of 21,000 classes 1 MB
DEEPEST = 16  # objects in one another; those of depth models have 3
MOST_DIGITS = 20


def read_config(folder: str | os.PathLike, name: str = "config.json") -> dict:
    """The JSON object in a file of a folder; empty where there is no such file.

    Raises RefocusError where there is something else: no ordinary file, too large, no JSON, no object, too deep,
    numbers that are not finite.
    """
    path = os.path.join(folder, name)
    if not os.path.lexists(path):
        return {}
    data = read_bytes(path, MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise RefocusError(
            f"{name} of {file_name(folder)} has more than {MOST_BYTES:,} bytes, but a configuration is small: fetch it "
            "again from its source."
        )
    try:
        found = json.loads(
            data.decode("utf-8"), parse_constant=_not_finite, parse_float=_finite, parse_int=_of_few_digits
        )
        if not isinstance(found, dict):
            raise ValueError("it holds no object")
        _check_depth(found)
    except (ValueError, RecursionError) as error:
        raise RefocusError(
            f"{name} of {file_name(folder)} cannot be read ({short(error)}), but a JSON object is needed: fetch it "
            "again from its source."
        ) from error
    return found


def config_number(config: dict, key: str, default, low: float, high: float, *, of: str, whole: bool = False):
    """A number of a configuration, `default` where it is missing or null; RefocusError that names file and key.

    of: what the configuration is, for the sentence.
    """
    value = config.get(key)
    if value is None:
        return default
    if whole:
        return check_whole(f"{key} in {of}", _no_truth(value), int(low), int(high))
    return check_number(f"{key} in {of}", _no_truth(value), low, high)


def config_numbers(config: dict, key: str, default, count: int, low: float, high: float, *, of: str) -> tuple:
    """As many numbers of a configuration as `count` says, as config_number."""
    value = config.get(key)
    if value is None:
        return tuple(default)
    if not isinstance(value, list | tuple) or len(value) != count:
        raise RefocusError(
            f"{key} in {of} is {cut(json.dumps(value, default=str))}, but {count} numbers are needed: fetch it again."
        )
    return tuple(check_number(f"{key} in {of}", _no_truth(v), low, high) for v in value)


def _no_truth(value):
    """true and false count as numbers in Python, but not here."""
    return str(value) if isinstance(value, bool) else value


def _check_depth(found: dict):
    level: list = [found]
    for _ in range(DEEPEST):
        level = [
            v
            for holder in level
            for v in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(v, dict | list)
        ]
    if level:
        raise ValueError(f"more than {DEEPEST} objects in one another")


def _not_finite(text: str):
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _not_finite(cut(text))


def _of_few_digits(text: str) -> int:
    return int(text) if len(text) <= MOST_DIGITS else _not_finite(cut(text))
