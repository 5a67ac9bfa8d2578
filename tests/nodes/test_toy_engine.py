"""A further engine is one folder and one line: a toy is added to a copy of the pack and driven through every node."""

import asyncio
import importlib.util
import re
import shutil
import sys

import pytest
import torch

from rackfocus.dev.host.library import use_comfy

use_comfy()
import folder_paths  # noqa: E402

from rackfocus.nodes.engines import ENGINES, LATER  # noqa: E402

TOY = '''
"""A toy: brightens in place of blurring, darkens in place of sharpening, repeats in place of refocusing."""

import torch
from comfy_api.latest import io

from ..host import NONE, Refocused, RefocusModel, Schema, file_input, is_missing, models_of, path_of

NAME = "toy"
PURPOSE = "shows how an engine is added"
NOTES = {"bokeh": {"": "toy brightens.", "image": "toy: any picture."}}
STEPS = 7


class ToyNode(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="ToyNode", inputs=[io.Custom("REFOCUS_MODEL").Input("model")], outputs=[io.String.Output()]
        )

    @classmethod
    def execute(cls, model):
        return io.NodeOutput(models_of(model, NAME))


NODES = (ToyNode,)


def loader_inputs():
    return [file_input("toy_file", "loras", "toy: its file."), io.Vae.Input("vae", optional=True, tooltip="toy: any.")]


def options():
    steps = io.Int.Input("steps", default=0, min=0, optional=True, tooltip="toy: how often.")
    return {
        "bokeh": [io.Float.Input("glow", default=0.25, optional=True, tooltip="toy: how much."), steps],
        "deblur": [],
        "stack": [io.Int.Input("copies", default=3, tooltip="toy: how many."), steps],
        "refocus": [steps],
    }


def why_not(toy_file, vae, tasks):
    if toy_file == NONE:
        return "toy needs its toy_file, and none is chosen: choose one."
    return f"toy_file {toy_file} is not there: choose another." if is_missing("loras", toy_file) else None


def load(toy_file, vae):
    def bokeh(image, defocus, *, aperture, background, glow=0.25, steps=0):
        return image + glow + (steps or STEPS)

    def deblur(image, *, strength, defocus, aperture):
        return image - strength, defocus

    def stack(image, *, depth, aperture, copies=3, steps=0):
        return [one.repeat(copies, 1, 1, 1) for one in image.split(1)], [0.0] * copies, f"{steps or STEPS} steps"

    def refocus(image, *, focus, blur, depth, aperture, steps=0):
        return Refocused(image * blur / 100, None, f"toy: {focus}, {steps or STEPS} steps")

    tasks = {"bokeh": bokeh, "deblur": deblur, "stack": stack, "refocus": refocus}
    return RefocusModel(NAME, tasks, path_of("loras", toy_file))
'''
PICTURE = torch.linspace(0, 1, 2 * 5 * 7 * 3).view(2, 5, 7, 3)


@pytest.fixture(scope="module")
def pack(root, tmp_path_factory):
    """The pack with the toy: {node id: class}, loaded as the host loads a custom node."""
    folder = tmp_path_factory.mktemp("custom_nodes") / "pack"
    ignored = shutil.ignore_patterns(".*", "tests", "dev", "docs", "out", "build", "__pycache__", "*.egg-info")
    shutil.copytree(root, folder, ignore=ignored)
    (folder / "nodes" / "toy").mkdir()
    (folder / "nodes" / "toy" / "__init__.py").write_text(TOY)
    (folder / "pipelines" / "toy").mkdir()
    (folder / "pipelines" / "toy" / "__init__.py").write_text('"""What a real engine would compute with."""\n')
    engines = folder / "nodes" / "engines.py"
    text, lines = re.subn(r"(?m)^(_MODULES = \(.*)\)$", r'\1, "toy")', engines.read_text())
    assert lines == 1
    engines.write_text(text)

    models = tmp_path_factory.mktemp("loras")
    (models / "toy.safetensors").write_bytes(b"toy")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(models)], {".safetensors"}))
        patch.setattr(folder_paths, "filename_list_cache", {})
        spec = importlib.util.spec_from_file_location(
            "pack-with-toy", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "pack-with-toy", module)
        spec.loader.exec_module(module)
        nodes = asyncio.run(asyncio.run(module.comfy_entrypoint()).get_node_list())
        yield {node.GET_SCHEMA().node_id: node for node in nodes}
    for name in [name for name in sys.modules if name.startswith("pack-with-toy.")]:
        del sys.modules[name]


@pytest.fixture
def toy(pack):
    return pack["LoadRefocusModel"].execute(engine="toy", toy_file="toy.safetensors").args[0]


def inputs(node) -> dict:
    return {i.id: i for i in node.GET_SCHEMA().inputs}


def run(node, *args, **given):
    """The node with its widgets as they stand."""
    values = {name: i.default for name, i in inputs(node).items() if getattr(i, "default", None) is not None}
    return node.execute(*args, **{**values, **given}).args


def test_the_loader_asks_for_its_files(pack):
    asked = inputs(pack["LoadRefocusModel"])
    assert asked["engine"].options == [*ENGINES, "toy"]
    assert asked["engine"].default == "optical" and "toy: shows how an engine is added" in asked["engine"].tooltip
    assert asked["toy_file"].options == ["none", "toy.safetensors"]
    # One socket that several engines read: each says what it wants.
    assert asked["vae"].tooltip.startswith("genfocus: ") and asked["vae"].tooltip.endswith(" toy: any.")


