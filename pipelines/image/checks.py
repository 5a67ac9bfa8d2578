"""RefocusError, and the checks that every public function makes of its tensors.

Each message is one sentence for the artist: what was given, what is needed, what to do.
"""

import math
from collections.abc import Iterable, Iterator
from numbers import Integral, Real

import torch
from torch import Tensor

from .progress import PIECE, bands, look

# A picture is display-referred, 0..1, and some carry brighter light; beyond this its light and their squares overflow.
BRIGHTEST = 1e6
SHOWN = 60  # characters of a user's value in a message


class RefocusError(ValueError):
    """Wrong input: the one error that an artist may see, shown without a traceback."""


RefocusError.__module__ = "rackfocus"  # the name that logs and the host show


def size_of(t: Tensor) -> str:
    """'3 x 480 x 640' for messages."""
    return cut(" x ".join(str(n) for n in t.shape))


def check_image(image, name: str = "image") -> Tensor:
    """float32 [B, H, W, 3], within BRIGHTEST, from a batch of 1, 3 or 4 channels: grey is repeated, alpha dropped."""
    if not isinstance(image, Tensor):
        raise RefocusError(
            f"{name} is a {type(image).__name__}, but an image batch [B, H, W, 3] is needed: "
            "connect the output of an image node (a latent must go through VAE Decode first)."
        )
    image = check_tensor(image, name)
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        raise RefocusError(
            f"{name} has the shape {size_of(image)}, but an image batch [B, H, W, 3] is needed: "
            "connect the output of an image node."
        )
    if 0 in image.shape:
        raise RefocusError(
            f"{name} is an empty batch ({size_of(image)}), but at least one picture is needed: "
            "check the node that makes it."
        )
    return check_finite(_float(image[..., :3], name), name, BRIGHTEST).expand(-1, -1, -1, 3)


def check_plane(plane, name: str) -> Tensor:
    """float32 [B, H, W] from [B, H, W], [H, W] or an image, whose colours are averaged and whose alpha is dropped."""
    if not isinstance(plane, Tensor):
        raise RefocusError(
            f"{name} is a {type(plane).__name__}, but a map [B, H, W] is needed: connect a depth map or a mask."
        )
    plane = check_tensor(plane, name)
    if plane.ndim == 2:
        plane = plane[None]
    if plane.ndim == 4 and plane.shape[-1] in (1, 3, 4):
        plane = _grey(_float(plane[..., :3], name))
    if plane.ndim != 3:
        raise RefocusError(
            f"{name} has the shape {size_of(plane)}, but a map [B, H, W] is needed: connect a depth map or a mask."
        )
    if 0 in plane.shape:
        raise RefocusError(
            f"{name} is empty ({size_of(plane)}), but at least one map is needed: check the node that makes it."
        )
    return _float(plane, name)


def check_tensor(t: Tensor, name: str) -> Tensor:
    """The tensor without its gradient; RefocusError where it does not hold one real number for each place, as sparse,
    meta or complex ones do not."""
    kinds = {
        "sparse": t.layout is not torch.strided and not t.is_nested,
        "nested": t.is_nested,
        "meta": t.is_meta,
        "complex": t.is_complex(),
        "quantized": t.is_quantized,
    }
    for kind, given in kinds.items():
        if given:
            raise RefocusError(
                f"{name} is a {kind} tensor, but an ordinary one, of real numbers, is needed: check the node that "
                "makes it."
            )
    return t.detach()


def _float(t: Tensor, name: str) -> Tensor:
    """float32; RefocusError for a type that holds no numbers."""
    try:
        return t.float()
    except (RuntimeError, TypeError) as error:
        raise RefocusError(
            f"{name} is a tensor of type {t.dtype}, but one of numbers is needed: check the node that makes it."
        ) from error


def check_finite(t: Tensor, name: str, largest: float = math.inf) -> Tensor:
    """The tensor itself; RefocusError if a value is NaN or infinite, or its size is above `largest`."""
    if not t.numel():
        return t
    # Smallest and largest carry every NaN and infinity, and need no second copy of a long clip.
    ends = torch.stack([torch.stack(piece.aminmax()) for piece in _in_pieces(t)])
    if not ends.isfinite().all():
        bad = sum(int((~torch.isfinite(piece)).sum()) for piece in _in_pieces(t))
        raise RefocusError(
            f"{name} holds {bad} values that are not numbers (NaN or infinite), but finite values are "
            "needed: check the node that makes it."
        )
    if largest < math.inf and float(ends.abs().max()) > largest:
        raise RefocusError(
            f"{name} holds values up to {float(ends.abs().max()):g}, but at most {largest:g} is possible: check "
            "the node that makes it."
        )
    return t


