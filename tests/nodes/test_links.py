"""Values over links: the host holds widgets to their limits and lists, but not what a link brings instead."""

import math

import pytest
import torch
from comfy_api.latest import io

from rackfocus.nodes import engines
from rackfocus.nodes.engines import inputs, loader_inputs
from rackfocus.nodes.host import check_socket, within_limits
from rackfocus.nodes.model import LoadRefocusModel
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optics import DefocusMap
from rackfocus.tests.nodes.scenes import BASE, BY_ID, image, run

# Those without widgets of their own to check, or whose engine or model does it.
APART = {"LoadRefocusModel", "RefocusDepth"}
WIDGETS = [
    (node_id, i)
    for node_id in BASE
    if node_id not in APART and node_id in BY_ID
    for i in BY_ID[node_id].GET_SCHEMA().inputs
    if isinstance(i, io.Int.Input | io.Float.Input | io.Combo.Input | io.Boolean.Input)
]


def wrong_values(i):
    if isinstance(i, io.Combo.Input):
        return (None, 3, ["auto"], "x" * 10**6) if not i.optional else (3, ["auto"], "x" * 10**6)
    if isinstance(i, io.Boolean.Input):
        return ("no", math.nan, [1], 2)
    return (math.nan, math.inf, -math.inf, 10**400, "1", [1.0], i.max + 1, i.min - 1)


@pytest.mark.parametrize("node_id, i", WIDGETS, ids=lambda v: v if isinstance(v, str) else v.id)
def test_what_no_widget_could_give_is_one_sentence_that_names_it(node_id, i):
    for wrong in wrong_values(i):
        with pytest.raises(RefocusError, match=f"^{i.id} is ") as error:
            run(node_id, **{**BASE[node_id], i.id: wrong})
        assert len(str(error.value)) <= 400 and "\n" not in str(error.value)


@pytest.mark.parametrize("seed", [2**64, -1, 2**80, 1.5, None, "7"])
def test_a_seed_has_64_bits(seed):
    node = BY_ID["RefocusPositionSweep"]
    with pytest.raises(RefocusError, match=r"^seed is "):
        node.execute(None, torch.ones(1, 8, 8, 3), 6, 1.5, seed, 0.1, 160)


class Node:
    @classmethod
    def define_schema(cls):
        return type("Schema", (), {"inputs": [io.Int.Input("n", min=0, max=9), io.Float.Input("x", optional=True)]})

    @classmethod
    @within_limits
    def execute(cls, n, x=None, **rest):
        return n, x, rest


def test_a_whole_number_arrives_as_an_int_and_the_rest_as_it_is():
    n, x, rest = Node.execute(3.0, y="else")
    assert type(n) is int and (n, x, rest) == (3, None, {"y": "else"})
    assert Node.execute(n=2, x=-1e30)[:2] == (2, -1e30)  # without limits any finite number will do
    for wrong in ({"n": 10}, {"n": 1, "x": math.nan}):
        with pytest.raises(RefocusError):
            Node.execute(**wrong)


def test_a_widget_of_several_engines_takes_what_any_of_them_takes(monkeypatch):
    first, second = (
        type("Engine", (), {"options": lambda self, i=i: {"bokeh": [i]}, "NOTES": {}})()
        for i in (
            io.Int.Input("steps", default=1, min=1, max=20, tooltip="first"),
            io.Int.Input("steps", default=0, min=0, max=9, tooltip="second"),
        )
    )
    monkeypatch.setattr(engines, "ENGINES", {"first": first, "second": second})
    (steps,) = inputs("bokeh")
    assert (steps.min, steps.max, steps.default) == (0, 20, 1)


@pytest.mark.parametrize("kind", ["MODEL", "CLIP", "VAE", "CLIP_VISION"])
@pytest.mark.parametrize("wrong", [1, "model", torch.ones(1), {}], ids=["number", "text", "tensor", "dict"])
def test_what_is_no_model_is_told(kind, wrong):
    with pytest.raises(RefocusError, match=f"is connected as {kind}, but a {kind} is needed"):
        check_socket(kind, wrong)


@pytest.mark.parametrize("engine", [None, 3, ["optical"], "x" * 10**7, "\n"], ids=["none", "3", "list", "long", "line"])
def test_an_unknown_engine_is_one_sentence(engine):
    chosen = {i.id: getattr(i, "default", None) for i in loader_inputs()}
    with pytest.raises(RefocusError) as error:
        LoadRefocusModel.execute(engine, **chosen)
    assert len(str(error.value)) <= 400 and "\n" not in str(error.value)


@pytest.mark.parametrize("node_id", ["BokehSynthesize", "DeblurAiF"])
def test_what_is_no_defocus_map_is_told(node_id):
    damaged = DefocusMap(torch.ones(1, 48, 64))
    object.__setattr__(damaged, "radius", None)
    for wrong in (torch.ones(1, 48, 64), "map", 3.0, damaged):
        with pytest.raises(RefocusError, match="defocus"):
            run(node_id, image=image, defocus=wrong)


def test_a_sample_hands_on_a_depth_without_infinity():
    depth = torch.tensor([[[2.0, math.inf, 3.0, -math.inf]]])[..., None]
    made = run("RefocusSample", depth=depth)[2]
    assert made.flatten().tolist() == [2.0, pytest.approx(3.4e38, rel=0.01), 3.0, 0.0]
    with pytest.raises(RefocusError, match="NaN"):
        run("RefocusSample", depth=depth * math.nan)


def test_null_is_what_is_left_out():
    """What an API client sends for an optional widget that it does not know."""
    left_out = run("BokehSynthesize", **BASE["BokehSynthesize"])
    given = run("BokehSynthesize", **BASE["BokehSynthesize"], cats_eye=None, steps=None, seed=None)
    assert torch.equal(given[0], left_out[0])
