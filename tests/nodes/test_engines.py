"""Which engine a node runs, and what an engine whose files are missing says."""

import pytest

from rackfocus.nodes.engines import ENGINES
from rackfocus.nodes.host import RefocusModel
from rackfocus.tests.nodes.scenes import BASE, BY_ID, run


def test_model_inputs_choose_the_engine():
    model = run("LoadRefocusModel")[0]
    assert model.engine == "optical"
    for node_id in ("BokehSynthesize", "DeblurAiF", "FocalStackGenerate"):
        run(node_id, **BASE[node_id], model=model)
    for node_id, task, able in (
        ("BokehSynthesize", "blur a picture", "optical or genfocus"),
        ("DeblurAiF", "sharpen a photo", "optical or genfocus"),
    ):
        with pytest.raises(ValueError, match=f"learn2refocus does not {task}, but {able} can"):
            run(node_id, **BASE[node_id], model=RefocusModel("learn2refocus", {}))
    with pytest.raises(ValueError, match="genfocus does not make a focal stack, but optical or learn2refocus can"):
        run("FocalStackGenerate", **BASE["FocalStackGenerate"], model=RefocusModel("genfocus", {}))
    with pytest.raises(ValueError, match="model is a str, but one from LoadRefocusModel is needed"):
        run("BokehSynthesize", **BASE["BokehSynthesize"], model="genfocus")


def test_an_engine_without_its_files_says_what_to_get():
    node = BY_ID["LoadRefocusModel"]
    for name in ENGINES:
        assert (node.validate_inputs(engine=name) is True) == (name == "optical")
        said = node.validate_inputs(engine=name, deblur_lora="a.safetensors", refocus_unet="a.safetensors")
        assert said is True if name == "optical" else "'a.safetensors'" in said and "no such file" in said
        assert node.validate_inputs(engine=name, deblur_lora=None, refocus_unet=None) is True  # not known yet
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
