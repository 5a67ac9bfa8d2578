"""RefocusDepth: a depth map from the picture alone."""

import comfy.model_management as mm
import folder_paths
import torch
from comfy_api.latest import io, ui

from ..pipelines.depth import MEANINGS, estimate_depth, find_models, load_depth_model
from ..pipelines.image.checks import RefocusError, check_image, cut, shown
from ..pipelines.optics import show_depth
from ..weights.manifest import command, weight_files
from .abilities import patcher_of
from .host import CATEGORY, REFOCUS_FOLDER, Schema, acts, from_device, progress_bar, rare

NONE = "none installed"
# A string that a combo of the host takes as well: STRING alone is refused there.
KindType = io.Custom("COMBO,STRING")
# Peak activations in 32 bits for each pixel that the network sees: measured 0.9 kB with ViT-S and 2.4 kB with ViT-L.
BYTES_PER_PIXEL = 3072


def installed() -> dict[str, str]:
    """{name: path} of the depth models in the host's refocus folders."""
    return find_models(
        folder_paths.get_filename_list(REFOCUS_FOLDER), lambda name: folder_paths.get_full_path(REFOCUS_FOLDER, name)
    )


def why_not(model: str) -> str | None:
    """One sentence that says why a depth model cannot be used, or None."""
    found = installed()
    if isinstance(model, str) and model in found:
        return None
    if found:
        listed = cut(", ".join(found), 200)
        return (
            f"the depth model {shown(model)} is not in models/{REFOCUS_FOLDER}, but one of {listed} is "
            "needed: choose one of these, or put it there."
        )
    return (
        f"no depth model is installed: {command('fetch', 'depth')} gets {weight_files('depth')[0].path}, and a "
        f"transformers folder of Depth Anything V2, Depth Pro or another depth model (config.json and its files) in "
        f"models/{REFOCUS_FOLDER} will do, too."
    )


class RefocusDepth(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="RefocusDepth",
            display_name="Refocus Depth",
            category=CATEGORY,
            search_aliases=["depth map", "depth anything", "depth pro", "depth estimation", "monocular depth"],
            description="Estimates depth from the picture, in float and in the picture's size, for RefocusLens, and "
            "shows it, near white. Takes the depth models in models/refocus: transformers folders (Depth Anything V2, "
            "Depth Pro, ZoeDepth, DPT, GLPN) and Depth Anything V2 as one safetensors file.",
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="Picture or clip. Each frame is looked at by itself; the scale is one "
                    "for all, so that a clip does not pump.",
                ),
                io.Combo.Input(
                    "model",
                    options=list(installed()) or [NONE],
                    tooltip="A model in models/refocus: a folder, or a Depth Anything V2 file. Nothing is downloaded.",
                ),
                rare(
                    io.Combo.Input(
                        "meaning",
                        options=["auto", *MEANINGS],
                        default="auto",
                        tooltip="What the model's numbers mean. auto: what its configuration says; DPT does "
                        "not say and is taken as disparity. metres or disparity overrules it.",
                    )
                ),
                acts(
                    io.Float.Input(
                        "nearest_m",
                        default=0.0,
                        min=0.0,
                        max=10000.0,
                        step=0.01,
                        tooltip="For relative models. 0: disparity whose largest value is 1, which counts as if "
                        "the nearest point stood at 1 m. Above 0: metres to the nearest point of the "
                        "whole batch, which turns the map into 1/m for a strength in metres and a "
                        "camera. Not used with metric models.",
                    ),
                    meaning=["auto", "disparity"],
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="depth", tooltip="Float, not quantised: metres, 1/metres or disparity."),
                KindType.Output(
                    display_name="depth_kind",
                    tooltip="What depth holds: connect it to depth_kind of RefocusLens, or to a text.",
                ),
                io.String.Output(display_name="info", tooltip="Model, range and scale."),
            ],
        )

    @classmethod
    def validate_inputs(cls, model=None):
        return True if model is None else why_not(model) or True  # a linked name is not known yet

    @classmethod
    def execute(cls, image, model, meaning, nearest_m) -> io.NodeOutput:
        why = why_not(model)
        if why:
            raise RefocusError(why)
        image = check_image(image)
        depth_model = load_depth_model(installed()[model], model)
        height, width = depth_model.pixels.target(*image.shape[1:3])
        # The patcher writes to the module it is given, and transformers' own has a `device` that cannot be written.
        patcher = patcher_of(torch.nn.ModuleList([depth_model.net]))
        mm.load_models_gpu([patcher], memory_required=height * width * BYTES_PER_PIXEL)
        made = estimate_depth(
            depth_model,
            image,
            meaning=meaning,
            nearest_m=nearest_m,
            device=patcher.load_device,
            progress=progress_bar(),
        )
        depth = from_device(made.depth)
        shown = ui.PreviewImage(show_depth(depth, made.kind), cls=cls)
        return io.NodeOutput(depth, made.kind, made.info, ui=shown)
