"""The optical engine: our own lens simulation, focal stacks and deconvolution; it needs no files."""

from collections.abc import Callable

import torch
from comfy_api.latest import io

from ..pipelines.image import RefocusError, match_batch
from ..pipelines.optical import (
    HIGHLIGHT_GAIN,
    SAMPLES,
    deblur,
    estimate_coarse,
    estimate_defocus,
    refocus,
    rehearsal,
    render_bokeh,
    render_stack,
    stack_disparities,
)
from ..pipelines.optics import from_1000, resize_depth, to_disparity
from .host import (
    Refocused,
    RefocusModel,
    device_for,
    from_device,
    progress_bar,
    rare,
    share_input,
    sweep_inputs,
    to_device,
)

NAME = "optical"
STEPS = 10_000  # of a bar that several jobs share
ESTIMATION = 0.1  # of the time that deblurring takes as a whole
PURPOSE = "lens simulation, focus stacking and deconvolution; no weights"
NODES = ()
NOTES = {
    "deblur": {
        "": "The optical engine sharpens mild defocus by deconvolution and needs no weights; detail that a large blur "
        "has destroyed it cannot bring back."
    },
    "stack": {
        "": "The optical engine needs a depth map;",
        "image": "Optical: sharp everywhere.",
        "depth": "The optical engine cannot do without.",
    },
}


def loader_inputs() -> list:
    return []


def options() -> dict[str, list]:
    return {
        "bokeh": [
            _quality("best", "best looks through more points of the lens; fast is for finding the look."),
            _highlights(
                "How many times white a small clipped highlight is taken to be, so that its disc glows in the colour "
                "of its rim. Walls and skies are left alone. 1: off."
            ),
            share_input(
                "cats_eye",
                0.0,
                "Optical vignetting: discs narrow to cat's eyes towards the corners and stay "
                "whole in the centre. 1: half of the opening is left in the corners.",
                step=0.05,
                optional=True,
            ),
            rare(
                share_input(
                    "spherical",
                    0.0,
                    "Spherical aberration. Above 0: soap bubbles with bright rims behind the focal "
                    "plane, soft discs with bright middles in front. Below 0: the other way round.",
                    low=-1.0,
                    step=0.05,
                    optional=True,
                )
            ),
            rare(
                io.Float.Input(
                    "chromatic",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=50.0,
                    step=0.1,
                    tooltip="Axial colour, in pixels of a picture 1000 px wide: green rims behind the focal "
                    "plane, magenta rims in front. What is in focus keeps its colours. Takes twice "
                    "the time.",
                )
            ),
        ],
        "deblur": [],
        "estimate": [],
        "refocus": [
            _quality("best", "best looks through more points of the lens; fast is for finding the look."),
            _highlights(
                "How many times white a small clipped highlight is taken to be, so that its disc glows in the colour "
                "of its rim. 1: off."
            ),
        ],
        "stack": [
            *sweep_inputs(),
            _quality("fast", "best looks through more points of the lens and takes longer."),
            _highlights("How much brighter than white a small clipped highlight is taken to be. 1: off."),
        ],
    }


def _quality(default: str, tooltip: str) -> io.Combo.Input:
    return io.Combo.Input("quality", options=list(SAMPLES), default=default, tooltip=tooltip)


def _highlights(tooltip: str) -> io.Float.Input:
    return io.Float.Input("highlights", default=HIGHLIGHT_GAIN, min=1.0, max=100.0, step=0.5, tooltip=tooltip)


def why_not(*, tasks) -> str | None:
    return None


def load() -> RefocusModel:
    tasks: dict[str, Callable] = {
        "bokeh": _bokeh,
        "deblur": _deblur,
        "stack": _stack,
        "estimate": _estimate,
        "refocus": _refocus,
    }
    return RefocusModel(NAME, tasks)


def _share(bar, start: float, end: float):
    """A progress for one part of a job, from start to end of a bar of STEPS."""
    return lambda done, total: bar(round(STEPS * (start + (end - start) * done / total)), STEPS)


def _bokeh(image, defocus, *, aperture, background, chromatic=0.0, **given):
    device = device_for("lens blur", rehearsal.lens_blur)
    return from_device(
        render_bokeh(
            to_device(image, device),
            to_device(defocus, device),
            aperture=to_device(aperture, device),
            background=to_device(background, device),
            chromatic=from_1000(chromatic, image.shape[2]),
            progress=progress_bar(),
            **given,
        )
    )


def _deblur(image, *, strength, defocus, aperture):
    bar = progress_bar()
    if defocus is None:
        estimated = to_device(image, device_for("estimation of blur", rehearsal.blur_estimation))
        defocus = estimate_defocus(estimated, progress=_share(bar, 0.0, ESTIMATION))
    device = device_for("deblurring", rehearsal.deblurring)
    image, defocus, aperture = (to_device(t, device) for t in (image, defocus, aperture))
    out = deblur(image, defocus, aperture=aperture, strength=strength, progress=_share(bar, ESTIMATION, 1.0))
    return from_device(out), from_device(defocus)


def _refocus(image, *, focus, blur, depth, aperture, **given):
    device = device_for("lens blur", rehearsal.lens_blur)
    device_for("deblurring", rehearsal.deblurring)
    made = refocus(
        to_device(image, device),
        None if depth is None else to_device(depth, device),
        focus=focus,
        blur=from_1000(blur, image.shape[2]),
        aperture=to_device(aperture, device),
        progress=progress_bar(),
        **given,
    )
    return Refocused(
        from_device(made.image),
        from_device(made.defocus),
        f"{NAME}: no weights; {made.describe()}",
        source=from_device(made.source),
        disparity=None if made.disparity is None else from_device(made.disparity),
    )


def _estimate(image):
    device = device_for("estimation of blur", rehearsal.blur_estimation)
    return from_device(estimate_coarse(to_device(image, device), progress=progress_bar()))


def _stack(image, *, depth, depth_kind, frames, strength, aperture, **given):
    if depth is None:
        raise RefocusError(
            "no depth map is connected, but the optical engine needs one to make a focal stack: "
            "connect a depth map of the photo."
        )
    device = device_for("lens blur", rehearsal.lens_blur)
    image, aperture = to_device(image, device), to_device(aperture, device)
    b, h, w, _ = image.shape
    bar, stacks, info = progress_bar(), [], []
    bar(0, STEPS)
    disparity = match_batch(resize_depth(to_device(to_disparity(depth, depth_kind), device), h, w), b, "depth")
    for i in range(b):
        one = disparity[i : i + 1]
        planes = stack_disparities(one, frames)
        part = _share(bar, i / b, (i + 1) / b)
        stack = render_stack(
            image[i : i + 1], one, planes, from_1000(strength, w), aperture=aperture, progress=part, **given
        )
        stacks.append(from_device(stack))
        info.append(f"focus disparity {planes[0]:.4g} to {planes[-1]:.4g}")
    return stacks, torch.linspace(0, 1, frames).tolist(), "\n".join(info)
