"""The widgets of a lens, for each node that has one: where they act, and which are rare."""

from comfy_api.latest import io

from .host import acts, rare

RELATIVE = ("auto", "disparity", "inverted")  # depth kinds that know no scale, or may know none
# A keyframe that names a distance: metres in front of any comment.
IN_METRES = r"^[^#\n]*:[\s\d.+-]*[\d.]\s*[mM]"


def camera_inputs() -> list[io.Input]:
    """What sets the blur of a real lens."""
    inputs = [
        io.Float.Input(
            "focal_mm",
            default=50.0,
            min=1.0,
            max=1200.0,
            step=0.5,
            tooltip="Camera: focal length. Twice the length, four times the blur.",
        ),
        io.Float.Input(
            "f_number",
            default=2.0,
            min=0.1,
            max=64.0,
            step=0.1,
            tooltip="Camera: aperture. A smaller number blurs more.",
        ),
        io.Float.Input(
            "sensor_mm",
            default=36.0,
            min=1.0,
            max=200.0,
            step=0.1,
            tooltip="Camera: width of the sensor. 36 full frame, 23.6 APS-C, 6.4 a phone.",
        ),
    ]
    return [acts(i, lens=["camera"]) for i in inputs]


def blur_inputs(scene_near: str, *scene: dict) -> list[io.Input]:
    """The metres of a relative map, and which of the blur is kept. scene_near: a tooltip; scene: where the metres act,
    see `acts`."""
    metres = [
        io.Float.Input("scene_near", default=1.0, min=0.01, max=10000.0, step=0.01, tooltip=scene_near),
        io.Float.Input(
            "scene_far",
            default=10.0,
            min=0.02,
            max=100000.0,
            step=0.1,
            tooltip="Metres at which the black of a relative map stands.",
        ),
    ]
    kept = [
        io.Float.Input(
            "near_factor",
            default=1.0,
            min=0.0,
            max=10.0,
            step=0.05,
            tooltip="Multiplies the blur in front of the focal plane. 0: foreground sharp.",
        ),
        io.Float.Input(
            "far_factor",
            default=1.0,
            min=0.0,
            max=10.0,
            step=0.05,
            tooltip="Multiplies the blur behind the focal plane. 0 keeps the background sharp.",
        ),
        io.Float.Input(
            "in_focus_range",
            default=0.0,
            min=0.0,
            max=10.0,
            step=0.005,
            tooltip="Width of the slab that stays sharp about the focal plane, in disparity (1 is white to black).",
        ),
    ]
    return [acts(i, *scene) for i in metres] + [rare(i) for i in kept]
