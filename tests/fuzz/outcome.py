"""What a case may end in: a finite result, or one sentence of at most 400 characters; its inputs as they were."""

import dataclasses

import torch

from rackfocus.pipelines.image.checks import RefocusError

from .draw import told

LONGEST = 400  # characters of a sentence


def run(call, inputs: dict):
    """call(**inputs) -> what it returned, or None after a sentence. AssertionError for any other outcome."""
    before = {name: copied(value) for name, value in inputs.items()}
    try:
        try:
            made = call(**inputs)
        except RefocusError as error:
            check_sentence(str(error))
            made = None
        for name, value in inputs.items():
            assert same(before[name], value), f"{name} was written to"
        check_finite(made)
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {str(error)[:300]}\n  with {told(inputs)[:2000]}") from error
    return made


def check_sentence(text) -> None:
    """One sentence: short, on one line, with an end."""
    assert isinstance(text, str) and text.strip(), f"no sentence: {text!r}"
    assert len(text) <= LONGEST, f"{len(text)} characters: {text[:100]}..."
    assert "\n" not in text, f"more than one line: {text[:200]!r}"
    assert text.rstrip()[-1] in ".!", f"no whole sentence: {text[-100:]!r}"


def check_finite(made, where: str = "result") -> None:
    """No NaN or infinity in any tensor or number of a result."""
    if isinstance(made, torch.Tensor):
        assert not made.is_floating_point() or made.isfinite().all(), f"{where} is not finite"
    elif isinstance(made, float):
        assert made == made and abs(made) != float("inf"), f"{where} is {made}"
    elif isinstance(made, dict):
        for name, value in made.items():
            check_finite(value, f"{where}.{name}")
    elif isinstance(made, list | tuple):
        for i, value in enumerate(made):
            check_finite(value, f"{where}[{i}]")
    elif dataclasses.is_dataclass(made) and not isinstance(made, type):
        for field in dataclasses.fields(made):
            check_finite(getattr(made, field.name), f"{where}.{field.name}")


def copied(value):
    """What same() compares with later."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone() if plain(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [copied(getattr(value, f.name)) for f in dataclasses.fields(value)]
    if isinstance(value, dict):
        return {k: copied(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [copied(v) for v in value]
    return None


def same(before, value) -> bool:
    """Whether a value is bit for bit what it was when copied."""
    if isinstance(value, torch.Tensor):
        if not plain(value):
            return True
        return before.shape == value.shape and torch.equal(_bytes(before), _bytes(value.detach()))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return all(same(b, getattr(value, f.name)) for b, f in zip(before, dataclasses.fields(value), strict=True))
    if isinstance(value, dict):
        return before.keys() == value.keys() and all(same(before[k], v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return len(before) == len(value) and all(map(same, before, value))
    return True


def _bytes(t: torch.Tensor) -> torch.Tensor:
    return torch.empty(t.numel(), dtype=t.dtype).copy_(t.reshape(-1)).view(torch.uint8)


def plain(t: torch.Tensor) -> bool:
    return t.layout is torch.strided and not t.is_meta
