"""What a device can do: tried on it, once for each device, never read off its name.

A trial computes something small on a device; the device is able if that works and gives what the CPU gives. The CPU and
CUDA pass all trials below. Apple's GPUs (mps) have no float64 and no complex128, no maxima of 64-bit integers by cell
up to torch 2.12, no grid_sample that is bicubic or goes on outside up to about the same, and no means over areas where
one size does not divide the other. What a device lacks is done in an equal way in 32 bits where there is one, else by
the CPU, which is told in the log.
"""

import logging
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

Trial = Callable[[torch.device], Tensor]

SMALL = 1e-5
# A device's rounding moves single pixels of a result from one surface to another: much less than this of its mean.
REHEARSED = 0.02


def elements_of_16_bytes(device: torch.device) -> Tensor:
    """Rows of four floats looked up as one complex128 each."""
    rows = torch.arange(8.0, device=device).view(2, 4)
    single, order = rows.view(torch.complex128)[:, 0], torch.tensor([1, 0], device=device)
    return torch.index_select(single, 0, order, out=torch.empty_like(single)).view(torch.float32)


def maxima_of_64_bits(device: torch.device) -> Tensor:
    """scatter_reduce by amax on int64, where the upper half decides, and where the lower one does."""
    cell = torch.tensor([0, 0, 1, 1], device=device)
    value = torch.tensor([3 << 32, (2 << 32) + 7, 5 << 32, (5 << 32) + 6], device=device)
    return torch.zeros(2, dtype=torch.int64, device=device).scatter_reduce_(0, cell, value, "amax") & 0xFFFF


def bordered_bicubic(device: torch.device) -> Tensor:
    """grid_sample, bicubic, the border's colour going on outside."""
    image = torch.arange(30.0, device=device).view(1, 1, 5, 6)
    at = torch.linspace(-1.5, 1.5, 16, device=device).view(1, 4, 2, 2)
    return F.grid_sample(image, at, mode="bicubic", padding_mode="border", align_corners=False)


def means_over_areas(device: torch.device) -> Tensor:
    """interpolate by area to a size that does not divide the picture's."""
    return F.interpolate(torch.arange(35.0, device=device).view(1, 1, 5, 7), (3, 4), mode="area")


def can(device: torch.device, trial: Trial, tolerance: float = SMALL) -> bool:
    """Whether a trial on the device works and gives, but for this share of its mean, what it gives on the CPU."""
    return device.type == "cpu" or _failure(device, trial, tolerance) is None


def place_for(work: str, device: torch.device, rehearsal: Trial) -> torch.device:
    """`device` if the rehearsal of a piece of work passes on it, else the CPU."""
    if can(device, rehearsal, REHEARSED):
        return device
    _tell(device, work, _failure(device, rehearsal, REHEARSED))
    return torch.device("cpu")


def where_able(work: str, trial: Trial, op: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """op(*tensors) on their device, or on the CPU and back if the trial fails on it."""
    device = tensors[0].device
    if can(device, trial):
        return op(*tensors)
    _tell(device, work, _failure(device, trial, SMALL))
    return op(*(t.cpu() for t in tensors)).to(device)


@cache
def _failure(device: torch.device, trial: Trial, tolerance: float) -> str | None:
    """Why a trial fails on this device, None if it passes. Want of memory says nothing of what it can do."""
    expected = trial(torch.device("cpu")).double()
    try:
        result = trial(device).cpu().double()
    except (RuntimeError, TypeError) as error:
        if "out of memory" in str(error).lower():
            raise
        return f"{type(error).__name__}: {str(error)[:120]}".splitlines()[0]
    off = float((result - expected).abs().mean() / expected.abs().mean().clamp(min=1e-6))
    return None if off <= tolerance else f"its result is off by {off:.2g}"


@cache
def _tell(device: torch.device, work: str, why: str) -> None:
    logging.getLogger(__name__).warning("Rackfocus: the CPU does the %s, for %s cannot: %s", work, device.type, why)
