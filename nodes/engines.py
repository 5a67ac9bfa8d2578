"""The seam: what an engine is, the list of engines, and how a node reaches the one that an artist chose.

An engine is a module of this folder, named here in one line. It has

    NAME, PURPOSE            what LoadRefocusModel shows
    NODES                    nodes of its own, beside those that every engine shares
    loader_inputs()          what LoadRefocusModel asks for this engine: a list of io inputs, files and sockets
    options()                {task: what that task's node asks for this engine, a list of io inputs}, for each of TASKS
                             that it can do
    NOTES                    {task: {input's id: what to add to its tooltip}}, "" for the node's description
    why_not(*, tasks, **chosen)  one sentence: why it cannot run with these loader inputs, or do those of
                             its tasks that the graph asks for; or None. It loads nothing; models are None to it
    load(**chosen)           its loader inputs -> RefocusModel, whose tasks say what it can do

Inputs of one id are one widget that several engines read, and it shows the default of the first. So a widget that
engines share has the default 0, or an empty text, which each of them takes to mean "as published".
"""

from collections.abc import Callable, Collection
from copy import copy
from importlib import import_module
from typing import Any, Protocol

from comfy_api.latest import io

from ..pipelines.image.checks import RefocusError, shown
from .host import RefocusModel, acts, acts_where

# The engines in the order in which an artist sees them; the first does the work where none is connected.
_MODULES = ("optical", "genfocus", "learn2refocus", "diffcamera", "anybokeh")

# Ids of the inputs that came after version 0.1.0, oldest first, those of new engines too. They are optional and stand
# behind all others: a saved workflow holds the values of a node's widgets by place, so an old one may not move.
LATER: tuple[str, ...] = ("diffcamera_checkpoint", "stage1_lora", "stage2_lora", "prompt_embeds", "coc_is")

# What a model may be asked for, as a sentence says it. The keywords that a node hands on beside the engine's options:
#   bokeh(image, defocus, *, aperture, background) -> image
#   deblur(image, *, strength, defocus, aperture) -> (image, DefocusMap or None: not needed, hence not estimated)
#   stack(image, *, depth, aperture) -> (stacks, positions, info)
#   estimate(image) -> DefocusMap, coarse and soon
#   refocus(image, *, focus, blur, depth, aperture) -> Refocused
#       focus     (x, y) in 0..1 of the picture
#       blur      RefocusLens's strength: radius in pixels of a picture 1000 px wide, one unit of disparity from the
#                 focal plane; 0 = everything in focus
#       depth     disparity [B, H, W] of the image's size, a map for each, larger is nearer; or None
#       aperture  [1, S, S] or None; an engine gets one only if it is the default one
TASKS = {
    "bokeh": "blur a picture",
    "deblur": "sharpen a photo",
    "stack": "make a focal stack",
    "estimate": "estimate the blur of a photo",
    "refocus": "refocus a photo",
}
# The nodes that ask for a task; each has a socket called model.
TASK_OF = {"BokehSynthesize": "bokeh", "DeblurAiF": "deblur", "FocalStackGenerate": "stack", "RefocusPhoto": "refocus"}


class Engine(Protocol):
    """A module that is an engine; see above."""

    NAME: str
    PURPOSE: str
    NODES: tuple
    NOTES: dict[str, dict[str, str]]

    def loader_inputs(self) -> list: ...
    def options(self) -> dict[str, list]: ...
    def why_not(self, *, tasks: Collection[str], **chosen: Any) -> str | None: ...
    def load(self, **chosen: Any) -> RefocusModel: ...


ENGINES: dict[str, Engine] = {
    engine.NAME: engine for engine in (import_module(f".{name}", __package__) for name in _MODULES)
}
DEFAULT = next(iter(ENGINES))
# {task: {engine: ids of what that engine asks for on the task's node}}
_BROUGHT = {
    task: {name: {i.id for i in engine.options().get(task, ())} for name, engine in ENGINES.items()} for task in TASKS
}


def engine_named(name: str) -> Engine:
    """The engine of this name; RefocusError for a name that is not in the list."""
    if not isinstance(name, str) or name not in ENGINES:
        raise RefocusError(
            f"the engine is {shown(name)}, but one of {', '.join(ENGINES)} is needed: choose one of these."
        )
    return ENGINES[name]


def loader_inputs() -> list:
    """What LoadRefocusModel asks for, for all engines. Its sockets are lazy: what an engine does not read is not made,
    and nothing is before the engine has looked at its files."""
    asked = _merged({name: engine.loader_inputs() for name, engine in ENGINES.items()}, lambda name: {"engine": [name]})
    return [_lazy(i) if getattr(i, "default", None) is None else i for i in asked]


