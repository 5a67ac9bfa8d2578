"""The widgets of the Genfocus engine, the same on every node that runs it."""

from comfy_api.latest import io

from ...pipelines.genfocus.setups import Setup
from ..host import rare, seed_input

TILING = ["auto", "on", "off"]


def tiling():
    return rare(
        io.Combo.Input(
            "tiling",
            options=TILING,
            default="auto",
            optional=True,
            tooltip="genfocus: large pictures in tiles of 512 pixels, the size it was trained at. auto: "
            "when both sides have 512 pixels. off needs more memory and degrades above 1000.",
        )
    )


def diffusion_inputs(setup: Setup) -> list:
    """prompt, steps, guidance, seed and tiling, with the set-up's published values."""
    return [
        io.String.Input(
            "prompt",
            default=setup.prompt,
            multiline=True,
            optional=True,
            tooltip="genfocus: what the result should be; the default is the one it was trained with.",
        ),
        io.Int.Input(
            "steps",
            default=setup.steps,
            min=1,
            max=200,
            optional=True,
            tooltip="genfocus: sampling steps. More take longer and change little above 28.",
        ),
        io.Float.Input(
            "guidance",
            default=setup.guidance,
            min=0.0,
            max=20.0,
            step=0.1,
            optional=True,
            tooltip=f"genfocus: FLUX guidance, how strictly the prompt is followed; {setup.guidance} as published.",
        ),
        seed_input("genfocus: the noise it starts from. Keep it when only the blur changes, so that textures stay."),
        tiling(),
    ]
