"""What the nodes share of ComfyUI: schema, types, folders, device, progress, interruption."""

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

import comfy.model_management as mm
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io
from torch import Tensor

from ..pipelines.image import RefocusError, check_choice, check_flag, check_number, check_text, check_whole, shown
from ..pipelines.image.device import place_for
from ..pipelines.image.progress import Counter
from ..pipelines.optics import DEPTH_KINDS, DefocusMap
from ..weights.manifest import WeightFile
from .abilities import picture_type, schema_fields

CATEGORY = "Rackfocus"

# Private types and what travels on them.
# DEFOCUS_MAP    pipelines.optics.DefocusMap: signed blur radius [B, H, W] in pixels of its own size; where known, the
#                focal plane, the focus point and the strength that made it
# REFOCUS_MODEL  RefocusModel, below
DefocusMapType = io.Custom("DEFOCUS_MAP")
RefocusModelType = io.Custom("REFOCUS_MODEL")


@dataclasses.dataclass(frozen=True)
class RefocusModel:
    """A loaded engine. engine: its name; tasks: {task: what does it}, see engines.TASKS; models: what it runs on, for
    the engine's own nodes (GenfocusModels, SvdModels; None for the optical engine); finds_depth: whether its "refocus"
    hands back a disparity where none was given."""

    engine: str
    tasks: Mapping[str, Callable]
    models: Any = None
    finds_depth: bool = False


@dataclasses.dataclass(frozen=True)
class Refocused:
    """What an engine makes of a photo, see engines.TASKS.

    image      [B, H, W, 3]: the photo refocused, of its own size
    defocus    the blur that the image has by the lens asked for; None: not known, so it is made from the depth that was
               given, or else estimated from the image
    info       one line: which weights, trained by whom, and what could not be done
    source     the blur that the photo had, where the engine knows it
    disparity  [B, H, W], larger is nearer: the engine's own, where it found one and none was given
    """

    image: Tensor
    defocus: DefocusMap | None
    info: str
    source: DefocusMap | None = None
    disparity: Tensor | None = None


def models_of(model, engine: str):
    """The models of a RefocusModel of that engine; RefocusError for anything else."""
    if not isinstance(model, RefocusModel) or model.engine != engine:
        given = getattr(model, "engine", type(model).__name__)
        raise RefocusError(f"the model's engine is {given}, but {engine} is needed: choose it in LoadRefocusModel.")
    return model.models


# models/refocus; extra_model_paths.yaml may name further folders under this key. Any kind of file is listed.
REFOCUS_FOLDER = "refocus"
folder_paths.add_model_folder_path(REFOCUS_FOLDER, os.path.join(folder_paths.models_dir, REFOCUS_FOLDER))

# What the host's own types can be told by, whoever made them.
_HAS = {
    "MODEL": {"get_model_object"},
    "CLIP": {"tokenize"},
    "VAE": {"first_stage_model"},
    "CLIP_VISION": {"encode_image", "model"},
}


def check_socket(kind: str, given):
    """What is connected to a socket of the host's; RefocusError where a link brings something else."""
    if _HAS[kind].isdisjoint(dir(given)):
        raise RefocusError(
            f"{shown(given)} is connected as {kind}, but a {kind} is needed: connect that of a loader to "
            "LoadRefocusModel."
        )
    return given


# What the page is told of a widget beside its value. web/view/shown.js reads it and names no node; hosts and pages that
# do not know it leave it aside. Under "rackfocus" of an input's options in /object_info:
#     acts   rows, of which one must hold for the input to change the result; none given: it always does. A row holds if
#            all of its conditions do. {name: condition}: of the widget or socket of that name on the node; "a.b": of
#            the widget b on the node that feeds the socket a. The value of a socket without a link is null.
#            condition: a list of values, {"not": a list}, or {"match": a regular expression, "^" at every line}.
#            What cannot be known (a value over a link, another pack's node) holds.


def acts(i, *rows: dict, **row):
    """The input, marked: it acts where one of these rows holds, or the row given by keywords."""
    i.extra_dict = {**i.extra_dict, "rackfocus": {"acts": [*rows, *([row] if row else [])]}}
    return i


