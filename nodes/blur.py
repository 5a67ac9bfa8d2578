"""BokehSynthesize and DeblurAiF: blur added by a lens, and blur taken away."""

from comfy_api.latest import io

from ..pipelines.engines import RefocusModel
from ..pipelines.genfocus.setups import BOKEH, DEBLUR
from ..pipelines.image.checks import RefocusError, check_image
from ..pipelines.optical import SAMPLES, deblur, estimate_coarse, estimate_defocus, render_bokeh
from ..pipelines.optical.bokeh.highlights import HIGHLIGHT_GAIN
from ..pipelines.optics import DefocusMap
from .genfocus.prepare import prepare_bokeh, prepare_deblur
from .genfocus.run import run
from .genfocus.widgets import diffusion_inputs
from .host import CATEGORY, DefocusMapType, RefocusModelType, Schema, from_device, progress_bar, to_device


def parts_of(model: RefocusModel | None):
    """The models of the genfocus engine, None for the optical one; RefocusError for any other."""
    if isinstance(model, RefocusModel) and model.engine == "genfocus" and model.parts is not None:
        return model.parts
    return require_optical(model)


def require_optical(model: RefocusModel | None):
    if model is not None and model.engine != "optical":
        raise RefocusError(
            f"the engine {model.engine} cannot do this yet, but optical can: choose it in "
            "LoadRefocusModel or disconnect the model."
        )


class BokehSynthesize(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="BokehSynthesize",
            display_name="Bokeh Synthesize",
            category=CATEGORY,
            search_aliases=["lens blur", "depth of field", "bokeh", "refocus"],
            description="Photographs the picture again through a lens: every point becomes the aperture's image at "
            "its own blur, near things cover far ones for each point of the lens, and light adds up as "
            "light. Start from a picture that is sharp everywhere.",
            inputs=[
                io.Image.Input("image", tooltip="Sharp everywhere (DeblurAiF helps). Alpha is dropped, the size kept."),
                DefocusMapType.Input(
                    "defocus",
                    tooltip="One for all images or one each, from RefocusLens; "
                    "RefocusRack's frames make one image an animation.",
                ),
                io.Combo.Input(
                    "quality",
                    options=list(SAMPLES),
                    default="best",
                    tooltip="best looks through more points of the lens; fast is for finding the look.",
                ),
                io.Float.Input(
                    "highlights",
                    default=HIGHLIGHT_GAIN,
                    min=1.0,
                    max=100.0,
                    step=0.5,
                    tooltip="How many times white a small clipped light is taken to be, so that its disc "
                    "glows in the colour of its rim. Walls and skies are left alone. 1: off.",
                ),
                RefocusModelType.Input(
                    "model",
                    optional=True,
                    tooltip="Nothing connected: the optical engine. genfocus leaves quality, "
                    "highlights, the lens's character and background aside.",
                ),
                io.Mask.Input(
                    "aperture",
                    optional=True,
                    tooltip="Shape of the opening, from ApertureShapeMask or any mask. Nothing: a circle.",
                ),
                io.Image.Input(
                    "background",
                    optional=True,
                    tooltip="Clean plate: what stands behind the silhouettes. Nothing: filled from around.",
                ),
                io.Float.Input(
                    "cats_eye",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Optical vignetting: discs narrow to cat's eyes towards the corners and stay "
                    "whole in the centre. 1: half of the opening is left in the corners.",
                ),
                io.Float.Input(
                    "spherical",
                    optional=True,
                    default=0.0,
                    min=-1.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Spherical aberration. Above 0: soap bubbles with bright rims behind the focal "
                    "plane, soft discs with bright middles in front. Below 0: the other way round.",
                ),
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
                ),
                *diffusion_inputs(BOKEH),
            ],
            outputs=[io.Image.Output(tooltip="Same size as the image; a frame for each image or defocus map.")],
        )

    @classmethod
    def execute(
        cls,
        image,
        defocus,
        quality,
        highlights,
        model=None,
        aperture=None,
        background=None,
        cats_eye=0.0,
        spherical=0.0,
        chromatic=0.0,
        prompt=BOKEH.prompt,
        steps=BOKEH.steps,
        guidance=BOKEH.guidance,
        seed=0,
        tiling="auto",
    ) -> io.NodeOutput:
        parts = parts_of(model)
        image = check_image(image)
        if parts:
            prepared = prepare_bokeh(parts, image, defocus, aperture, prompt=prompt, guidance=guidance, tiling=tiling)
            return io.NodeOutput(from_device(run(prepared, parts.vae, image.shape[1:3], steps=steps, seed=seed)))
        out = render_bokeh(
            to_device(image),
            _on_device(defocus),
            aperture=to_device(aperture),
            background=to_device(background),
            quality=quality,
            highlights=highlights,
            cats_eye=cats_eye,
            spherical=spherical,
            chromatic=chromatic * image.shape[2] / 1000,
            progress=progress_bar(),
        )
        return io.NodeOutput(from_device(out))


class DeblurAiF(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="DeblurAiF",
            display_name="Deblur to All-in-Focus",
            category=CATEGORY,
            search_aliases=["deblur", "sharpen", "deconvolution", "all in focus", "remove bokeh"],
            description="Takes defocus away. The optical engine sharpens mild defocus by deconvolution and needs no "
            "weights; detail that a large blur has destroyed it cannot bring back.",
            inputs=[
                io.Image.Input("image", tooltip="The photo to sharpen. Alpha is dropped; the size is kept."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Share of the correction that is applied. 0 returns the photo as it is.",
                ),
                RefocusModelType.Input("model", optional=True, tooltip="Nothing connected: the optical engine."),
                DefocusMapType.Input(
                    "defocus", optional=True, tooltip="The blur that the photo HAS. Nothing: estimated from the photo."
                ),
                io.Mask.Input(
                    "aperture",
                    optional=True,
                    tooltip="Shape of the opening that took it. Nothing: a circle. genfocus needs none.",
                ),
                io.Image.Input(
                    "pre_deblurred",
                    optional=True,
                    tooltip="genfocus: the same photo as something else has sharpened it.",
                ),
                *diffusion_inputs(DEBLUR),
            ],
            outputs=[
                io.Image.Output(tooltip="Same size and count as the image."),
                DefocusMapType.Output(
                    display_name="defocus",
                    tooltip="The blur that was given, or estimated from the photo; with "
                    "genfocus from a copy of at most 0.25 megapixel.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        image,
        strength,
        model=None,
        defocus=None,
        aperture=None,
        pre_deblurred=None,
        prompt=DEBLUR.prompt,
        steps=DEBLUR.steps,
        guidance=DEBLUR.guidance,
        seed=0,
        tiling="auto",
    ) -> io.NodeOutput:
        parts = parts_of(model)
        image = to_device(check_image(image))
        estimate = estimate_coarse if parts else estimate_defocus  # genfocus itself does not need it
        defocus = _on_device(defocus) if defocus else estimate(image, progress=progress_bar())
        if parts:
            prepared = prepare_deblur(parts, image, pre_deblurred, prompt=prompt, guidance=guidance, tiling=tiling)
            out = run(prepared, parts.vae, image.shape[1:3], steps=steps, seed=seed).to(image)
            out = image + strength * (out - image)
            return io.NodeOutput(from_device(out), DefocusMap(from_device(defocus.radius)))
        out = deblur(image, defocus, aperture=to_device(aperture), strength=strength, progress=progress_bar())
        return io.NodeOutput(from_device(out), DefocusMap(from_device(defocus.radius)))


def _on_device(defocus):
    return DefocusMap(to_device(defocus.radius)) if isinstance(defocus, DefocusMap) else defocus
