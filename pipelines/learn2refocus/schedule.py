"""The noise levels of SVD: Karras et al. (arXiv 2206.00364), equation 5, rho 7."""
import torch
from torch import Tensor

from ..optics import RefocusError

SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 700.0, 7.0


def sigmas(steps: int) -> Tensor:
    """[steps + 1] falling from 700 over 0.002 to 0."""
    if steps < 1:
        raise RefocusError(f"{steps} steps were asked for, but at least 1 is needed.")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    high, low = SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO)
    return torch.cat([(high + ramp * (low - high)) ** RHO, ramp.new_zeros(1)]).float()