def acts_where(i) -> list[dict]:
    """The rows of an input; [{}], which always holds, where it has none."""
    return i.extra_dict.get("rackfocus", {}).get("acts", [{}])


def rare(i):
    """The input, marked as one that few need: pages fold such away."""
    i.extra_dict = {**i.extra_dict, "advanced": True}
    return i


# What a list of files shows for "no file".
NONE = "none"


def file_input(name: str, folder: str, tooltip: str) -> io.Combo.Input:
    """A choice among the files of a host folder, and none."""
    files = [NONE, *folder_paths.get_filename_list(folder)]
    return io.Combo.Input(name, options=files, default=NONE, optional=True, tooltip=tooltip)


def depth_kind_input() -> io.Combo.Input:
    """What a depth map holds, wherever one is asked for beside RefocusLens."""
    return io.Combo.Input(
        "depth_kind", options=list(DEPTH_KINDS), default="auto", tooltip="What the depth map holds, as in RefocusLens."
    )


def strength_input(tooltip: str) -> io.Float.Input:
    """An artist's blur, in pixels of a picture 1000 px wide per unit of disparity."""
    return io.Float.Input("strength", default=60.0, min=0.0, max=2000.0, step=0.5, tooltip=tooltip)


def sweep_inputs() -> list:
    """frames, strength and depth_kind of a focal stack that is rendered plane by plane."""
    return [
        io.Int.Input("frames", default=9, min=2, max=100, tooltip="Pictures in the stack, near to far."),
        strength_input(
            "Blur radius, in pixels of a picture 1000 px wide, one unit of disparity away from the focal plane."
        ),
        depth_kind_input(),
    ]


def seed_input(tooltip: str, *, optional: bool = True) -> io.Int.Input:
    """Where the noise of a diffusion engine starts."""
    return io.Int.Input(
        "seed",
        default=0,
        min=0,
        max=0xFFFFFFFFFFFFFFFF,
        control_after_generate=True,
        optional=optional,
        tooltip=tooltip,
    )


def share_input(
    name: str, default: float, tooltip: str, *, low: float = 0.0, step: float = 0.01, optional: bool = False
) -> io.Float.Input:
    """A number that lives between two ends, `low` and 1: a slider."""
    return io.Float.Input(
        name,
        default=default,
        min=low,
        max=1.0,
        step=step,
        display_mode=io.NumberDisplay.slider,
        optional=optional,
        tooltip=tooltip,
    )


def point_inputs(name: str, by: str, value: str) -> list[io.Float.Input]:
    """focus_x and focus_y in 0..1 of the picture. name: the point's, for the tooltips; by, value: the widget and its
    value with which they act."""
    ends = {"focus_x": "from the left (0) to the right (1)", "focus_y": "from the top (0) to the bottom (1)"}
    return [
        acts(share_input(axis, 0.5, f"{name} {way}. Used by {by} {value}.", step=0.001), **{by: [value]})
        for axis, way in ends.items()
    ]


def is_missing(folder: str, name: str) -> bool:
    """Whether a file was chosen that is not there."""
    return name != NONE and name not in folder_paths.get_filename_list(folder)


def listed(folder: str, name, file: WeightFile):
    """The name of a chosen file as the host's list has it: a known file may lie there under its own name or in its
    repository's layout, and a workflow may name it either way. Any other name is as it was chosen."""
    names = folder_paths.get_filename_list(folder)
    if name in names or not isinstance(name, str) or not file.is_called(name):
        return name
    return next((n for n in names if file.is_called(n)), name)


def path_of(folder: str, name: str) -> str | None:
    """The full path of a chosen file, None for none. RefocusError where it is no file."""
    path = None if name == NONE else folder_paths.get_full_path(folder, name)
    if path is None and name != NONE:  # listed, but gone by now, or a pipe or a link to nowhere
        raise RefocusError(f"{shown(name)} in models/{folder} is no file that can be opened: put it there again.")
    return path


def Schema(**fields) -> io.Schema:
    """io.Schema without the fields that this host does not know yet. Of this name, for the registry's scanner."""
    return io.Schema(**schema_fields(fields))


