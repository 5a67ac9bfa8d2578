"""LoadRefocusModel: which engine does the work."""
import os

import folder_paths
from comfy_api.latest import io

from ..pipelines.engines import ENGINES, RefocusModel, still_needed, weight_files
from ..pipelines.optics import RefocusError
from .host import CATEGORY, RefocusModelType, Schema


def missing_files(engine: str) -> list:
    """The manifest's files of this engine that no folder of the host holds under their own name."""
    def present(f):
        names = folder_paths.get_filename_list(f.folder)
        return any(os.path.basename(n) == os.path.basename(f.path) for n in names)

    return still_needed(weight_files(engine), present)


def why_not(engine: str) -> str | None:
    """One sentence that says why an engine cannot run here, or None."""
    if ENGINES[engine].ready:
        return None
    files = weight_files(engine)
    said = f"the engine {engine} ({ENGINES[engine].purpose}) cannot run in this version of Rackfocus yet"
    if not files:
        return f"{said}, and no weights of it are public: choose optical."
    missing = missing_files(engine)
    if not missing:
        return f"{said}, although its files are here: choose optical, or update Rackfocus."
    return f"{said}, and it will need files that are not here: {'; '.join(map(str, missing))}. Choose optical."


class LoadRefocusModel(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="LoadRefocusModel", display_name="Load Refocus Model", category=CATEGORY,
            search_aliases=["genfocus", "learn2refocus", "bokeh model", "deblur model"],
            description="Chooses the engine for the other nodes. They use the optical engine when nothing is "
                        "connected, so this node is only needed to choose another one.",
            inputs=[io.Combo.Input("engine", options=list(ENGINES), default="optical", tooltip="\n".join(
                f"{e.name}: {e.purpose}{'' if e.ready else ' (not in this version yet)'}" for e in ENGINES.values()))],
            outputs=[RefocusModelType.Output(display_name="model",
                                             tooltip="For BokehSynthesize, DeblurAiF and FocalStackGenerate.")],
        )

    @classmethod
    def validate_inputs(cls, engine):
        return why_not(engine) or True

    @classmethod
    def execute(cls, engine) -> io.NodeOutput:
        why = why_not(engine)
        if why:
            raise RefocusError(why)
        return io.NodeOutput(RefocusModel(engine))
