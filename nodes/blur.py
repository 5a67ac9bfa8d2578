"""BokehSynthesize and DeblurAiF: blur added by a lens, and blur taken away."""

from comfy_api.latest import io
from torch import Tensor

from ..pipelines.image import check_image
from .engines import DEFAULT, inputs, need, noted
from .host import CATEGORY, DefocusMapType, RefocusModelType, Schema, picture, share_input, within_limits
from .views import kept_picture, left_behind


class BokehSynthesize(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="BokehSynthesize",
            display_name="Bokeh Synthesize",
            category=CATEGORY,
            has_intermediate_output=True,
            search_aliases=["lens blur", "depth of field", "bokeh", "refocus"],
            description=noted(
                "bokeh",
                text="Photographs the picture again through a lens: every point becomes the aperture's image at its "
                "own blur, near things cover far ones for each point of the lens, and light adds up as light. Start "
                "from a picture that is sharp everywhere.",
            ),
            inputs=inputs(
                "bokeh",
                io.Image.Input("image", tooltip="Sharp everywhere (DeblurAiF helps). Alpha is dropped, the size kept."),
                DefocusMapType.Input(
                    "defocus",
                    tooltip="One for all images or one each, from RefocusLens; RefocusRack's frames make one image an "
                    "animation.",
                ),
                RefocusModelType.Input("model", optional=True, tooltip=f"Nothing connected: the {DEFAULT} engine."),
                io.Mask.Input(
                    "aperture",
                    optional=True,
                    tooltip="Shape of the opening, from ApertureShapeMask or any mask. Nothing: a circle.",
                ),
                io.Image.Input(
                    "background",
                    optional=True,
                    tooltip="Clean plate: what stands behind the occlusion boundaries. Nothing: filled from around.",
                ),
            ),
            outputs=[io.Image.Output(tooltip="Same size as the image; a frame for each image or defocus map.")],
        )

    @classmethod
    @within_limits
    def execute(cls, image, defocus, model=None, aperture=None, background=None, **options) -> io.NodeOutput:
        bokeh = need(model, "bokeh")
        image = check_image(image)
        made = picture(bokeh(image, defocus, aperture=aperture, background=background, **options))
        return io.NodeOutput(made, ui=left_behind(lambda: compared(image, made)))


class DeblurAiF(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="DeblurAiF",
            display_name="Deblur to All-in-Focus",
            category=CATEGORY,
            has_intermediate_output=True,
            search_aliases=["deblur", "sharpen", "deconvolution", "all in focus", "remove bokeh"],
            description=noted("deblur", text="Takes defocus away."),
            inputs=inputs(
                "deblur",
                io.Image.Input("image", tooltip="The photo to sharpen. Alpha is dropped; the size is kept."),
                share_input(
                    "strength", 1.0, "Share of the correction that is applied. 0 returns the photo as it is.", step=0.05
                ),
                RefocusModelType.Input("model", optional=True, tooltip=f"Nothing connected: the {DEFAULT} engine."),
                DefocusMapType.Input(
                    "defocus", optional=True, tooltip="The blur that the photo HAS. Nothing: estimated from the photo."
                ),
                io.Mask.Input(
                    "aperture", optional=True, tooltip="Shape of the opening that took it. Nothing: a circle."
                ),
            ),
            outputs=[
                io.Image.Output(tooltip="Same size and count as the image."),
                DefocusMapType.Output(
                    display_name="defocus",
                    tooltip="The blur that was given, or estimated from the photo: where the engine does not need it, "
                    "from a copy of at most 0.25 megapixel.",
                ),
            ],
        )

    @classmethod
    @within_limits
    def execute(cls, image, strength, model=None, defocus=None, aperture=None, **options) -> io.NodeOutput:
        image = check_image(image)
        sharp, blur = need(model, "deblur")(image, strength=strength, defocus=defocus, aperture=aperture, **options)
        sharp, blur = picture(sharp), need(None, "estimate")(image) if blur is None else blur
        return io.NodeOutput(sharp, blur, ui=left_behind(lambda: compared(image, sharp)))


def compared(before: Tensor, after: Tensor) -> dict:
    """For the page: the first picture before and after, and how many there are. {before, after: entries; of}"""
    return {"before": kept_picture(before[0]), "after": kept_picture(after[0]), "of": len(after)}
