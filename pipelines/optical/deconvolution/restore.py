"""All-in-focus light from a defocused photo: maximum a posteriori with robust data and sparse gradients.

    x = argmin  sum_p V_p rho( s_p (A x - b)_p )  +  sum_p | s grad x |_p^alpha / g^alpha

b: the photo in linear light. A: operator.BlurOperator. s: slope of the sRGB curve, so that an error counts as it is
seen. V: trust = 1 / variance of the equation: noise, plus light that the sharp view hides; 0 where the photo clips
and A x is at least as bright. rho: Cauchy, because near depth edges and highlights no single-surface model holds.
alpha = 0.8: gradients of natural pictures (A. Levin, R. Fergus, F. Durand, W. Freeman, "Image and Depth from a
Conventional Camera with a Coded Aperture", SIGGRAPH 2007). Solved by iteratively reweighted least squares, each step
by a few preconditioned conjugate gradients.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ...image.filters import window_max
from ...image.light import WHITE, decode_srgb, encode_srgb
from ...image.progress import look
from ...image.pyramid import fill
from .operator import BlurOperator

ALPHA = 0.8
GRADIENT = 0.06  # g: scale of a sharp picture's gradients, sRGB per pixel
LEAST_GRADIENT = 0.01  # sRGB per pixel: below this a gradient is treated as Gaussian
NOISE = 0.004  # sRGB: 8-bit steps, and what a bank of discs gets wrong
HIDDEN = 0.15  # sRGB: how much a hidden surface may differ from what is seen beside it
CAUCHY = 3.0  # standard deviations at which an equation loses half its trust
STEPS, GRADIENT_STEPS = 4, 12

LEAST_DISC = 1.5  # px: smaller discs are hardly wider than their highlights
LEAST_FULL = 0.75  # share of a highlight's disc that clips ...
RIM_LOSS = 0.8  # ... or more: all but this many px of the rim, which covers pixels partly
CROWD = 0.3  # a highlight fills at most this share of its own disc; a wall or a sky fills more
RIM = 3  # px about a disc where its rim still adds light


def restore(
    image: Tensor,
    radius: Tensor,
    aperture: Tensor,
    margin: int,
    noise: float = NOISE,
    tick: Callable[[], None] = lambda: None,
) -> Tensor:
    """image [3, H, W] sRGB, signed radius [H, W] px, aperture mask [1, S, S] -> all-in-focus [3, H, W] sRGB in 0..1.

    margin: how far, in px, light from outside the window is allowed for. noise: standard deviation of an equation in
    sRGB; the grain measured in the blurred parts is added. tick() is called 1 + STEPS * GRADIENT_STEPS times.
    """
    h, w = radius.shape
    grain = measure_grain(image, radius)
    radius = F.pad(radius[None, None], (margin,) * 4, mode="replicate")[0, 0]  # [H + 2 margin, W + 2 margin]
    photo = F.pad(image[None], (margin,) * 4, mode="replicate")[0]
    inside = F.pad(torch.ones_like(image[:1]), (margin,) * 4)  # [1, ...]: 0 in the margin, where nothing was measured
    A = BlurOperator(radius, aperture)
    tick()
    clipped = photo >= WHITE
    highlight, disc = find_highlights(clipped.any(0).float(), A)
    b = decode_srgb(photo)
    slope = srgb_slope(b)
    variance = noise**2 + grain**2 + (HIDDEN * (1 - A.seen).clamp(min=0)) ** 2
    trust = inside * ~disc * slope**2 / variance  # a highlight's disc clips all over and carries no equation
    look()
    x = fill(b, disc)
    look()
    for step in range(STEPS):
        error = A.forward(x) - b
        V = trust * ~(clipped & (error > 0))
        if step:
            V = V / (1 + ((error * slope) ** 2 / variance).mean(0, keepdim=True) / CAUCHY**2)
        x = conjugate_gradients(A, V, *sparse_weights(x), b, x, tick).clamp(min=0)
    x = torch.where(highlight, photo, encode_srgb(x))
    # What is sharp and not occluded is its own best estimate.
    t = ((1 - A.kept) / 0.5).clamp(0, 1)
    x = photo + t * t * (3 - 2 * t) * (x - photo)
    return x[:, margin : margin + h, margin : margin + w]


def find_highlights(clipped: Tensor, A: BlurOperator) -> tuple[Tensor, Tensor]:
    """clipped [H, W] of 0 and 1 -> (highlight, disc), bool [H, W]: where clipped highlights stand, and their discs.

    A pixel can hold a clipped highlight if the whole disc that it would make is clipped; a highlight is small against
    its disc, else it is a white surface.
    """
    highlight = torch.zeros(clipped.shape, dtype=torch.bool, device=clipped.device)
    reached = torch.zeros_like(clipped)
    for s in A.slices:
        if abs(s.radius) < LEAST_DISC:
            continue
        (y0, y1, x0, x1), (a0, a1, b0, b1) = s.source, s.target
        lit = clipped[a0:a1, b0:b1]
        full = max(LEAST_FULL, 1 - RIM_LOSS / abs(s.radius)) * s.gather(torch.ones_like(lit)).clamp(min=1e-3)
        candidate = ((s.gather(lit) > full) & (s.weight > 0.5)).float()  # [h, w] on source
        if not candidate.any():
            continue
        crowd = s.scatter(candidate)[y0 - a0 : y1 - a0, x0 - b0 : x1 - b0]  # target encloses source
        small = candidate * (1 - window_max((crowd > CROWD).float()[None, None], 3)[0, 0])
        highlight[y0:y1, x0:x1] |= small > 0
        reached[a0:a1, b0:b1] += s.scatter(small)
    disc = window_max((reached > 1e-4).float()[None, None], 2 * RIM + 1)[0, 0] > 0
    return highlight, disc


def measure_grain(image: Tensor, radius: Tensor) -> float:
    """Standard deviation of the noise in sRGB, from the finest detail where the lens left none (radius >= 2 px).

    J. Immerkaer, "Fast Noise Variance Estimation", CVIU 1996, with the median for robustness; 8-bit steps excluded.
    """
    if min(radius.shape) < 3:
        return 0.0
    k = image.new_tensor([1.0, -2.0, 1.0])
    detail = F.conv2d(image[:, None], (k[:, None] * k)[None, None])[:, 0].abs()
    blurred = radius[1:-1, 1:-1].abs() >= 2
    if blurred.sum() < 64:
        return 0.0
    sigma = float(detail[:, blurred].median()) / (0.6745 * 6)
    return max(0.0, sigma - 1 / 255 / 2)


def srgb_slope(linear: Tensor) -> Tensor:
    """d encode / d linear of the sRGB curve, its straight part included."""
    return 1.055 / 2.4 * linear.clamp(0.0031308, 1) ** (1 / 2.4 - 1)


def sparse_weights(x: Tensor) -> tuple[Tensor, Tensor]:
    """IRLS weights of |s grad x|^alpha / g^alpha -> (along x [C, H, W-1], along y [C, H-1, W]); edges are shared."""
    s = srgb_slope(x)
    out = []
    for dim in (-1, -2):
        n = x.shape[dim] - 1
        slope = torch.minimum(s.narrow(dim, 0, n), s.narrow(dim, 1, n))
        energy = ((x.diff(dim=dim) * slope) ** 2).mean(0, keepdim=True) + LEAST_GRADIENT**2
        out.append(ALPHA / GRADIENT**ALPHA * energy ** (ALPHA / 2 - 1) * slope**2)
    return out[0], out[1]


def conjugate_gradients(
    A: BlurOperator, V: Tensor, wx: Tensor, wy: Tensor, b: Tensor, x: Tensor, tick: Callable[[], None]
) -> Tensor:
    """GRADIENT_STEPS from x towards the solution of H x = A^T V b, H = A^T V A + Dx^T wx Dx + Dy^T wy Dy.

    Preconditioned by H's diagonal, of A^T V A only what stays unscattered.
    """

    def H(v: Tensor) -> Tensor:
        return A.adjoint(V * A.forward(v)) - _divergence(wx * v.diff(dim=-1), wy * v.diff(dim=-2))

    diagonal = F.pad(wx, (1, 0)) + F.pad(wx, (0, 1)) + F.pad(wy, (0, 0, 1, 0)) + F.pad(wy, (0, 0, 0, 1)) + A.kept * V
    r = A.adjoint(V * b) - H(x)
    z = r / diagonal
    p, rz = z, (r * z).sum()
    for _ in range(GRADIENT_STEPS):
        Hp = H(p)
        step = rz / (p * Hp).sum().clamp(min=1e-20)
        x = x + step * p
        r = r - step * Hp
        z = r / diagonal
        last = rz
        rz = (r * z).sum()
        p = z + rz / last.clamp(min=1e-20) * p
        tick()
    return x


def _divergence(gx: Tensor, gy: Tensor) -> Tensor:
    """-(Dx^T gx + Dy^T gy): gx [C, H, W-1], gy [C, H-1, W] -> [C, H, W]."""
    return F.pad(gx, (0, 1)) - F.pad(gx, (1, 0)) + F.pad(gy, (0, 0, 0, 1)) - F.pad(gy, (0, 0, 1, 0))
