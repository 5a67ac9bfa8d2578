"""The engines of the pack, one line each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Engine:
    """name as shown; what it does; ready: whether this version can run it."""

    name: str
    purpose: str
    ready: bool


ENGINES = {
    e.name: e
    for e in (
        Engine("optical", "lens simulation, focus stacking and deconvolution; no weights", True),
        Engine("genfocus", "all-in-focus and bokeh by FLUX.1-dev with LoRAs", True),
        Engine("learn2refocus", "a focal stack from one photo by Stable Video Diffusion", True),
        Engine("diffcamera", "refocus by focus point and blur level; no public weights", False),
    )
}


@dataclass(frozen=True)
class RefocusModel:
    """What LoadRefocusModel hands to the other nodes: the engine's name, and the models it runs on (optical: None)."""

    engine: str
    parts: object = None
