"""Which engine a node runs, and what an engine whose files are missing says."""

import pytest

from rackfocus.pipelines.engines import ENGINES, RefocusModel
from rackfocus.tests.nodes.scenes import BASE, BY_ID, run


def test_model_inputs_choose_the_engine():
    model = run("LoadRefocusModel")[0]
    assert model.engine == "optical"
    for node_id in ("BokehSynthesize", "DeblurAiF", "FocalStackGenerate"):
        run(node_id, **BASE[node_id], model=model)
        with pytest.raises(ValueError, match="learn2refocus cannot"):
            run(node_id, **BASE[node_id], model=RefocusModel("learn2refocus"))
    with pytest.raises(ValueError, match="genfocus cannot"):
        run("FocalStackGenerate", **BASE["FocalStackGenerate"], model=RefocusModel("genfocus"))


def test_an_engine_without_its_files_says_what_to_get():
    node = BY_ID["LoadRefocusModel"]
    for name, engine in ENGINES.items():
        said = node.validate_inputs(engine=name, deblur_lora="a.safetensors", refocus_unet="a.safetensors")
        assert (said is True) == engine.ready
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
