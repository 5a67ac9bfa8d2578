"""RefocusError, and the checks that every public function makes of its tensors.

Each message is one sentence for the artist: what was given, what is needed, what to do.
"""

import torch
from torch import Tensor


class RefocusError(ValueError):
    """Wrong input: the one error that an artist may see, shown without a traceback."""


RefocusError.__module__ = "rackfocus"  # the name that logs and the host show


def size_of(t: Tensor) -> str:
    """'3 x 480 x 640' for messages."""
    return " x ".join(str(n) for n in t.shape)


def check_image(image, name: str = "image") -> Tensor:
    """float32 [B, H, W, 3], finite, from a batch of 1, 3 or 4 channels: grey is repeated, alpha dropped."""
    if not isinstance(image, Tensor):
        raise RefocusError(
            f"{name} is a {type(image).__name__}, but an image batch [B, H, W, 3] is needed: "
            "connect the output of an image node (a latent must go through VAE Decode first)."
        )
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
    return check_finite(image[..., :3].float(), name).expand(-1, -1, -1, 3)


def check_plane(plane, name: str) -> Tensor:
    """float32 [B, H, W] from [B, H, W], [H, W] or an image, whose colours are averaged and whose alpha is dropped."""
    if not isinstance(plane, Tensor):
        raise RefocusError(
            f"{name} is a {type(plane).__name__}, but a map [B, H, W] is needed: connect a depth map or a mask."
        )
    if plane.ndim == 2:
        plane = plane[None]
    if plane.ndim == 4 and plane.shape[-1] in (1, 3, 4):
        plane = plane[..., :3].float().mean(-1)
    if plane.ndim != 3:
        raise RefocusError(
            f"{name} has the shape {size_of(plane)}, but a map [B, H, W] is needed: connect a depth map or a mask."
        )
    if 0 in plane.shape:
        raise RefocusError(
            f"{name} is empty ({size_of(plane)}), but at least one map is needed: check the node that makes it."
        )
    return plane.float()


def check_finite(t: Tensor, name: str) -> Tensor:
    """The tensor itself; RefocusError if a value is NaN or infinite."""
    # Smallest and largest carry every NaN and infinity, and need no second copy of a long clip.
    if t.numel() and not torch.stack(t.aminmax()).isfinite().all():
        bad = int((~torch.isfinite(t)).sum())
        raise RefocusError(
            f"{name} holds {bad} values that are not numbers (NaN or infinite), but finite values are "
            "needed: check the node that makes it."
        )
    return t


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
