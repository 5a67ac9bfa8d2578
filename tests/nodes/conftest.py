"""ComfyUI as a library in this process; no server is started."""

import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from rackfocus.dev.host.library import use_comfy
from rackfocus.dev.tiny import depth as tiny_depth

use_comfy()  # before the test modules import the host's

KINDS = {".safetensors", ".pt"}
XT = '{"_class_name": "UNetSpatioTemporalConditionModel", "num_frames": 25}'


@pytest.fixture(autouse=True)
def previews(monkeypatch, tmp_path):
    import folder_paths

    monkeypatch.setattr(folder_paths, "temp_directory", str(tmp_path))


@pytest.fixture(scope="session")
def depth_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refocus")
    tiny_depth.save("anything", folder / "relative")
    tiny_depth.save("anything_metric", folder / "metric")
    return folder


@pytest.fixture(autouse=True)
def depth_models(monkeypatch, depth_folder):
    """The host's refocus folder holds two depth models; use(folder) makes it another one."""
    import folder_paths

    def use(folder):
        monkeypatch.setitem(folder_paths.folder_names_and_paths, "refocus", ([str(folder)], set()))
        folder_paths.filename_list_cache.pop("refocus", None)

    use(depth_folder)
    yield use
    folder_paths.filename_list_cache.pop("refocus", None)


@pytest.fixture(scope="session")
def unets(tmp_path_factory):
    """models/diffusion_models: the tiny UNet, a copy beside SVD-xt's config.json, and files that are none."""
    from rackfocus.dev.tiny.svd import GOLDEN, use_tiny_svd

    folder = tmp_path_factory.mktemp("diffusion_models")
    shutil.copy(GOLDEN / "unet.safetensors", folder / "unet.safetensors")
    shutil.copy(GOLDEN / "vae.safetensors", folder / "vae.safetensors")
    (folder / "xt").mkdir()
    (folder / "xt" / "unet.safetensors").symlink_to(GOLDEN / "unet.safetensors")
    (folder / "xt" / "config.json").write_text(XT)
    (folder / "torn.safetensors").write_bytes(b"not weights")
    torch.save({"a": torch.zeros(1)}, folder / "pickle.pt")
    state = load_file(GOLDEN / "unet.safetensors")
    save_file(
        {name: torch.zeros(t.shape, dtype=torch.int16) for name, t in state.items()}, folder / "whole.safetensors"
    )
    os.mkfifo(folder / "pipe.safetensors")
    use_tiny_svd()
    return folder


@pytest.fixture(scope="session")
def clip_vision_and_vae():
    from rackfocus.dev.tiny.svd import tiny_clip_vision, tiny_vae

    return {"clip_vision": tiny_clip_vision(), "vae": tiny_vae()}


@pytest.fixture
def load(monkeypatch, unets, clip_vision_and_vae):
    """load(**changes) -> REFOCUS_MODEL of LoadRefocusModel."""
    import folder_paths

    from rackfocus.nodes.model import LoadRefocusModel

    monkeypatch.setitem(
        folder_paths.folder_names_and_paths, "diffusion_models", ([str(unets)], {".safetensors", ".pt"})
    )
    folder_paths.filename_list_cache.pop("diffusion_models", None)
    given = {"refocus_unet": "unet.safetensors", **clip_vision_and_vae}
    with torch.inference_mode():
        yield lambda **changes: LoadRefocusModel.execute("learn2refocus", **{**given, **changes}).args[0]
    folder_paths.filename_list_cache.pop("diffusion_models", None)


@pytest.fixture
def model(load):
    return load()


@pytest.fixture(scope="module")
def patcher(lora, transformer):
    """The golden LoRA as what rides on a MODEL of the host's."""
    from rackfocus.dev.tiny import native_flux

    return native_flux.patchers([lora], transformer)


@pytest.fixture
def small():
    """(noise, two condition grids, text, pooled) of 5 x 9 tokens."""
    from rackfocus.tests.parity.golden import OURS

    return OURS.inputs("bokeh_small")
