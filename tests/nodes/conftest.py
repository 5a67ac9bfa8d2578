"""learn2refocus on the golden data's tiny SVD, for the tests that use the host as a library."""

import shutil

import pytest
import torch

XT = '{"_class_name": "UNetSpatioTemporalConditionModel", "num_frames": 25}'


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

    monkeypatch.setitem(folder_paths.folder_names_and_paths, "diffusion_models", ([str(unets)], {".safetensors"}))
    folder_paths.filename_list_cache.pop("diffusion_models", None)
    given = {"refocus_unet": "unet.safetensors", **clip_vision_and_vae}
    with torch.inference_mode():
        yield lambda **changes: LoadRefocusModel.execute("learn2refocus", **{**given, **changes}).args[0]
    folder_paths.filename_list_cache.pop("diffusion_models", None)


@pytest.fixture
def model(load):
    return load()
