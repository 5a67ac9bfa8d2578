"""FocalStackGenerate with the learn2refocus engine."""
from torch import Tensor

from ...pipelines.learn2refocus import check_position, dioptres_at, model_size, resize
from ...pipelines.learn2refocus.automatic import automatic_position
from ...pipelines.learn2refocus.finish import finish
from ...pipelines.optics import RefocusError, resolve_kind, to_disparity
from ...pipelines.optics.checks import match_batch
from ..host import from_device
from .parts import SvdParts
from .run import run
from .widgets import AUTOMATIC, TRAINED

METRIC = ("metres", "inverse_metres")


def generate_stacks(parts: SvdParts, image: Tensor, depth, depth_kind: str, *, input_position: str, steps: int,
                    guidance: float, seed: int, max_megapixels: float, frame_size: str, decode_chunk: int,
                    keep_input: bool, detail: float, clip_range: str) -> tuple[list[Tensor], str]:
    """image [B, H, W, 3] -> (B stacks of nine frames, a line for each photo that tells its position)."""
    positions = positions_of(image, depth, depth_kind, input_position)
    image = from_device(image)
    small = resize(image, *model_size(*image.shape[1:3], max_megapixels))
    made = run(parts, small, positions, steps=steps, guidance=guidance, seed=seed, chunk=decode_chunk,
               corrected_clip=clip_range == TRAINED)
    stacks = [finish(from_device(frames), image[i:i + 1], positions[i], size=frame_size, keep_input=keep_input,
                     detail=detail)
              for i, frames in enumerate(made)]
    return stacks, "\n".join(f"input position {p} ({_distance(p)})" for p in positions)


def positions_of(image: Tensor, depth, depth_kind: str, chosen: str) -> list[int]:
    """The input position of each image, chosen for all or found from depth."""
    if chosen != AUTOMATIC:
        return [check_position(int(chosen))] * len(image)
    if depth is None:
        raise RefocusError("input_position is automatic, but no depth map is connected: connect one in metres or "
                           "1/metres, or choose 0 (about 5 cm) to 8 (infinity).")
    kind = resolve_kind(depth, depth_kind)
    if kind not in METRIC:
        raise RefocusError(f"input_position is automatic, but the depth map is {kind} without a scale: give one in "
                           "metres or 1/metres (RefocusDepth with a metric model or nearest_m, and depth_kind), or "
                           "choose 0 (about 5 cm) to 8 (infinity).")
    disparity = match_batch(to_disparity(depth, kind), len(image), "depth")
    return [automatic_position(image[i:i + 1], disparity[i:i + 1]) for i in range(len(image))]


def _distance(position: int) -> str:
    d = dioptres_at(position)
    return f"focused at about {100 / d:.0f} cm" if d else "focused at infinity"
