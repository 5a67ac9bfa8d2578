"""The widgets of the Genfocus engine, the same on every node that runs it."""

from comfy_api.latest import io

from ...pipelines.genfocus.setups import Setup
from ..flux.widgets import noise_input, steps_input, tiling_input

ENGINE = "genfocus"  # as it is chosen


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
        steps_input(ENGINE, setup.steps, "sampling steps. More take longer and change little above 28."),
        io.Float.Input(
            "guidance",
            default=setup.guidance,
            min=0.0,
            max=20.0,
            step=0.1,
            optional=True,
            tooltip=f"genfocus: FLUX guidance, how strictly the prompt is followed; {setup.guidance} as published.",
        ),
        noise_input(ENGINE),
        tiling_input(ENGINE),
    ]
