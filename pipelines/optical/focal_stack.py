"""render_stack: one photo and its disparity become a focal stack."""
import torch
from torch import Tensor

from ..optics.checks import check_image, check_plane, match_batch
from ..optics.defocus import defocus_from_disparity
from ..optics.errors import RefocusError
from .bokeh import render_bokeh


def stack_disparities(disparity: Tensor, count: int, robust: float = 0.01) -> list[float]:
    """Focal planes from the nearest to the farthest surface, even in disparity (dioptres): `count` values, falling.

    disparity [1, H, W]; the nearest and farthest `robust` share of pixels are left out as depth noise.
    """
    if count < 2:
        raise RefocusError(f"a focal stack of {count} frames was asked for, but at least 2 are needed.")
    v = disparity.reshape(-1).sort().values
    k = int(robust * (len(v) - 1))
    return torch.linspace(float(v[-1 - k]), float(v[k]), count).tolist()


def render_stack(image: Tensor, disparity: Tensor, focus_disparities, strength: float, *, progress=None,
                 **bokeh) -> Tensor:
    """image [1, H, W, 3], disparity [1, H, W], N focal planes (disparities) -> [N, H, W, 3].

    strength: blur radius in pixels per unit of disparity. Keywords go to render_bokeh (aperture, quality, ...).
    """
    image = check_image(image)
    if image.shape[0] != 1:
        raise RefocusError(f"{image.shape[0]} images were given, but a focal stack is made from 1: pick one frame.")
    d = match_batch(check_plane(disparity, "disparity"), 1, "disparity")
    planes = list(focus_disparities)
    if not planes:
        raise RefocusError("no focal plane was given, but at least one focus disparity is needed.")
    frames = []
    for i, focus in enumerate(planes):
        def step(done, total, i=i):
            if progress is not None:
                progress(i * total + done, len(planes) * total)

        frames.append(render_bokeh(image, defocus_from_disparity(d, focus, strength), progress=step, **bokeh))
    return torch.cat(frames)
