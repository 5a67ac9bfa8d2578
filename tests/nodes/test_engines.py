"""Which engine a node runs, and what an engine whose files are missing says."""

import pytest

from rackfocus.dev.host.library import use_comfy

use_comfy()
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


def test_an_engine_without_its_files_says_what_to_get():
    node = BY_ID["LoadRefocusModel"]
    for name, engine in ENGINES.items():
        files = [i.id for i in engine.loader_inputs() if isinstance(i, io.Combo.Input)]
        assert (node.validate_inputs(engine=name) is True) == (not files)
        said = node.validate_inputs(engine=name, **dict.fromkeys(files, "a.safetensors"))
        assert "'a.safetensors'" in said and "no such file" in said if files else said is True
        assert node.validate_inputs(engine=name, **dict.fromkeys(files)) is True  # not known yet
    assert ENGINES["optical"].loader_inputs() == []  # what works without any file
    assert "the engine is 'abc', but one of optical, genfocus" in node.validate_inputs(engine="abc")
    said = node.validate_inputs(engine="genfocus")
    for part in (
        "deblurNet.safetensors",
        "nycu-cplab/Genfocus-Model",
        "463,703,368 bytes",
        "Apache-2.0",
        "models/loras",
        "size unknown",
    ):
        assert part in said
    assert "\n" not in said
    with pytest.raises(ValueError, match=r"none is chosen in refocus_unet.*checkpoint-200000/unet/.*tedlasai"):
        run("LoadRefocusModel", engine="learn2refocus")


def test_later_inputs_stand_behind_all_others_in_the_order_in_which_they_came(monkeypatch):
    """A saved workflow holds the values of widgets by place: a new one among them would take its neighbour's."""
    monkeypatch.setattr(engines, "LATER", ())
    before = [i.id for i in engines.inputs("bokeh")], [i.id for i in engines.loader_inputs()]
    assert before[0].index("cats_eye") < before[0].index("chromatic") < before[0].index("prompt")
    later = ("chromatic", "cats_eye", "flux")
    monkeypatch.setattr(engines, "LATER", later)
    for names, now in zip(before, (engines.inputs("bokeh"), engines.loader_inputs()), strict=True):
        assert [i.id for i in now] == [n for n in names if n not in later] + [n for n in later if n in names]
