"""The engine diffcamera: the method of DiffCamera (arXiv 2509.26599) as far as it is published, on FLUX.1-dev.

Its weights are trained with this pack.
"""

import torch
from comfy_api.latest import io

from ...pipelines.diffcamera import DEPTH, STEPS, at_plane, at_point, of_map, read_about, sharp
from ...pipelines.image.checks import RefocusError, match_batch, shown
from ...pipelines.optics import resize_depth, stack_disparities, to_disparity
from ...pipelines.optics.lens import check_defocus
from ..flux.widgets import noise_input, steps_input, tiling_input
from ..host import NONE, Refocused, RefocusModel, file_input, from_device, is_missing, path_of, sweep_inputs, to_device
from ..sampling import Report
from .prepare import DiffCameraModels, encode_photo, load_models, paint

NAME = "diffcamera"
PURPOSE = "any photo refocused by FLUX.1-dev with weights that you train"
NODES = ()
NOTES = {
    "bokeh": {
        "image": "diffcamera: any photo, sharp or not.",
        "model": "diffcamera leaves quality, highlights, the lens's character, aperture and background aside.",
    },
    "deblur": {"defocus": "diffcamera needs none.", "aperture": "diffcamera needs none."},
    "stack": {
        "image": "diffcamera: any photo.",
        "depth": "diffcamera finds the focal planes in it.",
        "model": "diffcamera leaves quality, highlights and aperture aside.",
    },
}
WIDGET = "diffcamera_checkpoint"
TRAIN = "no weights are public, and docs/diffcamera.md says how to train them"


def loader_inputs() -> list:
    return [
        io.Model.Input(
            "flux",
            optional=True,
            tooltip="diffcamera: FLUX.1-dev from any loader, fp8 and GGUF too. It is not changed.",
        ),
        io.Vae.Input("vae", optional=True, tooltip="diffcamera: FLUX.1's VAE."),
        file_input(
            WIDGET,
            "loras",
            "diffcamera: a checkpoint that this pack has trained. It brings its prompt along, so that no text encoder "
            "is needed. No weights of the paper's are public.",
        ),
    ]


def options() -> dict[str, list]:
    steps = steps_input(NAME, STEPS, f"sampling steps, {STEPS} by default.")
    return {
        "bokeh": [steps, noise_input(NAME), tiling_input(NAME)],
        "deblur": [steps, noise_input(NAME), tiling_input(NAME)],
        "stack": [*sweep_inputs(), steps, noise_input(NAME), tiling_input(NAME)],
        "refocus": [
            steps_input(NAME, 0, f"sampling steps; 0 takes {STEPS}.", low=0),
            noise_input(NAME),
            tiling_input(NAME),
        ],
    }


def why_not(diffcamera_checkpoint, *, tasks, **models) -> str | None:
    name = diffcamera_checkpoint
    if name == NONE:
        return f"diffcamera needs a checkpoint, but no {WIDGET} is chosen: choose one; {TRAIN}."
    if is_missing("loras", name):
        return f"{WIDGET} is {shown(name)}, but models/loras has no such file: choose one that is there; {TRAIN}."
    try:
        about = read_about(path_of("loras", name) or "")
    except RefocusError as error:
        return str(error)
    return _no_depth(name) if "bokeh" in tasks and about.geometry == DEPTH else None


def _no_depth(name: str) -> str:
    return (
        f"{name} was trained with depth maps for its geometry, but BokehSynthesize gives a DEFOCUS_MAP alone: use "
        "RefocusPhoto with a depth map, or choose a checkpoint whose geometry is defocus."
    )


def load(*, flux, vae, diffcamera_checkpoint) -> RefocusModel:
    path = path_of("loras", diffcamera_checkpoint)
    assert path, "why_not refuses none"
    models = load_models(flux, vae, path)
    tasks = {"bokeh": _bokeh, "deblur": _deblur, "stack": _stack, "refocus": _refocus}
    return RefocusModel(NAME, {task: _of(models, work) for task, work in tasks.items()}, models)


def _of(models: DiffCameraModels, work):
    return lambda *args, **given: work(models, *args, **given)


def _bokeh(models, image, defocus, *, aperture, background, steps=STEPS, seed=0, tiling="auto"):
    if models.checkpoint.about.geometry == DEPTH:
        raise RefocusError(_no_depth("the checkpoint"))
    h, w = image.shape[1:3]
    target = of_map(check_defocus(defocus).scaled_to(h, w))
    return _painted(models, image, target, steps, seed, tiling)


def _deblur(models, image, *, strength, defocus, aperture, steps=STEPS, seed=0, tiling="auto"):
    out = _painted(models, image, sharp(len(image)), steps, seed, tiling)
    image = from_device(image)
    return image + strength * (out.to(image) - image), defocus


def _refocus(models, image, *, focus, blur, depth, aperture, steps=0, seed=0, tiling="auto") -> Refocused:
    target = at_point(focus, blur, len(image), None if depth is None else depth.cpu())
    out = _painted(models, image, target, steps or STEPS, seed, tiling)
    return Refocused(out, target.defocus, f"{NAME}: {models.checkpoint.about.describe()}")


def _painted(models, image, target, steps, seed, tiling):
    reference = encode_photo(models, to_device(image))
    return from_device(paint(models, reference, target, image.shape[1:3], steps=steps, seed=seed, tiling=tiling))


def _stack(
    models, image, *, depth, aperture, frames=9, strength=60.0, depth_kind="auto", steps=STEPS, seed=0, tiling="auto"
):
    """A sweep of the focal plane at one seed, so that all frames have their textures in common."""
    if depth is None:
        raise RefocusError(
            "no depth map is connected, but diffcamera finds the focal planes of a stack in one: connect a depth map "
            "of the photo (RefocusDepth makes one)."
        )
    b, h, w, _ = image.shape
    disparity = match_batch(resize_depth(to_disparity(depth, depth_kind), h, w), b, "depth").cpu()
    references = encode_photo(models, to_device(image))
    report, stacks, info = Report(models.model, b * frames * steps), [], []
    for i in range(b):
        one = slice(i, i + 1)
        planes = stack_disparities(disparity[one], frames)
        made = [
            paint(
                models,
                references[one],
                at_plane(plane, strength, disparity[one]),
                (h, w),
                steps=steps,
                seed=seed,
                tiling=tiling,
                report=report,
            )
            for plane in planes
        ]
        stacks.append(from_device(torch.cat(made)))
        info.append(f"focus disparity {planes[0]:.4g} to {planes[-1]:.4g}")
    info.append(f"{NAME}: {models.checkpoint.about.describe()}")
    return stacks, torch.linspace(0, 1, frames).tolist(), "\n".join(info)
