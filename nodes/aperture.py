"""ApertureShapeMask: the opening that a point of light takes the shape of."""

from comfy_api.latest import io, ui

from ..pipelines.optics import SHAPES, aperture_from_image, aperture_mask
from .host import CATEGORY, Schema, acts, from_device, share_input, within_limits
from .views import left_behind

# No picture is connected, which would take the place of the shape.
DRAWN = {"image": [None]}


class ApertureShapeMask(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="ApertureShapeMask",
            display_name="Aperture Shape",
            category=CATEGORY,
            has_intermediate_output=True,
            search_aliases=["bokeh shape", "iris", "blades", "heart bokeh", "anamorphic"],
            description="Draws the lens opening as seen from the front. Out-of-focus lights take its shape: mirrored "
            "behind the focal plane, and turned by 180 degrees in front of it.",
            inputs=[
                acts(
                    io.Combo.Input(
                        "shape",
                        options=list(SHAPES),
                        default="iris",
                        tooltip="iris: circle or blades. ring: bright rim, soap-bubble bokeh. heart. star: "
                        "blades sets its points. cats_eye: cut by a second circle, as at the edge of "
                        "a vignetted field.",
                    ),
                    **DRAWN,
                ),
                acts(
                    io.Int.Input(
                        "blades",
                        default=0,
                        min=0,
                        max=64,
                        tooltip="Corners of the iris or points of the star. 0 is a circle (a star then has 5); 1 "
                        "and 2 are refused.",
                    ),
                    shape={"not": ["heart"]},
                    **DRAWN,
                ),
                acts(
                    share_input("roundness", 0.0, "Bends the blades outwards: 0 straight, 1 a full circle."),
                    {"shape": ["star"], **DRAWN},
                    {"shape": {"not": ["heart"]}, "blades": {"not": [0]}, **DRAWN},
                ),
                acts(
                    io.Float.Input(
                        "rotation",
                        default=0.0,
                        min=-360.0,
                        max=360.0,
                        step=1.0,
                        tooltip="Degrees, counter-clockwise as seen from the front.",
                    ),
                    {"image": {"not": [None]}},
                    {"shape": {"not": ["iris", "ring"]}},
                    {"blades": {"not": [0]}},
                ),
                io.Float.Input(
                    "squeeze",
                    default=1.0,
                    min=0.25,
                    max=4.0,
                    step=0.05,
                    tooltip="Anamorphic: 2 makes discs twice as tall as wide, 0.5 twice as wide as tall.",
                ),
                acts(
                    share_input(
                        "inner", 0.5, "Ring: how dark its middle is. Star: how far its valleys are from the centre."
                    ),
                    shape=["ring", "star"],
                    **DRAWN,
                ),
                acts(
                    share_input("offset", 0.5, "Cat's eye: how far the second circle is shifted, in radii."),
                    shape=["cats_eye"],
                    **DRAWN,
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="Any picture as the opening: its brightness lets the light pass. Replaces "
                    "shape, blades, roundness, inner and offset; rotation and squeeze still apply.",
                ),
            ],
            outputs=[io.Mask.Output(display_name="aperture", tooltip="256 x 256, white where light passes.")],
        )

    @classmethod
    @within_limits
    def execute(cls, shape, blades, roundness, rotation, squeeze, inner, offset, image=None) -> io.NodeOutput:
        if image is not None:
            mask = aperture_from_image(image, rotation=rotation, squeeze=squeeze)
        else:
            mask = aperture_mask(
                shape=shape,
                blades=blades,
                roundness=roundness,
                rotation=rotation,
                squeeze=squeeze,
                inner=inner,
                offset=offset,
            )
        mask = from_device(mask)
        preview = ui.PreviewMask(mask, cls=cls).as_dict()
        return io.NodeOutput(mask, ui={**preview, **(left_behind(lambda: {"mask": dict(preview["images"][0])}) or {})})