def within_limits(execute: Callable) -> Callable:
    """An execute that gets only what its node's widgets could give: the host holds a widget to its limits and list, but
    not what comes over a link instead. A whole number arrives as an int. Raises RefocusError that names the widget.
    Cancel is heard wherever it looks."""
    names = execute.__code__.co_varnames[1 : execute.__code__.co_argcount]

    @wraps(execute)
    def checked(cls, *args, **values):
        values = dict(zip(names, args, strict=False)) | values
        for i in cls.define_schema().inputs:  # GET_SCHEMA writes to the class, which the host has locked by now
            if i.optional and values.get(i.id) is None:
                values.pop(i.id, None)  # null over the API is what is left out
            elif i.id in values:
                values[i.id] = _as_widget(i, values[i.id])
        with Counter(lambda done, total: mm.throw_exception_if_processing_interrupted(), 1):
            return execute(cls, **values)

    return checked


def _as_widget(i, value):
    """The value of an input, as its widget would give it."""
    if isinstance(i, io.Int.Input | io.Float.Input):
        check = check_whole if isinstance(i, io.Int.Input) else check_number
        return check(i.id, value, -math.inf if i.min is None else i.min, math.inf if i.max is None else i.max)
    if isinstance(i, io.Combo.Input):
        return check_choice(i.id, value, i.options)
    if isinstance(i, io.String.Input):
        return check_text(i.id, value)
    if isinstance(i, io.Boolean.Input):
        return check_flag(i.id, value)
    return value


def as_typed(node: type[io.ComfyNode], texts: Mapping[str, str]) -> dict[str, Any]:
    """Texts of some of a node's widgets, as in an address -> {widget: value} of all; what is not named has its default.

    RefocusError for a name that is no widget's and for what a widget does not take.
    """
    widgets = {i.id: i for i in node.define_schema().inputs if getattr(i, "default", None) is not None}
    for name in texts:
        check_choice(f"a widget of {node.__name__}", name, widgets)
    return {name: _as_widget(i, _read(i, texts[name])) if name in texts else i.default for name, i in widgets.items()}


def _read(i, text: str):
    """The number that is meant; any other text as it is, for whoever checks it."""
    try:
        return float(text) if isinstance(i, io.Int.Input | io.Float.Input) else text
    except ValueError:
        return text


def device_for(work: str, rehearsal: Callable):
    """The device that computes, or the CPU where a rehearsal of this work fails on it."""
    return place_for(work, mm.get_torch_device(), rehearsal)


def to_device(t, device=None):
    """A tensor or a defocus map on a device, by itself the one that computes; None stays None."""
    return None if t is None else _moved(t, device or mm.get_torch_device())


def from_device(t):
    """A tensor or a defocus map on the device on which nodes hand on what they made."""
    return _moved(t, mm.intermediate_device())


def picture(t: Tensor) -> Tensor:
    """An IMAGE as the host hands on pictures. Maps stay float32: half of its digits would make terraces of a depth."""
    return from_device(t).to(picture_type())


def _moved(t, device):
    if isinstance(t, DefocusMap) and isinstance(t.radius, Tensor):
        return dataclasses.replace(t, radius=t.radius.to(device))
    return t.to(device) if isinstance(t, Tensor) else t  # anything else: the pipelines say what is wrong with it


@contextmanager
def heard(net):
    """While it runs, a network of the host's hears Cancel before each of its layers; the hooks are gone afterwards."""
    layers = [m for m in net.modules() if not any(m.children())] if isinstance(net, torch.nn.Module) else []
    hooks = [m.register_forward_pre_hook(lambda *_: mm.throw_exception_if_processing_interrupted()) for m in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def progress_bar():
    """A progress(done, total) for the pipelines: shows the bar, stops the work when the artist cancels."""
    bar, shown = None, None

    def progress(done: int, total: int):
        nonlocal bar, shown
        mm.throw_exception_if_processing_interrupted()
        if bar is None:
            bar = comfy.utils.ProgressBar(total)
        if (done, total) != shown:  # a look that is no step needs no message to the browser
            bar.update_absolute(done, total)
            shown = done, total

    return progress
