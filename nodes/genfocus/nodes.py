"""GenfocusConditioning: Genfocus for the host's own samplers."""

from comfy_api.latest import io

from ...pipelines.genfocus.setups import BOKEH, DEBLUR
from ...pipelines.image.checks import check_image
from ..flux.widgets import tiling_input
from ..host import CATEGORY, DefocusMapType, RefocusModelType, Schema, from_device, models_of, within_limits
from .prepare import prepare_bokeh, prepare_deblur
from .widgets import ENGINE

TASKS = {"deblur": DEBLUR, "bokeh": BOKEH}


class GenfocusConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="GenfocusConditioning",
            display_name="Genfocus Conditioning",
            category=CATEGORY,
            search_aliases=["genfocus", "refocus conditioning", "omini control"],
            description="Genfocus for KSampler and SamplerCustomAdvanced: a MODEL that sees the condition images, its "
            "conditioning and an empty latent. Combine it with your own sampler, sigmas, LoRAs and "
            "ControlNets; scheduler simple, sampler euler and cfg 1 are as published. Attention masks of "
            "style models are ignored.",
            inputs=[
                RefocusModelType.Input("model", tooltip="From LoadRefocusModel with the engine genfocus."),
                io.Image.Input(
                    "image", tooltip="deblur: the blurred photo. bokeh: a picture that is sharp everywhere."
                ),
                io.Combo.Input(
                    "task",
                    options=list(TASKS),
                    default="deblur",
                    tooltip="deblur takes defocus away; bokeh adds the blur of the defocus map.",
                ),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    tooltip="What the result should be. Empty: the prompt the task was trained with.",
                ),
                io.Float.Input(
                    "guidance",
                    default=0.0,
                    min=0.0,
                    max=20.0,
                    step=0.1,
                    tooltip="FLUX guidance. 0: as published, 3.5 to deblur and 1 for bokeh.",
                ),
                tiling_input(ENGINE),
                DefocusMapType.Input("defocus", optional=True, tooltip="bokeh: from RefocusLens."),
                io.Image.Input(
                    "pre_deblurred", optional=True, tooltip="deblur: the photo as something else has sharpened it."
                ),
                io.Mask.Input(
                    "aperture",
                    optional=True,
                    tooltip="bokeh: shape of the opening; needs an aperture LoRA in LoadRefocusModel.",
                ),
            ],
            outputs=[
                io.Model.Output(tooltip="Your MODEL with Genfocus hooked in; the one you loaded is not changed."),
                io.Conditioning.Output(display_name="positive", tooltip="Prompt and condition images."),
                io.Conditioning.Output(
                    display_name="negative",
                    tooltip="The same with black images. It matters with a "
                    "cfg other than 1, which then is the image guidance.",
                ),
                io.Latent.Output(
                    tooltip="Empty, of the size that the conditions have: the image's, grown to multiples of 16 pixels."
                ),
            ],
        )

    @classmethod
    @within_limits
    def execute(
        cls, model, image, task, prompt, guidance, tiling="auto", defocus=None, pre_deblurred=None, aperture=None
    ) -> io.NodeOutput:
        models = models_of(model, "genfocus")
        settings = {
            "prompt": prompt.strip() or TASKS[task].prompt,
            "guidance": guidance or TASKS[task].guidance,
            "tiling": tiling,
            "black": True,
        }
        image = check_image(image)
        if task == "deblur":
            prepared = prepare_deblur(models, image, pre_deblurred, **settings)
        else:
            prepared = prepare_bokeh(models, image, defocus, aperture, **settings)
        return io.NodeOutput(
            prepared.model, prepared.positive(), prepared.negative(), {"samples": from_device(prepared.latent)}
        )