def inputs(task: str, *shared) -> list:
    """The inputs of a task's node: the engines' required options behind its `shared` required inputs, their optional
    ones behind the optional ones, and to each tooltip what the engines have to say about it."""
    brought = _merged({name: engine.options().get(task, []) for name, engine in ENGINES.items()}, _runs)
    required, optional = ([i for i in (*shared, *brought) if bool(i.optional) is kind] for kind in (False, True))
    return [_noted(i, noted(task, i.id)) for i in required + optional]


def noted(task: str, about: str = "", text: str = "") -> str:
    """The text, and behind it what the engines say about an input of a task's node ("": about the node)."""
    notes = (engine.NOTES.get(task, {}).get(about) for engine in ENGINES.values())
    return " ".join(filter(None, (text, *notes)))


def need(model: RefocusModel | None, task: str) -> Callable:
    """The model's way to do a task; None is the default engine. It leaves options of other engines aside.

    Raises RefocusError that names the engines which can do it, if this one cannot.
    """
    model = engine_named(DEFAULT).load() if model is None else model
    if not isinstance(model, RefocusModel):
        raise RefocusError(
            f"the model is a {type(model).__name__}, but one from LoadRefocusModel is needed: connect its output."
        )
    able(model.engine, task, model.tasks)
    work, idle = model.tasks[task], foreign(model.engine, task)
    return lambda *args, **given: work(*args, **{k: v for k, v in given.items() if k not in idle})


def able(engine: str, task: str, tasks: Collection[str] | None = None) -> None:
    """RefocusError that names the engines which can do a task, if this one cannot. tasks: what it can do, if known."""
    if task not in (engine_named(engine).options() if tasks is None else tasks):
        others = " or ".join(name for name, other in ENGINES.items() if task in other.options())
        raise RefocusError(
            f"the engine {engine} does not {TASKS[task]}, but {others} can: choose it in LoadRefocusModel or "
            "disconnect the model."
        )


def tasks_asked(prompt, loader: str) -> set[str]:
    """What the nodes that are connected to a LoadRefocusModel ask for, in a prompt of the API form."""
    nodes = [node for node in (prompt or {}).values() if isinstance(node.get("inputs"), dict)]
    return {
        TASK_OF[node["class_type"]]
        for node in nodes
        if node.get("class_type") in TASK_OF and node["inputs"].get("model") == [loader, 0]
    }


def brought(engine: str, task: str) -> set[str]:
    """Ids of the inputs that an engine brings to a task's node."""
    return _BROUGHT[task][engine]


def foreign(engine: str, task: str) -> set[str]:
    """Ids of the inputs that other engines bring to a task's node and this one does not read."""
    return set().union(*_BROUGHT[task].values()) - brought(engine, task)


def _runs(engine: str) -> dict:
    """Where a task's node runs an engine, as `acts` takes it: by the widget of the node that feeds its model."""
    return {"model.engine": [engine, None] if engine == DEFAULT else [engine]}


def _merged(lists: dict[str, list], chosen: Callable[[str], dict]) -> list:
    """Inputs of all engines {engine: its inputs}, each id once where it comes first, later ones last; what the engines
    say about one is said in a row, and it has the widest limits of any. It acts where an engine that brings it is
    chosen (chosen: engine -> a row of `acts`), and acts there."""
    found: dict[str, Any] = {}
    where: dict[str, list[dict]] = {}
    for engine, i in ((engine, i) for engine, inputs in lists.items() for i in inputs):
        first = found.setdefault(i.id, i)
        if i.tooltip not in first.tooltip:
            found[i.id] = _widened(_noted(first, i.tooltip), i)
        where.setdefault(i.id, []).extend({**chosen(engine), **row} for row in acts_where(i))
    for i in found.values():
        acts(i, *where[i.id])
    return sorted(found.values(), key=lambda i: LATER.index(i.id) + 1 if i.id in LATER else 0)


def _lazy(i):
    """The input, made only when it is asked for."""
    i = copy(i)
    i.lazy = True
    return i


def _widened(i, other):
    """The input itself, now taking what either of the two takes."""
    if isinstance(i, io.Int.Input | io.Float.Input) and isinstance(other, io.Int.Input | io.Float.Input):
        i.min = None if i.min is None or other.min is None else min(i.min, other.min)
        i.max = None if i.max is None or other.max is None else max(i.max, other.max)
    return i


def _noted(i, text: str):
    """The input with the text behind its tooltip."""
    if text:
        i = copy(i)
        i.tooltip = f"{i.tooltip} {text}"
    return i
