"""LoadRefocusModel: which engine does the work, on which files and models."""

import inspect

from comfy_api.latest import io

from ..pipelines.image import RefocusError
from .engines import DEFAULT, ENGINES, engine_named, loader_inputs
from .host import CATEGORY, RefocusModelType, Schema


class LoadRefocusModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="LoadRefocusModel",
            display_name="Load Refocus Model",
            category=CATEGORY,
            search_aliases=[*ENGINES, "bokeh model", "deblur model"],
            description=f"Chooses the engine for the other nodes. They use the {DEFAULT} engine when nothing is "
            "connected, so this node is only needed to choose another one.",
            inputs=[
                io.Combo.Input(
                    "engine",
                    options=list(ENGINES),
                    default=DEFAULT,
                    tooltip="\n".join(f"{name}: {engine.PURPOSE}" for name, engine in ENGINES.items()),
                ),
                *loader_inputs(),
            ],
            outputs=[
                RefocusModelType.Output(
                    display_name="model", tooltip="For BokehSynthesize, DeblurAiF and FocalStackGenerate."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, engine, **chosen):
        try:
            _ready(engine, chosen)
        except RefocusError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, engine, **chosen) -> io.NodeOutput:
        return io.NodeOutput(engine_named(engine).load(**_ready(engine, chosen)))


def _ready(engine: str, chosen: dict) -> dict:
    """What was chosen for this engine, if it can run with that; RefocusError that says why not."""
    module = engine_named(engine)
    own = {i.id: chosen.get(i.id, getattr(i, "default", None)) for i in module.loader_inputs()}
    why = module.why_not(**own)
    if why:
        raise RefocusError(why)
    return own


# The host hands to validate_inputs what its signature names, and with ** everything, sockets too: so the signature
# names the engine and the files that engines choose from lists.
_FILES = [i.id for i in loader_inputs() if isinstance(i, io.Combo.Input)]
vars(LoadRefocusModel)["validate_inputs"].__func__.__signature__ = inspect.Signature(
    [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
        for name, default in (("cls", inspect.Parameter.empty), ("engine", DEFAULT), *((f, None) for f in _FILES))
    ]
)
