import json

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file

from rackfocus.pipelines.genfocus import architecture_of, read_lora

from .golden import Genfocus, golden_root


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def genfocus():
    return Genfocus(golden_root())


@pytest.fixture(scope="session")
def transformer(genfocus):
    config = json.loads((genfocus.folder / "transformer_config.json").read_text(encoding="utf-8"))
    model = FluxTransformer2DModel(**config).eval()
    model.load_state_dict(load_file(genfocus.folder / "transformer.safetensors"))
    return model


@pytest.fixture(scope="session")
def lora(genfocus, transformer):
    return read_lora(genfocus.folder / "lora.safetensors", architecture_of(transformer))
