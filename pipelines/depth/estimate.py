"""Depth of every frame, one frame at a time, in one scale for the whole batch."""

from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..files import SURPRISES, short
from ..image.checks import RefocusError, check_choice, check_image, check_number, cut
from ..image.progress import Counter, by_pieces, look
from ..optics.depth import resize_depth, to_disparity
from .load import MEANINGS, DepthModel

# Depth Pro's span; beyond it 32 bits and lenses see no difference from touching and from infinity.
NEAREST_M, FARTHEST_M = 1e-4, 1e4
TICKS = 100  # of progress in a frame


@dataclass(frozen=True)
class DepthEstimate:
    """depth [B, H, W] float32 in the picture's size; kind: one of the depth kinds; info: a sentence or two."""

    depth: Tensor
    kind: str
    info: str


def estimate_depth(
    model: DepthModel,
    image: Tensor,
    *,
    meaning: str = "auto",
    nearest_m: float = 0.0,
    device=None,
    progress=lambda done, total: None,
) -> DepthEstimate:
    """Image [B, H, W, 3] in 0..1 -> DepthEstimate, on the image's device.

    meaning: "auto" takes the model's word; "disparity" or "metres" overrules it.
    A metric model gives metres (kind "metres", 0.0001 to 10000). A relative one gives disparity times ONE factor for
    the whole batch, so that a clip does not pump: with nearest_m 0 the largest value is 1 (kind "disparity"); with
    nearest_m > 0 the nearest point of the batch is taken to stand there and disparity 0 at infinity, which makes it
    1/m (kind "inverse_metres"). Affine-invariant models leave the true place of infinity open; 0 is the usual guess.
    The network's map is brought to the picture's size without averaging across edges, and as disparity, in which
    planes are linear. Frames are independent of one another but for that factor.
    device: where model.net is; None is the image's. Raises RefocusError for another meaning or nearest_m, and where the
    network gives values that are not finite.
    """
    check_choice("the meaning", meaning, ("auto", *MEANINGS))
    check_number("nearest_m", nearest_m, 0, FARTHEST_M, why="0 stays relative, a distance is in metres")
    image = check_image(image)
    meaning = model.meaning if meaning == "auto" else meaning
    disparity = torch.empty(image.shape[:3], dtype=torch.float32, device=image.device)  # [B, H, W]
    total = TICKS * len(image)
    with Counter(progress, total) as counter:
        for i, frame in enumerate(image.split(1)):
            with layers_reported(model.net, lambda share, i=i: counter.to(int(TICKS * (i + share)))):
                disparity[i] = _disparity(model, frame.to(device or image.device), meaning)[0].to(image.device)
        counter.to(total)
        found = _metres(disparity) if meaning == "metres" else _scaled(disparity, nearest_m)
    doubt = ""
    if not model.stated and meaning == model.meaning:
        doubt = (
            f"; {model.model_type} does not say what its numbers mean: set meaning to metres if its source calls it "
            "metric"
        )
    return replace(found, info=f"{model.name} ({model.model_type}): {found.info}{doubt}")


def _metres(disparity: Tensor) -> DepthEstimate:
    depth = by_pieces(lambda d: 1 / d.clamp(1 / FARTHEST_M, 1 / NEAREST_M), disparity)
    return DepthEstimate(depth, "metres", f"metres, {depth.min():.3g} to {depth.max():.3g} m")


def _scaled(disparity: Tensor, nearest_m: float) -> DepthEstimate:
    """disparity / (largest * nearest_m): one factor for the whole batch; nearest_m 0 counts as 1."""
    largest = float(disparity.max())
    # As far as 32 bits count: a network that sees nothing near says next to nothing everywhere.
    factor = 1 / max(largest * max(nearest_m or 1.0, NEAREST_M), 1e-30) if largest > 0 else 1.0
    disparity *= factor
    frames = "the frame" if len(disparity) == 1 else f"all {len(disparity)} frames"
    said = f"relative disparity, times {factor:.4g} for {frames}"
    if nearest_m:
        said += (
            f" so that the nearest point stands at {nearest_m:g} m and 0 at infinity: 1/m as far as that guess "
            "holds; a strength in metres (the papers' K) may be used"
        )
        return DepthEstimate(disparity, "inverse_metres", said)
    said += (
        " so that the nearest point is 1; a strength in metres (the papers' K) needs metres: as it is, it counts "
        "as if the nearest point stood at 1 m; set nearest_m to the distance of the nearest thing for its scale"
    )
    return DepthEstimate(disparity, "disparity", said)


@torch.no_grad()
def _disparity(model: DepthModel, image: Tensor, meaning: str) -> Tensor:
    """One picture [1, H, W, 3] -> [1, H, W] disparity, 1/m for a metric model, of the picture's size."""
    h, w = image.shape[1:3]
    look()
    values = model.pixels.values(image)
    look()
    try:
        out = model.net(pixel_values=values)
        d = out.predicted_depth.float()
    except (RefocusError, torch.cuda.OutOfMemoryError):
        raise
    except (*SURPRISES, RuntimeError) as error:
        raise RefocusError(
            f"the depth model {cut(model.name)} fails on a picture of {w} x {h} ({short(error)}), but it should give "
            "depth: its config.json may not fit its weights, fetch it again, or try another model."
        ) from error
    look()
    if d.ndim == 4:
        d = d[:, 0]
    if not d.isfinite().all():
        raise RefocusError(
            f"the depth model {model.name} gave {int((~d.isfinite()).sum())} values that are not "
            "numbers, but finite ones are needed: its files may be damaged, fetch it again."
        )
    if model.model_type == "depth_pro":
        # Canonical inverse depth times width / focal length = 2 tan(fov / 2) (Depth Pro, arXiv 2410.02073, section 3).
        fov = getattr(out, "field_of_view", None)
        d = d if fov is None else d * (2 * torch.tan(torch.deg2rad(fov.float().reshape(-1, 1, 1)) / 2))
    elif meaning == "metres":
        d = to_disparity(d, "metres")
    bh, bw = model.pixels.border(h, w)
    d = resize_depth(d.clamp(min=0), h + 2 * bh, w + 2 * bw)
    return d[:, bh : bh + h, bw : bw + w]


@contextmanager
def layers_reported(net: nn.Module, report):
    """Call report(0..1) before each layer while the network runs, so that a long frame shows progress and can be
    cancelled; the hooks are gone afterwards, also after an error."""
    layers = [layer for group in net.modules() if isinstance(group, nn.ModuleList) for layer in group]
    done = 0

    def step(*_):
        nonlocal done
        report(min(done, len(layers)) / (len(layers) + 1))
        done += 1

    hooks = [layer.register_forward_pre_hook(step) for layer in layers]
    try:
        report(0.0)
        yield
    finally:
        for hook in hooks:
            hook.remove()
