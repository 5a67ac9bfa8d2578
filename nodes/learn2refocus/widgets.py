"""The widgets of the learn2refocus engine."""

from comfy_api.latest import io

from ...pipelines.learn2refocus import GUIDANCE, MEGAPIXELS, POSITIONS, STEPS
from ...pipelines.learn2refocus.finish import FRAME_SIZES
from ..host import acts, depth_kind_input, rare, seed_input, share_input

AUTOMATIC = "automatic"
RELEASED, TRAINED = CLIP_RANGES = ("as released", "as trained")


def stack_inputs() -> list:
    """What FocalStackGenerate asks for this engine alone, with the published values."""
    return [
        acts(depth_kind_input(), input_position=[AUTOMATIC]),
        io.Combo.Input(
            "input_position",
            options=[AUTOMATIC, *map(str, range(POSITIONS))],
            default=AUTOMATIC,
            optional=True,
            tooltip="learn2refocus: where the photo is focused, 0 at about 5 cm to 8 at infinity, even in "
            "dioptres (4 is 10 cm, 7 is 40 cm). automatic finds the distance at which it is "
            "sharpest and needs depth in metres or 1/metres.",
        ),
        io.Int.Input(
            "steps",
            default=STEPS,
            min=1,
            max=200,
            optional=True,
            tooltip="learn2refocus: sampling steps. Fewer are faster and coarser.",
        ),
        io.Float.Input(
            "guidance",
            default=GUIDANCE,
            min=0.0,
            max=10.0,
            step=0.05,
            optional=True,
            tooltip="learn2refocus: how closely the frames keep to the photo; 1.5 as published. 1 takes half the time.",
        ),
        seed_input("learn2refocus: the noise it starts from."),
        rare(
            io.Float.Input(
                "max_megapixels",
                default=MEGAPIXELS,
                min=0.01,
                max=4.0,
                step=0.01,
                optional=True,
                tooltip="learn2refocus: larger photos are shrunk to this for the model; 0.5 as published. "
                "Memory and time grow with it.",
            )
        ),
        rare(
            io.Combo.Input(
                "frame_size",
                options=list(FRAME_SIZES),
                default="input",
                optional=True,
                tooltip="learn2refocus: input: frames of the photo's size. model: as made, sides in multiples "
                "of 64, which changes the proportions a little.",
            )
        ),
        rare(
            io.Int.Input(
                "decode_chunk",
                default=POSITIONS,
                min=1,
                max=POSITIONS,
                optional=True,
                tooltip="learn2refocus: frames decoded at a time. Fewer need less memory, and neighbouring frames "
                "may differ a little more. ComfyUI takes fewer by itself where memory is short.",
            )
        ),
        rare(
            io.Boolean.Input(
                "keep_input",
                default=False,
                optional=True,
                tooltip="learn2refocus: put the photo itself in the stack at its own position. Off: all nine "
                "frames are the model's, as published.",
            )
        ),
        share_input(
            "detail",
            0.0,
            "learn2refocus: where a frame is as sharp as the photo, take the photo's fine detail in "
            "its full resolution. 0: frames as generated, as published. 1: all of it.",
            step=0.05,
            optional=True,
        ),
        rare(
            io.Combo.Input(
                "clip_range",
                options=list(CLIP_RANGES),
                default=RELEASED,
                optional=True,
                tooltip="learn2refocus: the range of the picture that CLIP sees. The released code feeds -1..1 "
                "where training fed 0..1.",
            )
        ),
    ]
