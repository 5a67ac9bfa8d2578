"""A small network that learns the method in minutes on a laptop, and the stand-in for a VAE that it works on.

It is told what the transformer is told: the photo's latents, the geometry picture (or nothing), the focus point as a
place, its disparity and the blur as a shift of the modulation. It differs where FLUX brings what it knows already:

- latents   whitened principal components of 4 x 4 patches stand for the VAE's; they are exact both ways
- prior     the photo: what the network says is by how much a latent's mean differs from the photo's, and how sure that
            is; the best guess from those and z_t is arithmetic (preconditioning as in Karras et al. 2022, arXiv
            2206.00364, with a mean and a spread for each component of each token)
- adding    conditions are added to the noise's tokens, not set beside them
- local     convolutions over pixels before and behind the tokens; attention begins local
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..pipelines.diffcamera.geometry import DEFOCUS, GEOMETRIES
from ..pipelines.image.checks import check_choice
from .batch import Batch
from .trainee import Asked, check_size

NAME = "small"
PATCH = 4
CHANNELS = PATCH * PATCH * 3
FLOOR = 0.02  # least scale of a component: what lies below is noise of the 8 bits
HEADS = 4
REACH = 1.0, 3.0, 5.0, 7.0  # tokens: how far each head looks at first
SPREADS = -5.0, 2.0  # of the spread's logarithm, about that before training
CHANGE = 0.1  # of white: what a change of 1 by the convolutions is
GEOMETRY = 4  # planes that the geometry picture is shown as
BLUR = 2.5  # a blur beyond any that is drawn
GEOMETRY_REACH = 0.1  # as in pipelines/diffcamera/geometry.py


def patches(pictures: Tensor) -> Tensor:
    """[n, H, W, C] -> [n, H / 4, W / 4, 16 C]"""
    n, h, w, c = pictures.shape
    cells = pictures.reshape(n, h // PATCH, PATCH, w // PATCH, PATCH, c)
    return cells.permute(0, 1, 3, 2, 4, 5).flatten(3)


def unpatched(tokens: Tensor) -> Tensor:
    """Undoes patches."""
    n, h, w, k = tokens.shape
    cells = tokens.reshape(n, h, w, PATCH, PATCH, k // PATCH**2).permute(0, 1, 3, 2, 4, 5)
    return cells.reshape(n, h * PATCH, w * PATCH, -1)


class Whitening(nn.Module):
    """Principal components of patches, each scaled to a variance of 1: latents [n, h, w, 48]."""

    mean: Tensor
    axes: Tensor
    scale: Tensor

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.register_buffer("axes", torch.eye(CHANNELS))
        self.register_buffer("scale", torch.ones(CHANNELS))

    def fit(self, pictures: Tensor) -> None:
        """Of pictures [n, H, W, 3]; in double precision."""
        x = patches(pictures).flatten(0, 2).double()
        values, axes = torch.linalg.eigh(torch.cov(x.T))
        axes = axes * torch.where(axes.sum(0) < 0, -1.0, 1.0)  # of the two signs, always the same
        self.mean.copy_(x.mean(0))
        self.axes.copy_(axes)
        self.scale.copy_(values.clamp(min=0).sqrt().clamp(min=FLOOR))

    def encode(self, pictures: Tensor) -> Tensor:
        return (patches(pictures) - self.mean) @ self.axes / self.scale

    def decode(self, latents: Tensor) -> Tensor:
        return unpatched(latents * self.scale @ self.axes.T + self.mean)


def waves(x: Tensor, count: int, top: float) -> Tensor:
    """[...] -> [..., 2 count]: sin and cos of x times pi times frequencies from 1 to top."""
    angles = x[..., None] * (math.pi * torch.logspace(0, math.log2(top), count, 2, device=x.device))
    return torch.cat([angles.sin(), angles.cos()], -1)


class Pixels(nn.Module):
    """Convolutions over pixels, each scaled and shifted by the camera and, from place to place, by the geometry: so a
    blur that changes over the picture is a product, and need not be put together from sums."""

    def __init__(self, inner: int, layers: int, width: int):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(inner, inner, 3, padding=1) for _ in range(layers))
        self.camera = nn.Linear(width, 2 * inner * layers)
        self.geometry = nn.Conv2d(GEOMETRY, 2 * inner * layers, 1)
        nn.init.zeros_(self.camera.weight)
        nn.init.zeros_(self.camera.bias)

    def forward(self, x: Tensor, geometry: Tensor, told: Tensor) -> Tensor:
        """x [n, inner, H, W], geometry [n, GEOMETRY, H, W], told [n, width] -> [n, inner, H, W]"""
        mods = (self.geometry(geometry) + self.camera(told)[..., None, None]).chunk(2 * len(self.layers), 1)
        for i, layer in enumerate(self.layers):
            x = x + F.gelu(layer(x) * (1 + mods[2 * i]) + mods[2 * i + 1])
        return x


class Near(nn.Module):
    """A linear layer over the 3 x 3 tokens about each."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(9 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[1:3]
        x = F.pad(x, (0, 0, 1, 1, 1, 1))
        return self.linear(torch.cat([x[:, i : i + h, j : j + w] for i in range(3) for j in range(3)], -1))


