"""Widgets of the engines on FLUX.1, worded alike on every node that runs one. engine: whose they are."""

from comfy_api.latest import io

from ..host import rare, seed_input

TILING = ["auto", "on", "off"]


def tiling_input(engine: str) -> io.Combo.Input:
    return rare(
        io.Combo.Input(
            "tiling",
            options=TILING,
            default="auto",
            optional=True,
            tooltip=f"{engine}: large pictures in tiles of 512 pixels, the size it was trained at. auto: "
            "when both sides have 512 pixels. off needs more memory and degrades above 1000.",
        )
    )


def steps_input(engine: str, default: int, tooltip: str, *, low: int = 1) -> io.Int.Input:
    return io.Int.Input("steps", default=default, min=low, max=200, optional=True, tooltip=f"{engine}: {tooltip}")


def noise_input(engine: str) -> io.Int.Input:
    """The seed."""
    return seed_input(f"{engine}: the noise it starts from. Keep it when only the blur changes, so that textures stay.")