def test_the_loader_says_why_not_before_a_model_is_loaded(pack):
    check = pack["LoadRefocusModel"].check_lazy_status
    for given, said in (
        ({}, "toy needs its toy_file, and none is chosen: choose one."),
        ({"toy_file": "gone.safetensors"}, "toy_file gone.safetensors is not there: choose another."),
    ):
        with pytest.raises(ValueError) as error:
            check(engine="toy", vae=None, **given)
        assert str(error.value) == said
    with pytest.raises(ValueError, match="none is chosen"):
        pack["LoadRefocusModel"].execute(engine="toy")


def test_its_sockets_are_asked_for_and_no_others(pack):
    loader = pack["LoadRefocusModel"]
    sockets = dict.fromkeys(("flux", "clip", "vae", "clip_vision"))
    assert loader.check_lazy_status(engine="toy", toy_file="toy.safetensors", **sockets) == ["vae"]
    assert loader.check_lazy_status(engine="toy", toy_file="toy.safetensors", vae="made", flux=None) == []
    assert loader.check_lazy_status(engine="optical", **sockets) == []
    assert {i.id for i in loader.GET_SCHEMA().inputs if i.lazy} == set(sockets)


def test_nodes_bring_its_widgets_behind_those_that_were_there(pack):
    shown = inputs(pack["BokehSynthesize"])
    assert [name for name in shown if name not in LATER][-1] == "glow" and shown["glow"].default == 0.25
    assert shown["steps"].tooltip.endswith("toy: how often.") and shown["steps"].default == 28
    assert pack["BokehSynthesize"].GET_SCHEMA().description.endswith("toy brightens.")
    assert shown["image"].tooltip.endswith("toy: any picture.")
    stack = list(inputs(pack["FocalStackGenerate"]))
    assert stack.index("highlights") < stack.index("copies") < stack.index("depth")  # required ones stay in front


def test_every_task_runs_it(pack, toy):
    (bokeh,) = run(pack["BokehSynthesize"], PICTURE, None, model=toy, steps=2, glow=0.5)
    assert torch.equal(bokeh, PICTURE + 0.5 + 2)
    sharp, defocus = run(pack["DeblurAiF"], PICTURE, model=toy, strength=0.5, defocus="any")
    assert torch.equal(sharp, PICTURE - 0.5) and defocus == "any"
    stacks, positions, info = run(pack["FocalStackGenerate"], PICTURE, model=toy, copies=4, steps=0)
    assert [len(s) for s in stacks] == [4, 4] and torch.equal(stacks[1][3], PICTURE[1])
    assert positions == [0.0] * 4 and info == "7 steps"
    photo = run(pack["RefocusPhoto"], PICTURE, model=toy, blur=50.0, keep=False, steps=2)
    assert torch.allclose(photo[0], 0.5 * PICTURE) and photo[3].endswith("\ntoy: (0.5, 0.5), 2 steps")
    assert pack["ToyNode"].execute(toy).args[0].endswith("toy.safetensors")


def test_0_is_each_engines_own_default(pack, toy):
    assert float(run(pack["BokehSynthesize"], PICTURE, None, model=toy, steps=0, glow=0.0)[0].min()) == 7.0


def test_what_it_made_goes_on_through_the_other_nodes(pack, toy):
    stack = run(pack["FocalStackGenerate"], PICTURE, model=toy)[0][0]
    assert torch.equal(run(pack["SelectFocusFrame"], stack)[0][0], PICTURE[0])
    assert run(pack["StackFuse"], stack)[0].shape == (1, 5, 7, 3)


def test_the_other_engines_do_not_see_its_widgets(pack):
    lens = run(pack["RefocusLens"], torch.linspace(0, 1, 35).view(1, 5, 7), strength=900.0)[0]
    optical = pack["LoadRefocusModel"].execute(engine="optical").args[0]
    a = run(pack["BokehSynthesize"], PICTURE[:1], lens, quality="fast", glow=9.0)[0]
    b = run(pack["BokehSynthesize"], PICTURE[:1], lens, quality="fast", glow=0.0, model=optical)[0]
    assert torch.equal(a, b) and not torch.equal(a, PICTURE[:1])


def test_what_it_cannot_do_is_one_sentence(pack, toy):
    less = type(toy)("toy", {})
    with pytest.raises(ValueError, match=r"toy does not sharpen a photo, but optical or genfocus or .*toy can: choose"):
        run(pack["DeblurAiF"], PICTURE, model=less)
    with pytest.raises(ValueError, match="the model's engine is toy, but genfocus is needed"):
        run(pack["GenfocusConditioning"], toy, PICTURE)
    with pytest.raises(ValueError, match=f"the engine is 'abc', but one of {', '.join(ENGINES)}, toy is"):
        pack["LoadRefocusModel"].execute(engine="abc")


def test_the_shared_nodes_name_no_engine(root):
    """The nodes that every engine shares name none (tests/test_architecture.py has the rest of the rules)."""
    for name in ("blur", "stack", "model", "photo"):
        text = (root / "nodes" / f"{name}.py").read_text()
        assert not [e for e in ("genfocus", "learn2refocus", "optical engine") if e in text.lower()], name
