"""A contact sheet of stacks, to choose an input position by eye."""
import torch
from torch import Tensor

from .sizes import resize

LINE = 2   # pixels round the photo's own frame


def contact_sheet(stacks: list[Tensor], width: int) -> Tensor:
    """Stacks [N, h, w, 3], one for each start -> [1, rows * h', N * width, 3]: a row for each, near to far.

    The frame that stands where the photo was taken to stand, number r of row r, has a white frame.
    """
    rows = []
    for r, stack in enumerate(stacks):
        small = resize(stack, max(1, round(stack.shape[1] * width / stack.shape[2])), width).clone()
        own = small[r]
        own[:LINE] = own[-LINE:] = own[:, :LINE] = own[:, -LINE:] = 1
        rows.append(torch.cat(list(small), dim=1))
    return torch.cat(rows)[None]