class Attention(nn.Module):
    """Every token to every other, with a bias by their distance: -(d / reach)^2, each head with a reach of its own."""

    def __init__(self, width: int):
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.near = nn.Parameter(-2 * torch.log(torch.tensor(REACH)))

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[1:3]
        y, xs = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        place = torch.stack([y.flatten(), xs.flatten()], -1).to(x)
        distance = (place[:, None] - place).square().sum(-1)
        bias = -distance * self.near.exp()[:, None, None]
        q, k, v = self.qkv(x.flatten(1, 2)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.out(seen.transpose(1, 2).flatten(2)).unflatten(1, (h, w))


class Block(nn.Module):
    """Tokens look around, then each by itself; both modulated as in FLUX, with a table of its own."""

    def __init__(self, width: int, mix: nn.Module):
        super().__init__()
        self.mix = mix
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.table = nn.Parameter(torch.zeros(6 * width))

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        shift, scale, gate, shift2, scale2, gate2 = (modulation + self.table)[:, None, None].chunk(6, -1)
        x = x + 0.5 * (1 + gate) * self.mix(normal(x) * (1 + scale) + shift)
        return x + 0.5 * (1 + gate2) * self.down(F.gelu(self.up(normal(x) * (1 + scale2) + shift2)))


def normal(x: Tensor) -> Tensor:
    """Layer norm without parameters."""
    return F.layer_norm(x, x.shape[-1:])


@dataclass(frozen=True)
class Conditions:
    """photo [n, H, W, 3] and its latents [n, h, w, 48]; geometry [n, H, W], 0 where not known; told [n, .]: numbers
    about camera and depth; place [n, h, w, .]: where each token lies, seen from the focus point."""

    photo: Tensor
    latents: Tensor
    geometry: Tensor
    told: Tensor
    place: Tensor


class Network(nn.Module):
    """Says mean m and spread s of each component of each clean latent, given photo, camera, geometry, z_t and t.

    For z of N(m, s^2) and z_t = (1 - t) z + t e, the expected velocity e - z is

        v = (t - s^2 (1 - t)) / (s^2 (1 - t)^2 + t^2) (z_t - (1 - t) m) - m

    Before training m is the photo's latent and s how far targets lie from photos, root mean square. Where the photo
    is right already, s falls and the noise is nothing to follow; where nothing is known, s grows.
    """

    spread: Tensor

    def __init__(self, width: int = 64, inner: int = 16, layers: int = 2, near: int = 1, far: int = 2):
        super().__init__()
        self.register_buffer("spread", torch.ones(CHANNELS))
        self.latents = Whitening()
        self.camera = nn.Sequential(nn.Linear(16 + 2 * 12 + 3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.modulation = nn.Linear(width, 6 * width)
        self.tokens = nn.Sequential(nn.Linear(2 * CHANNELS + 20, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.first = nn.Conv2d(3 + GEOMETRY, inner, 3, padding=1)
        self.before, self.behind = (Pixels(inner, layers, width) for _ in range(2))
        self.into = nn.Linear(PATCH**2 * inner, width)
        self.back = nn.Linear(width, PATCH**2 * inner)
        mixes: list[nn.Module] = [Near(width) for _ in range(near)]
        mixes += [Attention(width) for _ in range(far)]
        self.blocks = nn.ModuleList(Block(width, mix) for mix in mixes)
        self.last = nn.Linear(width, 2 * CHANNELS)
        self.change = nn.Conv2d(inner, 3, 3, padding=1)
        for layer in (self.modulation, self.last, self.change):
            for p in layer.parameters():
                nn.init.zeros_(p)

    def forward(self, noisy: Tensor, t: Tensor, given: Conditions) -> Tensor:
        now = t[:, None, None, None]
        still = 1 - now
        scale = (self.spread.square() * still.square() + now.square()).sqrt()
        u = (noisy - still * given.latents) / scale
        told = self.camera(torch.cat([waves(t, 8, 16), given.told], -1))
        g = given.geometry[:, None]
        geometry = torch.cat([g, g.abs(), g.square(), (8 * g).tanh()], 1)
        photo = given.photo.permute(0, 3, 1, 2)
        pixels = torch.cat([4 * photo - 2, geometry], 1).contiguous(memory_format=torch.channels_last)
        pixels = self.before(F.gelu(self.first(pixels)), geometry, told)
        x = self.tokens(torch.cat([u, given.latents, given.place], -1)) + self.into(patches(pixels.permute(0, 2, 3, 1)))
        modulation = self.modulation(told)
        for block in self.blocks:
            x = block(x, modulation)
        x = normal(x)
        pixels = self.behind(pixels + unpatched(self.back(x)).permute(0, 3, 1, 2), geometry, told)
        change = patches(CHANGE * self.change(pixels).permute(0, 2, 3, 1)) @ self.latents.axes / self.latents.scale
        mean, spread = self.last(x).chunk(2, -1)
        mean = given.latents + self.spread * mean + change
        s2 = (self.spread * spread.clamp(*SPREADS).exp()).square()
        return (now - s2 * still) / (s2 * still.square() + now.square()) * (noisy - still * mean) - mean


class Small:
    """The network as a Trainee (see trainee.py)."""

    name, token = NAME, PATCH

    def __init__(self, geometry: str = DEFOCUS, width: int = 64, inner: int = 16, layers: int = 2):
        self.geometry = check_choice("the geometry", geometry, GEOMETRIES)
        self.width, self.inner, self.layers = width, inner, layers
        self.module = Network(width, inner, layers)

    def config(self) -> dict[str, Any]:
        return {"geometry": self.geometry, "width": self.width, "inner": self.inner, "layers": self.layers}

    def fit(self, batch: Batch) -> None:
        """Measure the components of pictures, and how far targets lie from photos."""
        check_size(batch.size, PATCH)
        net = self.module
        net.latents.fit(batch.aif)
        away = self.encode(batch.targets.flatten(0, 1)) - self.encode(batch.source).repeat_interleave(
            batch.targets.shape[1], 0
        )
        net.spread.copy_(away.flatten(0, 2).square().mean(0).sqrt().clamp(min=1e-3))

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        return self.module.latents.encode(images)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        return self.module.latents.decode(latents)

    @torch.no_grad()
    def conditions(self, given: Asked) -> Conditions:
        h, w = given.disparity.shape[1:]
        check_size((h, w), PATCH)
        known = given.known.float()
        if self.geometry == DEFOCUS:
            geometry = torch.tanh(given.radius / (GEOMETRY_REACH * min(h, w)))
        else:
            geometry = 2 * given.disparity - 1
        photo = given.source[given.scene]
        focus, blur = waves(given.focus, 6, 8) * known[:, None], waves(given.blur / BLUR, 6, 8)
        plain = torch.stack([known, given.blur / 2, given.focus * known], -1)
        told = torch.cat([focus, blur, plain], -1)
        place = self._place(given.point, h // PATCH, w // PATCH)
        return Conditions(photo, self.encode(photo), geometry * known[:, None, None], told, place)

    @staticmethod
    def _place(point: Tensor, h: int, w: int) -> Tensor:
        """[n, h, w, 20]: the way from the focus point, in parts of the picture."""
        x = (torch.arange(w, device=point.device) + 0.5) / w - point[:, :1]
        y = (torch.arange(h, device=point.device) + 0.5) / h - point[:, 1:]
        x, y = x[:, None].expand(-1, h, -1), y[:, :, None].expand(-1, -1, w)
        far = 64 * (x.square() + y.square())
        near = torch.stack([x, y, torch.exp(-far / 2), torch.exp(-far / 8)], -1)
        return torch.cat([near, waves(x, 4, 8), waves(y, 4, 8)], -1)

    def velocity(self, noisy: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        return self.module(noisy, t, conditions)
