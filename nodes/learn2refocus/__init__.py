"""The engine learn2refocus: a focal stack from one photo by Stable Video Diffusion (arXiv 2512.19823)."""

import torch
from comfy_api.latest import io

from ...pipelines.image.checks import shown
from ...pipelines.learn2refocus import GUIDANCE, MEGAPIXELS, POSITIONS, STEPS
from ...weights.manifest import weight_files
from ..host import NONE, RefocusModel, file_input, is_missing, listed, path_of
from .models import SvdModels, load_models
from .nodes import RefocusPositionSweep
from .run import generate_stacks
from .widgets import AUTOMATIC, RELEASED, stack_inputs

NAME = "learn2refocus"
UNET = weight_files(NAME)[0]
PURPOSE = "a focal stack from one photo by Stable Video Diffusion"
NODES = (RefocusPositionSweep,)
NOTES = {
    "stack": {
        "": "learn2refocus makes nine frames, from about 5 cm to infinity, out of a photo that has a focus of its own.",
        "image": "learn2refocus: any photo.",
        "frames": "learn2refocus always makes nine.",
        "depth": "learn2refocus needs one for the automatic input_position alone.",
        "model": "learn2refocus leaves frames, strength, quality, highlights and aperture aside.",
    }
}


def loader_inputs() -> list:
    return [
        io.Vae.Input("vae", optional=True, tooltip="learn2refocus: that of ImageOnlyCheckpointLoader."),
        file_input(
            "refocus_unet",
            UNET.folder,
            "learn2refocus: the fine-tuned UNet, diffusion_pytorch_model.safetensors. SVD's own UNet in diffusers' "
            "format has the same names and shapes: it cannot be told apart and makes a video, not a focal stack.",
        ),
        io.ClipVision.Input(
            "clip_vision",
            optional=True,
            tooltip="learn2refocus: that of ImageOnlyCheckpointLoader with svd.safetensors.",
        ),
    ]


def options() -> dict[str, list]:
    return {"stack": stack_inputs()}


def why_not(refocus_unet, *, tasks, **models) -> str | None:
    get = str(UNET)
    if refocus_unet == NONE:
        return f"learn2refocus needs its UNet, and none is chosen in refocus_unet: choose it, or get {get}."
    if is_missing(UNET.folder, listed(UNET.folder, refocus_unet, UNET)):
        return (
            f"refocus_unet is {shown(refocus_unet)}, but models/diffusion_models has no such file: choose one that is "
            f"there, or get {get}."
        )
    return None


def load(*, refocus_unet, clip_vision, vae) -> RefocusModel:
    path = path_of(UNET.folder, listed(UNET.folder, refocus_unet, UNET))
    assert path, "why_not refuses none"
    models = load_models(path, clip_vision, vae)

    def stack(*args, **given):
        return _stack(models, *args, **given)

    return RefocusModel(NAME, {"stack": stack}, models)


def _stack(
    models: SvdModels,
    image,
    *,
    depth,
    aperture,
    depth_kind="auto",
    input_position=AUTOMATIC,
    steps=STEPS,
    guidance=GUIDANCE,
    seed=0,
    max_megapixels=MEGAPIXELS,
    frame_size="input",
    decode_chunk=POSITIONS,
    keep_input=False,
    detail=0.0,
    clip_range=RELEASED,
):
    stacks, info = generate_stacks(
        models,
        image,
        depth,
        depth_kind,
        input_position=input_position,
        steps=steps,
        guidance=guidance,
        seed=seed,
        max_megapixels=max_megapixels,
        frame_size=frame_size,
        decode_chunk=decode_chunk,
        keep_input=keep_input,
        detail=detail,
        clip_range=clip_range,
    )
    return stacks, torch.linspace(0, 1, POSITIONS).tolist(), info
