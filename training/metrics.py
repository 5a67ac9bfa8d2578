"""How good refocused pictures are. Pure functions of pictures [n, H, W, 3] in 0..1."""

import importlib

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 5  # pixels in which sharpness is measured at a point
BEST = 1e-5  # mean squared error below which a picture counts as exact: 50 dB
APART = 0.15  # of disparity: planes nearer than this to one another are not told apart


def psnr(pictures: Tensor, truth: Tensor) -> Tensor:
    """[n] dB; 50 at most."""
    return -10 * torch.log10((pictures - truth).square().flatten(1).mean(1).clamp(min=BEST))


def ssim(pictures: Tensor, truth: Tensor) -> Tensor:
    """[n]: structural similarity (Wang et al. 2004), Gaussian window of 1.5 px; kornia's."""
    from kornia.metrics import ssim as similarity

    a, b = (x.permute(0, 3, 1, 2).contiguous() for x in (pictures, truth))
    return similarity(a, b, 11).flatten(1).mean(1)


def perceptual(name: str, pictures: Tensor, truth: Tensor) -> Tensor | None:
    """[n] "lpips" or "dists" by torchmetrics; None where that, or the weights it needs, is not at hand."""
    measure = _PERCEPTUAL.get(name) or _perceptual(name)
    _PERCEPTUAL[name] = measure
    if measure is False:
        return None
    a, b = (x.permute(0, 3, 1, 2).contiguous() for x in (pictures, truth))
    with torch.no_grad():
        return torch.stack([measure(a[i : i + 1], b[i : i + 1]).reshape(()) for i in range(len(a))])


_PERCEPTUAL: dict = {}


def _perceptual(name: str):
    try:
        image = importlib.import_module("torchmetrics.image")
        if name == "dists":
            return image.DeepImageStructureAndTextureSimilarity(reduction="mean").eval()
        return image.LearnedPerceptualImagePatchSimilarity("alex", normalize=True).eval()
    except (ImportError, AttributeError, OSError, RuntimeError):  # not installed, too old, or weights not reached
        return False


def laplacian(pictures: Tensor) -> Tensor:
    """[n, H, W]: the Laplacian of grey, its frame repeated outwards."""
    grey = F.pad(pictures.mean(-1)[:, None], (1, 1, 1, 1), mode="replicate")
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=pictures.device)
    return F.conv2d(grey, kernel[None, None])[:, 0]


def laplacian_variance(pictures: Tensor) -> Tensor:
    """[n]: the larger, the sharper."""
    return laplacian(pictures).flatten(1).var(1)


def level_correlation(blur: Tensor, sharpness: Tensor) -> Tensor:
    """LVCorr: minus Pearson's r of blur [n, L] and the Laplacian's variance [n, L] over a sweep, the mean over scenes.

    1: sharpness falls in proportion. A real lens does not reach it, since sharpness falls faster at first, so the
    renderer's own value belongs beside it. The papers that report LVCorr print no formula; this one is ours.
    """
    b, s = (x - x.mean(1, keepdim=True) for x in (blur.double(), sharpness.double()))
    norm = (b.norm(dim=1) * s.norm(dim=1)).clamp(min=1e-12)
    return (-(b * s).sum(1) / norm).mean().float()


def monotone(sharpness: Tensor) -> Tensor:
    """The share of the steps of sweeps [n, L] at which more blur is not sharper."""
    return (sharpness.diff(dim=1) <= 0).float().mean()


def sharpness_map(pictures: Tensor) -> Tensor:
    """[n, H, W]: the mean of the Laplacian's size in a window."""
    size = laplacian(pictures).abs()[:, None]
    return F.avg_pool2d(size, WINDOW, 1, WINDOW // 2, count_include_pad=False)[:, 0]


def at_points(maps: Tensor, point: Tensor) -> Tensor:
    """maps [n, H, W] at points [n, 2] (x, y) in 0..1 -> [n]"""
    h, w = maps.shape[1:]
    x = (point[:, 0] * w).long().clamp(0, w - 1)
    y = (point[:, 1] * h).long().clamp(0, h - 1)
    return maps[torch.arange(len(maps)), y, x]


def focus_accuracy(planes: Tensor, point: Tensor, focus: Tensor, blur: Tensor) -> Tensor:
    """Of pairs of photos of one scene: how often the one that is focused at a point is the sharper one there.

    planes [S, K, H, W, 3]; point [S, K, 2]; focus and blur [S, K]. Planes nearer than APART, and photos without blur,
    are left out; NaN where nothing is left.
    """
    k = planes.shape[1]
    right = []
    for mine in range(k):
        own = at_points(sharpness_map(planes[:, mine]), point[:, mine])
        for other in range(k):
            if other == mine:
                continue
            apart = (focus[:, mine] - focus[:, other]).abs() >= APART
            counts = apart & (blur[:, mine] > 0) & (blur[:, other] > 0)
            theirs = at_points(sharpness_map(planes[:, other]), point[:, mine])
            right.append((own > theirs)[counts])
    return torch.cat(right).float().mean()


def disagreement(planes: Tensor, sharp: Tensor) -> Tensor:
    """Root mean square of 255 by which photos of one scene differ where both are sharp in truth.

    planes [S, K, H, W, 3], sharp bool [S, K, H, W]. A model that ignores the focus reaches 0: read it beside PSNR.
    """
    total, count = torch.zeros((), dtype=torch.float64), 0
    for i in range(planes.shape[1]):
        for j in range(i):
            both = sharp[:, i] & sharp[:, j]
            total += (planes[:, i] - planes[:, j])[both].double().square().sum()
            count += 3 * int(both.sum())
    return (total / max(count, 1)).sqrt().float() * 255


def fused(planes: Tensor) -> Tensor:
    """[S, K, H, W, 3] -> [S, H, W, 3]: each pixel of the plane that is the sharpest about it."""
    s, k = planes.shape[:2]
    best = sharpness_map(planes.flatten(0, 1)).unflatten(0, (s, k)).argmax(1)
    return planes.gather(1, best[:, None, :, :, None].expand(-1, 1, -1, -1, 3))[:, 0]
