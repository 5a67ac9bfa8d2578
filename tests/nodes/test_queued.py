"""What the chosen engine does not read decides nothing about running a node again."""

from copy import deepcopy

import pytest

from rackfocus.dev.host.library import use_comfy

use_comfy()
from rackfocus.nodes import queued  # noqa: E402
from rackfocus.nodes.engines import ENGINES, foreign  # noqa: E402
from rackfocus.tests.nodes.scenes import BY_ID  # noqa: E402

TASKS = {"BokehSynthesize": "bokeh", "DeblurAiF": "deblur", "FocalStackGenerate": "stack", "RefocusPhoto": "refocus"}


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def settled(prompt):
    prompt = deepcopy(prompt)
    queued.settle(prompt)
    return prompt


def test_the_rule_is_the_seams():
    assert "seed" in foreign("optical", "bokeh") and "seed" not in foreign("genfocus", "bokeh")
    assert {"quality", "highlights"} <= foreign("genfocus", "bokeh") and "quality" not in foreign("optical", "bokeh")


@pytest.mark.parametrize(
    "kind, engine",
    [(k, e) for k, task in TASKS.items() for e in (None, *ENGINES) if e is None or task in ENGINES[e].options()],
)
def test_two_values_of_any_widget_are_one_where_it_is_not_read(kind, engine):
    """And stay two where it is."""
    model = {} if engine is None else {"model": ["9", 0]}
    brought = {i.id for e in ENGINES.values() for i in e.options().get(TASKS[kind], ())}
    own = {i.id for i in ENGINES[engine or "optical"].options()[TASKS[kind]]}
    assert brought - own or kind == "DeblurAiF"
    for name in brought:
        a, b = ({"1": node(kind, **{name: v}, **model), "9": node("LoadRefocusModel", engine=engine)} for v in (3, 4))
        assert (settled(a) == settled(b)) == (name not in own), name
        link = {"1": node(kind, **{name: ["7", 0]}, **model), "9": node("LoadRefocusModel", engine=engine)}
        assert (settled(link) == settled(b)) == (name not in own), name


def test_what_the_engine_that_finishes_reads_is_read():
    def prompt(finish, quality):
        photo = node("RefocusPhoto", finish=finish, quality=quality, model=["9", 0])
        return settled({"1": photo, "9": node("LoadRefocusModel", engine="genfocus")})

    assert prompt("model", "fast") == prompt("model", "best")
    for finish in ("optical", ["7", 0]):
        assert prompt(finish, "fast") != prompt(finish, "best")


def test_a_required_widget_is_given_its_default_and_an_optional_one_left_out():
    prompt = {
        "1": node("BokehSynthesize", quality="fast", highlights=3.0, seed=5, image=["2", 0], model=["9", 0]),
        "9": node("LoadRefocusModel", engine="genfocus", refocus_unet="x", deblur_lora="d", clip_vision=["4", 0]),
    }
    shown = {i.id: i for i in BY_ID["BokehSynthesize"].GET_SCHEMA().inputs}
    assert settled(prompt) == {
        "1": node(
            "BokehSynthesize",
            quality=shown["quality"].default,
            highlights=shown["highlights"].default,
            seed=5,
            image=["2", 0],
            model=["9", 0],
        ),
        "9": node("LoadRefocusModel", engine="genfocus", deblur_lora="d"),
    }


@pytest.mark.parametrize(
    "model, loader",
    [
        (["9", 0], node("AnotherLoader", engine="optical")),
        (["9", 0], node("LoadRefocusModel", engine=["8", 0])),
        (["9", 0], node("LoadRefocusModel", engine="of tomorrow")),
        (["9", 0], node("LoadRefocusModel")),
        (["9", 1], node("LoadRefocusModel", engine="optical")),
        (["no such node", 0], node("LoadRefocusModel", engine="optical")),
        ([9, 0], node("LoadRefocusModel", engine="optical")),
        ([["9"], 0], node("LoadRefocusModel", engine="optical")),
        ("9", node("LoadRefocusModel", engine="optical")),
        (["9", 0], {"class_type": ["LoadRefocusModel"], "inputs": {"engine": "optical"}}),
        (["9", 0], {"class_type": "LoadRefocusModel"}),
        (["9", 0], None),
    ],
)
def test_what_is_not_certain_is_left_alone(model, loader):
    prompt = {"1": node("BokehSynthesize", seed=5, quality="fast", model=model), "9": loader}
    assert settled(prompt)["1"] == prompt["1"]


@pytest.mark.parametrize(
    "request_",
    [None, [], "x", {}, {"prompt": None}, {"prompt": []}, {"prompt": {"1": None, "2": [], "3": {"inputs": {}}}}]
    + [{"prompt": {"1": node("KSampler", seed=5, model=["2", 0])}, "client_id": "a"}]
    + [{"prompt": {"1": {"class_type": "BokehSynthesize", "inputs": [1]}}}],
)
def test_any_other_request_passes_as_it_is(request_):
    assert queued.on_prompt(deepcopy(request_)) == request_


def test_every_prompt_is_heard_where_there_is_a_server(monkeypatch):
    import sys
    from types import SimpleNamespace

    handlers = []
    server = SimpleNamespace(PromptServer=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "server", server)
    queued.listen()  # a library: no server has been made
    server.PromptServer.instance = SimpleNamespace(add_on_prompt_handler=handlers.append)
    queued.listen()
    assert handlers == [queued.on_prompt]
