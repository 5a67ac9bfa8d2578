"""The definition of right: one guided prediction over diffusers' UNetSpatioTemporalConditionModel."""
import math

import torch
from torch import Tensor

from .conditioning import added_time_ids


def velocity(unet, x: Tensor, frames: Tensor, embed: Tensor, sigma: float) -> Tensor:
    """v [B, 9, 4, h, w] at scaled noise x of that shape; frames: conditioning latents; embed [B, 1, C].

    The UNet is told sigma as log(sigma) / 4. Runs in the UNet's own dtype.
    """
    x, frames, embed = (t.to(unet.dtype) for t in (x, frames, embed))
    timestep = torch.tensor(math.log(sigma) / 4, dtype=torch.float32, device=x.device)
    return unet(torch.cat([x, frames], dim=2), timestep, encoder_hidden_states=embed,
                added_time_ids=added_time_ids(x)).sample


def guided(unet, x: Tensor, frames: Tensor, embed: Tensor, sigma: float, guidance: float) -> Tensor:
    """v_empty + guidance * (v - v_empty), the same for all frames; v_empty has neither embedding nor conditioning."""
    v = velocity(unet, x, frames, embed, sigma).to(x.dtype)
    if guidance == 1:
        return v
    empty = velocity(unet, x, torch.zeros_like(frames), torch.zeros_like(embed), sigma).to(x.dtype)
    return empty + guidance * (v - empty)
