"""Which engine a node runs, and what an engine whose files are missing says."""

from inspect import getfullargspec
from types import SimpleNamespace

import pytest

from rackfocus.dev.host.library import use_comfy

use_comfy()
import folder_paths  # noqa: E402
from comfy_api.latest import io  # noqa: E402

from rackfocus.nodes import engines  # noqa: E402
from rackfocus.nodes.engines import ENGINES  # noqa: E402
from rackfocus.nodes.host import RefocusModel  # noqa: E402
from rackfocus.tests.nodes.scenes import BASE, BY_ID, run  # noqa: E402


def test_model_inputs_choose_the_engine():
    model = run("LoadRefocusModel")[0]
    assert model.engine == "optical"
    for node_id in ("BokehSynthesize", "DeblurAiF", "FocalStackGenerate"):
        run(node_id, **BASE[node_id], model=model)
    for node_id, task, able in (
        ("BokehSynthesize", "blur a picture", "optical or genfocus"),
        ("DeblurAiF", "sharpen a photo", "optical or genfocus"),
    ):
        with pytest.raises(ValueError, match=rf"learn2refocus does not {task}, but {able}( or \w+)* can"):
            run(node_id, **BASE[node_id], model=RefocusModel("learn2refocus", {}))
    with pytest.raises(
        ValueError, match=r"genfocus does not make a focal stack, but optical or learn2refocus( or \w+)* can"
    ):
        run("FocalStackGenerate", **BASE["FocalStackGenerate"], model=RefocusModel("genfocus", {}))
    with pytest.raises(ValueError, match="model is a str, but one from LoadRefocusModel is needed"):
        run("BokehSynthesize", **BASE["BokehSynthesize"], model="genfocus")


def refused(**chosen) -> str:
    """What LoadRefocusModel says before a model is loaded; "" if it goes on."""
    try:
        BY_ID["LoadRefocusModel"].check_lazy_status(**chosen)
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) <= 400
        return str(error)
    return ""


def test_an_engine_without_its_files_says_what_to_get():
    for name, engine in ENGINES.items():
        files = [i.id for i in engine.loader_inputs() if isinstance(i, io.Combo.Input)]
        assert bool(refused(engine=name)) == bool(files)
        said = refused(engine=name, **dict.fromkeys(files, "a.safetensors" * 99))
        assert ("'a.safetensors" in said and "no such file" in said) == bool(files)
        assert bool(refused(engine=name, **dict.fromkeys(files))) == bool(files)
    assert ENGINES["optical"].loader_inputs() == []  # what works without any file
    assert "the engine is 'abc', but one of optical, genfocus" in refused(engine="abc")
    assert "the engine is a list, but one of" in refused(engine=[1])
    said = refused(engine="genfocus")
    for part in (
        "deblurNet.safetensors",
        "nycu-cplab/Genfocus-Model",
        "463,703,368 bytes",
        "Apache-2.0",
        "models/loras",
        "size unknown",
    ):
        assert part in said
    with pytest.raises(ValueError, match=r"none is chosen in refocus_unet.*checkpoint-200000/unet/.*tedlasai"):
        run("LoadRefocusModel", engine="learn2refocus")


def test_the_host_leaves_the_values_to_the_engine():
    """Its own look at the lists says nothing of where a file is to be had, and repeats a sentence for every input."""
    node = BY_ID["LoadRefocusModel"]
    assert node.validate_inputs(engine="abc", deblur_lora="gone") is True
    assert getfullargspec(node.validate_inputs).varkw


@pytest.mark.parametrize(
    "kind, lora, said",
    [
        ("BokehSynthesize", "bokeh_lora", "no bokeh_lora is chosen, but a node of this graph needs it.*bokehNet"),
        ("DeblurAiF", "deblur_lora", "no deblur_lora is chosen, but a node of this graph needs it.*deblurNet"),
        ("FocalStackGenerate", None, "genfocus does not make a focal stack, but optical or learn2refocus"),
        ("GenfocusConditioning", "bokeh_lora", ""),
    ],
)
def test_what_the_graph_asks_is_looked_at_before_a_model_is_loaded(monkeypatch, tmp_path, kind, lora, said):
    (tmp_path / "a.safetensors").write_bytes(b"")
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(tmp_path)], {".safetensors"}))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    node, chosen = BY_ID["LoadRefocusModel"], dict.fromkeys(("deblur_lora", "bokeh_lora"), "a.safetensors")
    if lora:
        chosen[lora] = "none"
    for link, hears in ((["7", 0], True), (["8", 0], False), (["7", 1], False), (None, False)):
        prompt = {"3": {"class_type": kind, "inputs": {"model": link}}}
        clone = type("Clone", (node,), {"hidden": SimpleNamespace(prompt=prompt, unique_id="7")})  # as the host's
        if said and hears:
            with pytest.raises(ValueError, match=said):
                clone.check_lazy_status(engine="genfocus", **chosen, flux=None)
        else:
            assert clone.check_lazy_status(engine="genfocus", **chosen, flux=None) == ["flux"]


def test_later_inputs_stand_behind_all_others_in_the_order_in_which_they_came(monkeypatch):
    """A saved workflow holds the values of widgets by place: a new one among them would take its neighbour's."""
    monkeypatch.setattr(engines, "LATER", ())
    before = [i.id for i in engines.inputs("bokeh")], [i.id for i in engines.loader_inputs()]
    assert before[0].index("cats_eye") < before[0].index("chromatic") < before[0].index("prompt")
    later = ("chromatic", "cats_eye", "flux")
    monkeypatch.setattr(engines, "LATER", later)
    for names, now in zip(before, (engines.inputs("bokeh"), engines.loader_inputs()), strict=True):
        assert [i.id for i in now] == [n for n in names if n not in later] + [n for n in later if n in names]
