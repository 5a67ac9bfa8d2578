"""LoadRefocusModel with the engine learn2refocus: what a UNet file becomes, and what is said of wrong ones."""

import random
from types import SimpleNamespace

import pytest
import torch

from rackfocus.dev.host.library import use_comfy

use_comfy()

import comfy.sd  # noqa: E402
import comfy.utils  # noqa: E402
import folder_paths  # noqa: E402

from rackfocus.nodes.learn2refocus.models import load_unet  # noqa: E402
from rackfocus.nodes.model import LoadRefocusModel  # noqa: E402
from rackfocus.pipelines.image.checks import RefocusError  # noqa: E402
from rackfocus.tests.fuzz.files import damaged_bytes  # noqa: E402
from rackfocus.tests.fuzz.headers import DAMAGES, HEADERS  # noqa: E402
from rackfocus.tests.nodes.conftest import XT  # noqa: E402


def test_norms_have_the_eps_of_training(model):
    """1e-6 in the resnets of blocks that attend on the way down and of all on the way up, 1e-5 elsewhere."""
    net = model.models.model.model.diffusion_model
    eps = {name: m.eps for name, m in net.named_modules() if isinstance(m, torch.nn.GroupNorm)}
    resnets = {n: e for n, e in eps.items() if n.endswith(("in_layers.0", "out_layers.0"))}
    attending = {n.split(".")[1] for n in eps if n.startswith("input_blocks.") and ".1.norm" in n}
    for name, value in resnets.items():
        place, number = name.split(".")[:2]
        fine = place == "output_blocks" or (place == "input_blocks" and number in attending)
        assert value == (1e-6 if fine else 1e-5), name
    assert {resnets[n] for n in resnets} == {1e-6, 1e-5} and eps["out.0"] == 1e-5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"refocus_unet": "none"}, r"none is chosen in refocus_unet.*diffusion_pytorch_model.*tedlasai/learn2refocus"),
        ({"refocus_unet": "vae.safetensors"}, r"vae\.safetensors is SVD's VAE, but learn2refocus's UNet"),
        ({"refocus_unet": "torn.safetensors"}, r"torn\.safetensors cannot be read"),
        ({"refocus_unet": "xt/unet.safetensors"}, r"unet\.safetensors is the UNet of SVD-xt .*25 frames"),
        ({"refocus_unet": "pickle.pt"}, r"pickle\.pt cannot be read as a safetensors file \(it is a pickle"),
        ({"refocus_unet": "whole.safetensors"}, r"whole\.safetensors holds tensors of the type I16"),
        (
            {"refocus_unet": "pipe.safetensors"},
            "'pipe.safetensors' in models/diffusion_models is no file that can be opened",
        ),
        ({"clip_vision": None}, "no CLIP_VISION is connected"),
        ({"vae": None}, "no VAE is connected"),
        ({"vae": SimpleNamespace(first_stage_model=torch.nn.Identity())}, "no layers in time"),
    ],
)
def test_what_is_missing_or_wrong_is_said(load, changes, said):
    with pytest.raises(RefocusError, match=said) as error:
        load(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        (XT, True),
        (XT.replace("25", "14"), False),
        (XT.replace("UNet", "Something"), False),
        ("no json", False),
        ("[25]", False),
    ],
)
def test_the_frame_count_beside_the_file_tells_svd_xt(unets, load, config, refused):
    (unets / "xt" / "config.json").write_text(config)
    try:
        if refused:
            with pytest.raises(RefocusError, match="SVD-xt"):
                load(refocus_unet="xt/unet.safetensors")
        else:
            assert load(refocus_unet="xt/unet.safetensors")
    finally:
        (unets / "xt" / "config.json").write_text(XT)


def test_missing_is_said_before_anything_runs(load):
    def check(**files):
        return LoadRefocusModel.check_lazy_status(engine="learn2refocus", vae=None, flux=None, **files)

    assert check(refocus_unet="unet.safetensors") == ["vae"]
    for unet in ("gone.safetensors", None, "x" * 9999):
        with pytest.raises(RefocusError, match="no such file") as error:
            check(refocus_unet=unet)
        assert len(str(error.value)) <= 400
    with pytest.raises(RefocusError, match="none is chosen in refocus_unet"):
        check()


OWN, LAID_OUT = "diffusion_pytorch_model.safetensors", "checkpoint-200000/unet/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize("chosen", [OWN, LAID_OUT, f"learn2refocus/{LAID_OUT}", f"learn2refocus\\{LAID_OUT}"])
@pytest.mark.parametrize("there", [OWN, LAID_OUT, f"any/folder/{LAID_OUT}"])
def test_the_unet_is_found_under_its_own_name_and_in_its_repositorys_layout(
    monkeypatch, tmp_path, clip_vision_and_vae, unets, chosen, there
):
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).symlink_to(unets / "unet.safetensors")
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "diffusion_models", ([str(tmp_path)], {".safetensors"}))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    given = {"engine": "learn2refocus", "refocus_unet": chosen, **clip_vision_and_vae}
    LoadRefocusModel.check_lazy_status(**given)
    assert LoadRefocusModel.execute(**given).args[0].engine == "learn2refocus"


def test_another_file_of_that_name_is_not_taken_for_it(monkeypatch, tmp_path, unets):
    """SVD's own UNet has the same name, names and shapes."""
    (tmp_path / "svd" / "unet").mkdir(parents=True)
    (tmp_path / "svd" / "unet" / OWN).symlink_to(unets / "unet.safetensors")
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "diffusion_models", ([str(tmp_path)], {".safetensors"}))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    with pytest.raises(RefocusError, match="no such file"):
        LoadRefocusModel.check_lazy_status(engine="learn2refocus", refocus_unet=OWN)


@pytest.mark.parametrize("attack", [*DAMAGES, *HEADERS])
def test_a_damaged_unet_is_loaded_or_said(tmp_path, unets, attack):
    """Through the host's own loader, and without a traceback."""
    data = (unets / "unet.safetensors").read_bytes()
    (tmp_path / "unet.safetensors").write_bytes(damaged_bytes(data, attack, random.Random(attack)))
    try:
        assert load_unet(str(tmp_path / "unet.safetensors"))
    except RefocusError as error:
        assert len(str(error)) <= 400 and "\n" not in str(error)


def test_what_the_host_cannot_build_is_said(unets, monkeypatch):
    def fails(weights):
        raise ZeroDivisionError("heads of no width")

    monkeypatch.setattr(comfy.sd, "load_diffusion_model_state_dict", fails)
    with pytest.raises(RefocusError, match=r"unet\.safetensors cannot be loaded by ComfyUI \(ZeroDivisionError"):
        load_unet(str(unets / "unet.safetensors"))


def test_a_unet_is_refused_before_its_tensors_are_read(tmp_path, unets, monkeypatch):
    monkeypatch.setattr(comfy.utils, "load_torch_file", lambda *a, **k: pytest.fail("tensors are read"))
    for name in ("vae.safetensors", "pickle.pt", "whole.safetensors", "torn.safetensors"):
        with pytest.raises(RefocusError):
            load_unet(str(unets / name))
