"""Where an input acts is declared with it (`acts` of nodes/host.py); here it is held to what a run says."""

import json
from itertools import product

import pytest
import torch

from rackfocus.dev.workflows.shown import acts_with
from rackfocus.nodes.engines import DEFAULT, ENGINES, TASK_OF
from rackfocus.nodes.host import acts, acts_where
from rackfocus.nodes.learn2refocus.widgets import AUTOMATIC
from rackfocus.tests.nodes.scenes import BASE, BY_ID, corner, random, run, same, two_halves

RACK = ["0: 0.1, 0.1; 3: 0.9, 0.9", "0: 0.1, 0.1; 3 : +2.5 M strength=9", "0: 0.1, 0.1 # 2: 3m\n3: 0.9, 0.9"]
# For each node: what is combined with what; a function stands for its picture.
COMBINATIONS = {
    "RefocusLens": {
        "focus_by": ["point", "mask", "distance", "automatic"],
        "lens": ["artist", "camera"],
        "depth_kind": ["disparity", "inverted", "metres", "inverse_metres"],
    },
    "RefocusRack": {"depth_kind": ["disparity", "inverted", "metres", "inverse_metres"], "keyframes": RACK},
    "ApertureShapeMask": {
        "shape": ["iris", "ring", "heart", "star", "cats_eye"],
        "blades": [0, 5],
        "image": [None, lambda: random(1, 20, 30, 3)],
    },
    "SelectFocusFrame": {"select_by": ["position", "point"]},
    "RefocusDepth": {"meaning": ["disparity", "metres"]},
}
FIXED = {
    "RefocusLens": {"focus_mask": corner, "focus_x": 0.3, "focus_y": 0.4, "focus_distance": 1.7},
    "SelectFocusFrame": {"stack": two_halves, "position": 0.4, "focus_x": 0.1, "focus_y": 0.1},
    "RefocusDepth": {},
    "RefocusRack": {},
    "ApertureShapeMask": {"roundness": 0.2, "rotation": 5.0, "squeeze": 1.5},
}
# Two values to go between, neither at an end where two lenses would agree.
OTHER = {
    "focus_x": 0.9,
    "focus_y": 0.95,
    "focus_distance": 4.1,
    "strength": 35.0,
    "focal_mm": 85.0,
    "f_number": 8.0,
    "sensor_mm": 24.0,
    "scene_near": 2.0,
    "scene_far": 30.0,
    "blades": 7,
    "roundness": 0.6,
    "rotation": 50.0,
    "inner": 0.8,
    "offset": 0.8,
    "position": 0.9,
    "nearest_m": 2.5,
}


# Inputs that no engine brings, and which do not act everywhere.
OWN_ROWS = {("RefocusPhoto", name) for name in ("finish", "depth_kind", "aperture")}


def is_shown(i, values: dict) -> bool:
    return acts_with(acts_where(i), values.get)


def inputs(node_id: str) -> dict:
    return {i.id: i for i in BY_ID[node_id].GET_SCHEMA().inputs}


def conditional(node_id: str) -> list[str]:
    """Ids of the inputs that have rows of their own."""
    return [name for name, i in inputs(node_id).items() if acts_where(i) != [{}]]


@pytest.mark.parametrize("node_id", COMBINATIONS)
def test_what_acts_changes_the_output_and_nothing_else_does(node_id):
    choices = COMBINATIONS[node_id]
    wrong, seen = [], set()
    for chosen in product(*choices.values()):
        given = {**BASE[node_id], **FIXED[node_id], **dict(zip(choices, chosen, strict=True))}
        base = run(node_id, **given)
        for name in conditional(node_id):
            if name == "shape":
                others = {"shape": "ring" if given["shape"] != "ring" else "heart"}
            else:
                others = {name: OTHER[name]}
            shown = is_shown(inputs(node_id)[name], given)
            seen.add((name, shown))
            if differ(base, run(node_id, **{**given, **others})) != shown:
                wrong.append((name, "is shown" if shown else "is hidden", dict(zip(choices, chosen, strict=True))))
    assert not wrong
    assert {name for name, _ in seen} == set(conditional(node_id))
    assert all((name, True) in seen and (name, False) in seen for name in conditional(node_id)), seen


def differ(a: list, b: list) -> bool:
    """Whether a run differs from another; a turned circle may have a few cells of its rim rounded the other way."""
    if len(a) == 1 and isinstance(a[0], torch.Tensor) and a[0].shape == (1, 256, 256):
        return float((a[0] - b[0]).abs().mean()) > 1e-4
    return not same(a, b)


