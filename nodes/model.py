"""LoadRefocusModel: which engine does the work."""

import os

import folder_paths
from comfy_api.latest import io

from ..pipelines.engines import ENGINES, RefocusModel
from ..pipelines.image.checks import RefocusError
from ..weights.manifest import still_needed, weight_files
from .genfocus.parts import load_parts
from .host import CATEGORY, RefocusModelType, Schema
from .learn2refocus.models import load_parts as load_svd_parts

NONE = "none"


def missing_files(engine: str) -> list:
    """The manifest's files of this engine that no folder of the host holds under their own name."""

    def present(f):
        names = folder_paths.get_filename_list(f.folder)
        return any(os.path.basename(n) == os.path.basename(f.path) for n in names)

    return still_needed(weight_files(engine), present)


def why_not(engine: str) -> str | None:
    """One sentence that says why an engine cannot run here, or None."""
    if ENGINES[engine].ready:
        return None
    files = weight_files(engine)
    said = f"the engine {engine} ({ENGINES[engine].purpose}) cannot run in this version of Rackfocus yet"
    if not files:
        return f"{said}, and no weights of it are public: choose optical."
    missing = missing_files(engine)
    if not missing:
        return f"{said}, although its files are here: choose optical, or update Rackfocus."
    return f"{said}, and it will need files that are not here: {'; '.join(map(str, missing))}. Choose optical."


def no_lora(engine: str, *chosen: str) -> str | None:
    """Genfocus without any of its LoRAs: which files there are, or None."""
    if engine != "genfocus" or any(name != NONE for name in chosen):
        return None
    files = [f for f in weight_files(engine) if f.folder == "loras"]
    return (
        "genfocus needs a deblur_lora, a bokeh_lora or both, and none is chosen: choose one, or get "
        f"{'; '.join(map(str, files))}."
    )


def no_unet(engine: str, chosen: str) -> str | None:
    """learn2refocus without its UNet: which file to get, or None."""
    if engine != "learn2refocus" or chosen != NONE:
        return None
    return (
        "learn2refocus needs its UNet, and none is chosen in refocus_unet: choose it, or get "
        f"{next(map(str, weight_files(engine)))}."
    )


class LoadRefocusModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="LoadRefocusModel",
            display_name="Load Refocus Model",
            category=CATEGORY,
            search_aliases=["genfocus", "learn2refocus", "bokeh model", "deblur model"],
            description="Chooses the engine for the other nodes. They use the optical engine when nothing is "
            "connected, so this node is only needed to choose another one.",
            inputs=[
                io.Combo.Input(
                    "engine",
                    options=list(ENGINES),
                    default="optical",
                    tooltip="\n".join(
                        f"{e.name}: {e.purpose}{'' if e.ready else ' (not in this version yet)'}"
                        for e in ENGINES.values()
                    ),
                ),
                _lora(
                    "deblur_lora",
                    "DeblurNet, for DeblurAiF. A file with pre_deblur in its name is given a black "
                    "picture where no pre-deblurred one is connected.",
                ),
                _lora("bokeh_lora", "BokehNet, for BokehSynthesize."),
                _lora("aperture_lora", "for the aperture's shape as a third condition. None is public so far."),
                io.Model.Input(
                    "flux",
                    optional=True,
                    tooltip="genfocus: FLUX.1-dev from any loader, fp8 and GGUF too, with your own LoRAs if "
                    "you like. It is not changed.",
                ),
                io.Clip.Input("clip", optional=True, tooltip="genfocus: T5 and CLIP-L, DualCLIPLoader of type flux."),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="genfocus: FLUX.1's VAE. learn2refocus: that of ImageOnlyCheckpointLoader.",
                ),
                io.Combo.Input(
                    "refocus_unet",
                    options=[NONE, *folder_paths.get_filename_list("diffusion_models")],
                    default=NONE,
                    optional=True,
                    tooltip="learn2refocus: the fine-tuned UNet, diffusion_pytorch_model.safetensors. SVD's "
                    "own UNet in diffusers' format has the same names and shapes: it cannot be told "
                    "apart and makes a video, not a focal stack.",
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="learn2refocus: that of ImageOnlyCheckpointLoader with svd.safetensors.",
                ),
            ],
            outputs=[
                RefocusModelType.Output(
                    display_name="model", tooltip="For BokehSynthesize, DeblurAiF and FocalStackGenerate."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, engine, deblur_lora=NONE, bokeh_lora=NONE, refocus_unet=NONE):
        return why_not(engine) or no_lora(engine, deblur_lora, bokeh_lora) or no_unet(engine, refocus_unet) or True

    @classmethod
    def execute(
        cls,
        engine,
        deblur_lora=NONE,
        bokeh_lora=NONE,
        aperture_lora=NONE,
        flux=None,
        clip=None,
        vae=None,
        refocus_unet=NONE,
        clip_vision=None,
    ) -> io.NodeOutput:
        why = why_not(engine) or no_lora(engine, deblur_lora, bokeh_lora) or no_unet(engine, refocus_unet)
        if why:
            raise RefocusError(why)
        if engine == "learn2refocus":
            path = folder_paths.get_full_path_or_raise("diffusion_models", refocus_unet)
            return io.NodeOutput(RefocusModel(engine, load_svd_parts(path, clip_vision, vae)))
        if engine != "genfocus":
            return io.NodeOutput(RefocusModel(engine))
        chosen = {"deblur": deblur_lora, "bokeh": bokeh_lora, "aperture": aperture_lora}
        files = {
            part: None if name == NONE else folder_paths.get_full_path_or_raise("loras", name)
            for part, name in chosen.items()
        }
        return io.NodeOutput(RefocusModel(engine, load_parts(flux, clip, vae, files)))


def _lora(name: str, purpose: str):
    return io.Combo.Input(
        name,
        options=[NONE, *folder_paths.get_filename_list("loras")],
        default=NONE,
        optional=True,
        tooltip=f"genfocus: the LoRA {purpose}",
    )
