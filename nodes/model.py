"""LoadRefocusModel: which engine does the work, on which files and models."""

from comfy_api.latest import io

from ..pipelines.image import RefocusError
from .engines import DEFAULT, ENGINES, able, engine_named, loader_inputs, tasks_asked
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
                    display_name="model", tooltip="For RefocusPhoto, BokehSynthesize, DeblurAiF and FocalStackGenerate."
                )
            ],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, **chosen):
        """Always true: it takes the place of the host's own look at the lists, which does not say where a missing file
        is to be had. A sentence returned here would be shown for every input; check_lazy_status says it once."""
        return True

    @classmethod
    def check_lazy_status(cls, engine, **chosen) -> list[str]:
        """The sockets that the engine reads; the host runs what is before them after this, and nothing of the others.

        RefocusError if the engine cannot run with the files chosen, or cannot do what the graph asks of it.
        """
        tasks = tasks_asked(cls.hidden.prompt, cls.hidden.unique_id) if cls.hidden else set()
        own = _ready(engine, chosen, tasks)
        for task in tasks:
            able(engine, task)
        return [name for name, value in own.items() if name in chosen and value is None]

    @classmethod
    def execute(cls, engine, **chosen) -> io.NodeOutput:
        return io.NodeOutput(engine_named(engine).load(**_ready(engine, chosen)))


def _ready(engine: str, chosen: dict, tasks=frozenset()) -> dict:
    """What was chosen for this engine, if it can run with that; RefocusError that says why not."""
    module = engine_named(engine)
    own = {i.id: chosen.get(i.id, getattr(i, "default", None)) for i in module.loader_inputs()}
    why = module.why_not(tasks=tasks, **own)
    if why:
        raise RefocusError(why)
    return own
