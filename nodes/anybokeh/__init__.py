"""The engine AnyBokeh: any photo refocused on the artist's own FLUX.1-Fill-dev (arXiv 2606.31959)."""

import torch
from comfy_api.latest import io

from ...pipelines.anybokeh.fill import STEPS
from ...pipelines.image.checks import shown
from ...weights.manifest import command, weight_files
from ..flux.widgets import steps_input
from ..host import (
    NONE,
    REFOCUS_FOLDER,
    Refocused,
    RefocusModel,
    file_input,
    from_device,
    is_missing,
    listed,
    path_of,
    rare,
    seed_input,
    sweep_inputs,
)
from .models import AnyBokehModels, load_models
from .run import COC_IS, RADIUS, blurred, refocus, sharpened, swept

NAME = "anybokeh"
PURPOSE = "any photo refocused by FLUX.1-Fill-dev with public LoRAs"
NODES = ()
NOTES = {
    "bokeh": {
        "image": "anybokeh: any photo, sharp or not.",
        "model": "anybokeh leaves quality, highlights, the lens's character, aperture and background aside.",
    },
    "deblur": {"aperture": "anybokeh needs none.", "defocus": "anybokeh estimates it without."},
    "stack": {
        "image": "anybokeh: any photo.",
        "depth": "anybokeh estimates it without.",
        "model": "anybokeh leaves quality, highlights and aperture aside.",
    },
}
LORAS = {
    "stage1_lora": "stage1/pytorch_lora_weights.safetensors",
    "stage2_lora": "stage2/pytorch_lora_weights.safetensors",
}
FILES = {file.path: file for file in weight_files(NAME)}
PROMPTS = next(file.becomes for file in FILES.values() if file.becomes)


def loader_inputs() -> list:
    return [
        io.Model.Input(
            "flux",
            optional=True,
            tooltip="anybokeh: FLUX.1-Fill-dev from any loader, fp8 and GGUF too. It is not changed.",
        ),
        io.Vae.Input("vae", optional=True, tooltip="anybokeh: FLUX.1's VAE."),
        file_input("stage1_lora", "loras", "anybokeh: the LoRA of stage 1, which sees blur and disparity in a photo."),
        file_input("stage2_lora", "loras", "anybokeh: the LoRA of stage 2, which paints the new photo."),
        file_input(
            "prompt_embeds",
            REFOCUS_FOLDER,
            "anybokeh: the stored prompts of both stages, which spare you a text encoder. The command that fetches "
            "AnyBokeh makes this file of the published ones.",
        ),
    ]


def options() -> dict[str, list]:
    return {
        "bokeh": _sampling(),
        "deblur": _sampling(),
        "stack": [*sweep_inputs(), *_sampling()],
        "refocus": [
            rare(
                io.Float.Input(
                    "aperture_ratio",
                    default=0.0,
                    min=0.0,
                    max=64.0,
                    step=0.05,
                    optional=True,
                    tooltip="anybokeh: how many times wider than the photo's own the aperture is opened, as published "
                    "(the photo's f-number divided by the new one). It takes the place of a blur that is not 0, and "
                    "needs a photo that has some. 0: blur is taken.",
                )
            ),
            steps_input(NAME, 0, f"sampling steps of each stage; 0 takes the published {STEPS}.", low=0),
            _seed(),
            _coc_is(),
        ],
    }


def _sampling() -> list:
    steps = steps_input(NAME, STEPS, f"sampling steps of each stage; {STEPS} as published.")
    return [steps, _seed(), _coc_is()]


def _seed() -> io.Int.Input:
    return seed_input("anybokeh: the noise of stage 1 and of the first tile; each further tile takes the next one.")


def _coc_is() -> io.Combo.Input:
    return rare(
        io.Combo.Input(
            "coc_is",
            options=list(COC_IS),
            default=RADIUS,
            optional=True,
            tooltip="anybokeh: whether its blur is the radius or the diameter of a disc. No source tells; if it blurs "
            "half as much as you ask for, choose diameter.",
        )
    )


def why_not(stage1_lora, stage2_lora, prompt_embeds, *, tasks, **models) -> str | None:
    get = f"{command('fetch', NAME)} gets it"
    for widget, name in (("stage1_lora", stage1_lora), ("stage2_lora", stage2_lora)):
        if name == NONE:
            return f"anybokeh needs two LoRAs, but no {widget} is chosen: choose {LORAS[widget]}; {get}."
        if is_missing("loras", _lora(widget, name)):
            return f"{widget} is {shown(name)}, but models/loras has no such file: choose one that is there; {get}."
    if stage1_lora == stage2_lora:
        return "stage1_lora and stage2_lora are one file, but each stage has a LoRA of its own: choose both."
    if prompt_embeds == NONE:
        return f"anybokeh needs its stored prompts, but no prompt_embeds is chosen: choose {PROMPTS}; {get}."
    if is_missing(REFOCUS_FOLDER, prompt_embeds):
        return (
            f"prompt_embeds is {shown(prompt_embeds)}, but models/{REFOCUS_FOLDER} has no such file: choose {PROMPTS}; "
            f"{get}."
        )
    return None


def _lora(widget: str, name: str) -> str:
    return listed("loras", name, FILES[LORAS[widget]])


def load(*, flux, vae, prompt_embeds, **loras) -> RefocusModel:
    first, second = (path_of("loras", _lora(widget, loras[widget])) for widget in LORAS)
    prompts = path_of(REFOCUS_FOLDER, prompt_embeds)
    assert first and second and prompts, "why_not refuses none"
    models = load_models(flux, vae, (first, second), prompts)
    tasks = {"bokeh": _bokeh, "deblur": _deblur, "stack": _stack, "refocus": _refocus}
    return RefocusModel(NAME, {task: _of(models, work) for task, work in tasks.items()}, models, finds_depth=True)


def _of(models: AnyBokehModels, work):
    return lambda *args, **given: work(models, *args, **given)


def _bokeh(models, image, defocus, *, aperture, background, steps=STEPS, seed=0, coc_is=RADIUS):
    return blurred(models, image, defocus, unit=COC_IS[coc_is], steps=steps, seed=seed)


def _deblur(models, image, *, strength, defocus, aperture, steps=STEPS, seed=0, coc_is=RADIUS):
    sharp, blur = sharpened(models, image, defocus, unit=COC_IS[coc_is], steps=steps, seed=seed)
    return torch.lerp(from_device(image).to(sharp), sharp, strength), blur


def _stack(
    models, image, *, depth, aperture, frames=9, strength=60.0, depth_kind="auto", steps=STEPS, seed=0, coc_is=RADIUS
):
    given = {"frames": frames, "strength": strength, "unit": COC_IS[coc_is], "steps": steps, "seed": seed}
    return swept(models, image, depth, depth_kind, **given)


def _refocus(
    models, image, *, focus, blur, depth, aperture, aperture_ratio=0.0, steps=0, seed=0, coc_is=RADIUS
) -> Refocused:
    given = {"ratio": aperture_ratio, "unit": COC_IS[coc_is], "steps": steps or STEPS, "seed": seed}
    return refocus(models, image, focus=focus, blur=blur, depth=depth, **given)