@pytest.mark.parametrize("node_id", TASK_OF)
def test_an_engines_options_act_where_it_runs(node_id):
    """By the engine's own list of options, whatever engines there are; nothing connected is the first."""
    for name, i in inputs(node_id).items():
        readers = {e for e, engine in ENGINES.items() if name in ids(engine.options().get(TASK_OF[node_id], []))}
        if not readers:
            assert acts_where(i) == [{}] or (node_id, name) in OWN_ROWS, name
            continue
        for engine in ENGINES:
            values = {"model.engine": engine, "input_position": AUTOMATIC}
            assert is_shown(i, values) == (engine in readers), (name, engine)
        assert is_shown(i, {"model.engine": None}) == (DEFAULT in readers), name


def test_a_file_is_asked_for_where_its_engine_is_chosen():
    for name, i in inputs("LoadRefocusModel").items():
        for engine in ENGINES:
            reads = name in ids(ENGINES[engine].loader_inputs())
            assert name == "engine" or is_shown(i, {"engine": engine}) == reads, (name, engine)


def ids(listed) -> set[str]:
    return {i.id for i in listed}


def test_what_the_lens_reads_acts_where_it_finishes():
    shown = inputs("RefocusPhoto")
    for engine in ENGINES:
        by_model, by_lens = ({"model.engine": engine, "finish": finish} for finish in ("model", DEFAULT))
        assert is_shown(shown["finish"], by_model) == (engine != DEFAULT)
        for name in ("quality", "highlights", "aperture"):
            assert is_shown(shown[name], by_lens)
            assert is_shown(shown[name], by_model) == (engine == DEFAULT), name
    assert not is_shown(shown["finish"], {"model.engine": None})
    assert is_shown(shown["depth_kind"], {"depth": {}}) and not is_shown(shown["depth_kind"], {"depth": None})


def test_an_engine_may_name_rows_of_its_own():
    kind = inputs("FocalStackGenerate")["depth_kind"]
    assert is_shown(kind, {"model.engine": None, "input_position": "3"})
    assert is_shown(kind, {"model.engine": "learn2refocus", "input_position": AUTOMATIC})
    assert not is_shown(kind, {"model.engine": "learn2refocus", "input_position": "3"})


def test_an_unknown_kind_of_depth_may_be_relative():
    """auto: metres or not, only a run can tell."""
    near = inputs("RefocusLens")["scene_near"]
    assert is_shown(near, {"depth_kind": "auto", "lens": "camera", "focus_by": "point"})
    assert not is_shown(near, {"depth_kind": "auto", "lens": "artist", "focus_by": "point"})


def test_every_row_names_what_is_there():
    """Else a rename would hide an input for good, or show it always."""
    for node_id in BY_ID:
        known = inputs(node_id)
        for name, i in known.items():
            for row in acts_where(i):
                for asked, condition in row.items():
                    at, _, widget = asked.partition(".")
                    assert at in known and at != name, (node_id, name, asked)
                    options = inputs("LoadRefocusModel")[widget].options if widget else values_of(known[at])
                    listed = condition.get("not", []) if isinstance(condition, dict) else condition
                    assert options is None or set(listed) - {None} <= set(options), (node_id, name, asked)


def values_of(i):
    return getattr(i, "options", None)


def test_it_travels_as_json_and_is_a_copy():
    for node_id in BY_ID:
        for i in BY_ID[node_id].GET_SCHEMA().inputs:
            json.dumps(i.as_dict())
    i = inputs("SelectFocusFrame")["blend"]
    extra = i.extra_dict
    acts(i, select_by=["point"])
    assert extra == {} and acts_where(i) == [{"select_by": ["point"]}]
    assert acts_where(inputs("SelectFocusFrame")["blend"]) in ([{}], [{"select_by": ["point"]}])


def test_numbers_between_two_ends_are_sliders():
    """And only they: what may be any number is typed."""
    for node_id in BY_ID:
        for name, i in inputs(node_id).items():
            ends = getattr(i, "min", None), getattr(i, "max", None)
            is_slider = i.as_dict().get("display") == "slider"
            assert is_slider == (ends in ((0.0, 1.0), (-1.0, 1.0)) and i.io_type == "FLOAT"), (node_id, name)
