"""The engine Genfocus: all-in-focus and bokeh on the artist's own FLUX.1-dev (arXiv 2512.16923)."""

from comfy_api.latest import io

from ...pipelines.genfocus.setups import BOKEH, DEBLUR
from ...pipelines.image.checks import shown
from ...weights.manifest import weight_files
from ..host import NONE, RefocusModel, file_input, from_device, is_missing, path_of, rare, to_device
from .nodes import GenfocusConditioning
from .prepare import GenfocusModels, load_models, prepare_bokeh, prepare_deblur, run
from .widgets import diffusion_inputs

NAME = "genfocus"
PURPOSE = "all-in-focus and bokeh by FLUX.1-dev with LoRAs"
NODES = (GenfocusConditioning,)
NOTES = {
    "bokeh": {"model": "genfocus leaves quality, highlights, the lens's character and background aside."},
    "deblur": {"aperture": "genfocus needs none."},
}
LORAS = ("deblur_lora", "bokeh_lora", "aperture_lora")


def loader_inputs() -> list:
    return [
        file_input(
            "deblur_lora",
            "loras",
            "genfocus: the LoRA DeblurNet, for DeblurAiF. A file with pre_deblur in its name is given a black "
            "picture where no pre-deblurred one is connected.",
        ),
        file_input("bokeh_lora", "loras", "genfocus: the LoRA BokehNet, for BokehSynthesize."),
        rare(
            file_input(
                "aperture_lora",
                "loras",
                "genfocus: the LoRA for the aperture's shape as a third condition. None is public so far.",
            )
        ),
        io.Model.Input(
            "flux",
            optional=True,
            tooltip="genfocus: FLUX.1-dev from any loader, fp8 and GGUF too, with your own LoRAs if you like. It is "
            "not changed.",
        ),
        io.Clip.Input("clip", optional=True, tooltip="genfocus: T5 and CLIP-L, DualCLIPLoader of type flux."),
        io.Vae.Input("vae", optional=True, tooltip="genfocus: FLUX.1's VAE."),
    ]


def options() -> dict[str, list]:
    pre_deblurred = io.Image.Input(
        "pre_deblurred", optional=True, tooltip="genfocus: the same photo as something else has sharpened it."
    )
    return {"bokeh": diffusion_inputs(BOKEH), "deblur": [pre_deblurred, *diffusion_inputs(DEBLUR)]}


def why_not(*, tasks, flux=None, clip=None, vae=None, **loras) -> str | None:
    if loras["deblur_lora"] == loras["bokeh_lora"] == NONE:
        return f"genfocus needs a deblur_lora, a bokeh_lora or both, and none is chosen: choose one, or get {_files()}."
    for widget, name in loras.items():
        what = widget.removesuffix("_lora")
        if is_missing("loras", name):
            get = f"choose one that is there, or get {_files(what)}" if _files(what) else "choose one that is there"
            return f"{widget} is {shown(name)}, but models/loras has no such file: {get}."
        if what in tasks and name == NONE:
            return f"no {widget} is chosen, but a node of this graph needs it: choose one, or get {_files(what)}."
    return None


def _files(what: str = "") -> str:
    """The LoRA for a task, or for every one."""
    names = {"deblur": "deblurNet.safetensors", "bokeh": "bokehNet.safetensors"}
    wanted = [name for task, name in names.items() if what in ("", task)]
    return "; ".join(str(f) for f in weight_files(NAME) if f.path in wanted)


def load(*, flux, clip, vae, **loras) -> RefocusModel:
    files = {name.removesuffix("_lora"): path_of("loras", loras[name]) for name in LORAS}
    models = load_models(flux, clip, vae, files)

    def bokeh(*args, **given):
        return _bokeh(models, *args, **given)

    def deblur(*args, **given):
        return _deblur(models, *args, **given)

    return RefocusModel(NAME, {"bokeh": bokeh, "deblur": deblur}, models)


def _bokeh(
    models: GenfocusModels,
    image,
    defocus,
    *,
    aperture,
    background,
    prompt=BOKEH.prompt,
    steps=BOKEH.steps,
    guidance=BOKEH.guidance,
    seed=0,
    tiling="auto",
):
    prepared = prepare_bokeh(models, image, defocus, aperture, prompt=prompt, guidance=guidance, tiling=tiling)
    return from_device(run(prepared, models.vae, image.shape[1:3], steps=steps, seed=seed))


def _deblur(
    models: GenfocusModels,
    image,
    *,
    strength,
    defocus,
    aperture,
    pre_deblurred=None,
    prompt=DEBLUR.prompt,
    steps=DEBLUR.steps,
    guidance=DEBLUR.guidance,
    seed=0,
    tiling="auto",
):
    image = to_device(image)
    prepared = prepare_deblur(models, image, pre_deblurred, prompt=prompt, guidance=guidance, tiling=tiling)
    out = run(prepared, models.vae, image.shape[1:3], steps=steps, seed=seed).to(image)
    return from_device(image + strength * (out - image)), defocus
