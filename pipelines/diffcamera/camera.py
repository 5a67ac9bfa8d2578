"""Where to focus and how much to blur, as a transformer is told: a token, and what it adds to the noise's modulation.

Convention: a point (x, y) is in 0..1 of the picture, x from the left and y from the top; a disparity is scaled so that
the 1 % and 99 % quantiles of the clip are 0 and 1; a blur is RefocusLens's strength / 100 at that scale, so 1 is a
radius of a tenth of the picture's width from one end of the scene to the other.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..flux.blocks import Embedded
from ..flux.tokens import TOKEN

POINT, LINEAR = "point", "linear"
CAMERAS = (POINT, LINEAR)
OCTAVES = 6
FEATURES = 1 + 2 * OCTAVES
INNER = 256  # width of the MLPs between features and hidden
# Fourier features tell apart what lies within 2 of one another: a focus far outside the scene is not told further.
NEAREST, FARTHEST = 1.5, -0.5
# Blur levels are trained from 0.04 to 1, as many in each octave; below it the scale becomes linear, so that 0 is 0.
LEAST_BLUR = 0.04


@dataclass(frozen=True)
class Aim:
    """point [B, 2]: (x, y); blur [B]; disparity [B] of the focal plane, None where there is no depth."""

    point: Tensor
    blur: Tensor
    disparity: Tensor | None = None

    def __getitem__(self, frames: slice | Tensor) -> "Aim":
        """That of some of the pictures."""
        return Aim(self.point[frames], self.blur[frames], None if self.disparity is None else self.disparity[frames])


def fourier(v: Tensor) -> Tensor:
    """[B] -> [B, FEATURES]: v, sin(2^k pi v) and cos(2^k pi v), k from 0 to OCTAVES - 1; float32."""
    v = v.float()[:, None]
    angles = v * (math.pi * 2.0 ** torch.arange(OCTAVES, device=v.device))
    return torch.cat([v, angles.sin(), angles.cos()], dim=1)


def blur_scale(blur: Tensor) -> Tensor:
    """log(1 + b / LEAST) / log(1 + 1 / LEAST): 0 at 0, 1 at 1; below 2 for any strength that RefocusLens has."""
    return torch.log1p(blur.float() / LEAST_BLUR) / math.log1p(1 / LEAST_BLUR)


def place(point: Tensor, height: int, width: int) -> Tensor:
    """[B, 2] points of a picture of that size in pixels -> [B, 1, 3] positions (0, y H / 16 - 1/2, x W / 16 - 1/2).

    The position of a token is that of its middle.
    """
    x, y = point.float().unbind(-1)
    return torch.stack([torch.zeros_like(x), y * height / TOKEN - 0.5, x * width / TOKEN - 0.5], dim=-1)[:, None]


class Camera(nn.Module):
    """The parameters `camera.*` of a checkpoint. hidden: the transformer's width.

    point    one token that stands AT the focus point; it holds the focal plane's disparity, known or unknown. Disparity
             and blur are also added to the noise's modulation by MLPs that begin at 0 (our design).
    linear   three tokens, each a linear projection of one of x, y and blur, that stand nowhere: as DiffCamera
             (arXiv 2509.26599) shows it, for comparison.
    """

    def __init__(self, kind: str, hidden: int):
        super().__init__()
        self.kind, self.hidden = kind, hidden
        if kind == LINEAR:
            self.weight = nn.Parameter(torch.randn(3, hidden) * 0.02)
            self.bias = nn.Parameter(torch.randn(3, hidden) * 0.02)
            return
        self.known = nn.Parameter(torch.randn(2, hidden) * 0.02)  # 0: the disparity is not known, 1: it is
        self.token = nn.Linear(FEATURES, hidden)
        self.focus, self.blur = _mlp(hidden), _mlp(hidden)

    def forward(self, aim: Aim, height: int, width: int) -> tuple[Embedded, Tensor | None]:
        """(tokens, shift [B, hidden] of the noise's modulation or None) for a picture of that size in pixels."""
        if self.kind == LINEAR:
            values = torch.cat([aim.point, aim.blur[:, None]], dim=1).to(self.weight)[..., None]  # [B, 3, 1]
            tokens = values * self.weight + self.bias
            return Embedded(tokens, torch.zeros(*tokens.shape[:2], 3, device=tokens.device), placed=False), None
        shift = self.blur(fourier(blur_scale(aim.blur)).to(self.known))
        if aim.disparity is None:
            token = self.known[0].expand(len(aim.point), -1)
        else:
            features = fourier(aim.disparity.clamp(FARTHEST, NEAREST)).to(self.known)
            token, shift = self.known[1] + self.token(features), shift + self.focus(features)
        return Embedded(token[:, None], place(aim.point, height, width), placed=True), shift


def _mlp(hidden: int) -> nn.Sequential:
    """Features -> hidden, 0 before training."""
    last = nn.Linear(INNER, hidden)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(FEATURES, INNER), nn.SiLU(), last)