def _in_pieces(t: Tensor) -> Iterator[Tensor]:
    """The tensor in parts of its first axis, small enough to be quick and few for a GPU; looks before each."""
    for piece in t.split(max(1, 16 * PIECE * t.shape[0] // t.numel())) if t.ndim else (t,):
        look()
        yield piece


def _grey(image: Tensor) -> Tensor:
    """[B, H, W, C] -> [B, H, W]: the mean of its colours."""
    out = image.new_empty(image.shape[:3])
    for at in bands(image):
        out[at] = image[at].mean(-1)
    return out


def match_batch(t: Tensor, n: int, name: str, other: str = "image") -> Tensor:
    """[B, ...] -> [n, ...]: one serves all, n serve n, anything else is an error naming both sizes."""
    if t.shape[0] == n:
        return t
    if t.shape[0] == 1:
        return t.expand(n, *t.shape[1:])
    raise RefocusError(
        f"{name} has {t.shape[0]} frames and {other} has {n}, but either 1 or {n} are needed: "
        f"give one for all or one for each."
    )


def check_number(name: str, value, low: float = -math.inf, high: float = math.inf, *, why: str = ""):
    """The number itself, from low to high; RefocusError for anything else, NaN and infinity among it.

    An infinite limit is none, but the number must be finite all the same. why: what to do, or what a number means,
    behind the sentence's colon.
    """
    if _finite(value) and low <= value <= high:
        return value
    raise _no_number(name, value, low, high, "number", why)


def check_whole(name: str, value, low: float = -math.inf, high: float = math.inf, *, why: str = "") -> int:
    """The whole number as an int (3.0 counts as 3), from low to high; otherwise as check_number."""
    if _finite(value) and low <= value <= high and value == int(value):
        return int(value)
    raise _no_number(name, value, low, high, "whole number", why)


def _no_number(name: str, value, low: float, high: float, kind: str, why: str) -> RefocusError:
    if math.isfinite(low) and math.isfinite(high):
        wanted = f"a {kind} from {shown(low)} to {shown(high)} is"
    elif math.isfinite(low):
        wanted = f"{shown(low)} or more is" if kind == "number" else f"a {kind}, {shown(low)} or more, is"
    else:
        wanted = f"a finite {kind} is"
    return RefocusError(f"{name} is {shown(value)}, but {wanted} needed{why and f': {why}'}.")


def check_choice(name: str, value, choices: Iterable[str]) -> str:
    """The value, one of the choices; RefocusError that lists them for anything else."""
    choices = list(choices)
    if isinstance(value, str) and value in choices:
        return value
    raise RefocusError(f"{name} is {shown(value)}, but one of {cut(', '.join(choices), 200)} is needed.")


def check_text(name: str, value) -> str:
    """The text; RefocusError for anything else."""
    if isinstance(value, str):
        return value
    raise RefocusError(f"{name} is {shown(value)}, but a text is needed.")


def check_flag(name: str, value) -> bool:
    """True or False, also as 1 or 0; RefocusError for anything else."""
    if isinstance(value, Real) and value in (0, 1):
        return bool(value)
    raise RefocusError(f"{name} is {shown(value)}, but on or off (true or false) is needed.")


def shown(value, characters: int = SHOWN) -> str:
    """A user's value as a sentence may hold it: one line, cut where it is long."""
    if isinstance(value, str):
        return f"'{cut(value, characters)}'"
    if isinstance(value, Tensor):
        return f"a tensor of {size_of(value) or 'no axes'}"
    if isinstance(value, bool | None):
        return str(value)
    if isinstance(value, Integral):
        return str(int(value)) if abs(int(value)) < 10**15 else "a number of more than 15 digits"
    if isinstance(value, Real):
        return f"{float(value):g}"
    return f"a {cut(type(value).__name__, characters)}"


def cut(text: str, characters: int = SHOWN) -> str:
    """The text on one line, its end replaced by dots where it is longer than `characters`."""
    # Cut first: to split a text of megabytes takes its time.
    line = " ".join(text[: 2 * characters].split())
    return line if len(line) <= characters and len(text) <= 2 * characters else line[: characters - 3] + "..."


def _finite(value) -> bool:
    """Whether it is a number that a float holds."""
    try:
        return isinstance(value, Real) and math.isfinite(value)
    except OverflowError:  # a whole number beyond what a float holds
        return False
