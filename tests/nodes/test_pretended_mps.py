"""Every node and every engine on a pretended Apple GPU: the result is that of the CPU, to 1e-5.

The learned engines run their tiny models through the host's own loaders and samplers, on the pretended device too.
"""

from types import SimpleNamespace

import comfy.model_management as mm
import folder_paths
import pytest
import torch
from safetensors.torch import save_file

from rackfocus.dev.tiny.genfocus import TinyClip, tiny_flux, tiny_lora, tiny_vae
from rackfocus.dev.tiny.svd import tiny_clip_vision
from rackfocus.dev.tiny.svd import tiny_vae as tiny_svd_vae
from rackfocus.nodes import NODES
from rackfocus.nodes.host import RefocusModel
from rackfocus.nodes.learn2refocus import nodes as sweep
from rackfocus.pipelines.optics import DefocusMap
from rackfocus.tests.nodes.scenes import BASE, corner, defocus, depth, half, image, random, run, shifted
from rackfocus.tests.pretended_mps import CPU, DEVICE, pretended_mps

# kornia's guided filter takes another way on every device but the CPU, and what smooths the order and the confidence
# magnifies its rounding.
TOLERANCE = {"StackFuse, aligned": 1e-3}
SLOW = {"BokehSynthesize, all of it", "RefocusPhoto", "DeblurAiF", "StackFuse, depth", "StackFuse, aligned"}
CASES = {
    "RefocusSample": {},
    "RefocusSample, one's own": {"image": image, "depth": depth, "stack": BASE["StackFuse"]["stack"]},
    "RefocusDepth": {"image": image, "model": "relative"},
    "ApertureShapeMask": {"image": lambda: random(1, 20, 30, 3), "rotation": 20.0},
    "RefocusLens, automatic": {"depth": depth, "focus_by": "automatic", "image": lambda: random(1, 70, 99, 3)},
    "RefocusLens, camera": {"depth": depth, "lens": "camera", "depth_kind": "disparity"},
    "RefocusLens, mask": {"depth": depth, "focus_by": "mask", "focus_mask": corner},
    "RefocusLens, distance": {"depth": depth, "focus_by": "distance", "focus_distance": 3.0},
    "RefocusRack": {"depth": depth, "keyframes": "0: 0.1, 0.1; 3: 2.5m", "image": lambda: random(1, 96, 128, 3)},
    "BokehSynthesize": {"image": image, "defocus": defocus, "quality": "fast"},
    "BokehSynthesize, all of it": {
        "image": image,
        "defocus": defocus,
        "quality": "fast",
        "aperture": half,
        "background": lambda: random(1, 48, 64, 3, seed=3),
        "cats_eye": 0.7,
        "spherical": 0.5,
        "chromatic": 30.0,
    },
    "RefocusPhoto": {"image": lambda: soft(), "depth": depth, "quality": "fast", "aperture": half},
    "DeblurAiF": {"image": lambda: image()[:, :36, :40]},
    "DeblurAiF, known": {"image": image, "defocus": defocus, "aperture": half, "strength": 0.7},
    "FocalStackGenerate": {"image": image, "depth": depth, "frames": 2, "strength": 200.0},
    "SelectFocusFrame": {**BASE["SelectFocusFrame"], "select_by": "point"},
    "StackFuse": BASE["StackFuse"],
    "StackFuse, depth": {**BASE["StackFuse"], "method": "depth"},
    "StackFuse, aligned": {"stack": shifted, "align": True, "method": "average"},
}


def soft():
    """The picture out of focus at its right, as a photo may be."""
    blurred = image().roll(1, 2) / 3 + image() / 3 + image().roll(-1, 2) / 3
    return torch.cat([image()[:, :, :32], blurred[:, :, 32:]], 2)


def moved(value, device):
    """What a node is given or gives, on a device."""
    if isinstance(value, DefocusMap):
        return DefocusMap(value.radius.to(device))
    if isinstance(value, list):
        return [moved(v, device) for v in value]
    return value.to(device) if isinstance(value, torch.Tensor) else value


def difference(a, b) -> float:
    """The largest difference of two results of a node, whose texts must be equal."""
    if isinstance(a, DefocusMap):
        return difference(a.radius, b.radius)
    if isinstance(a, list):
        assert len(a) == len(b)
        return max(difference(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, torch.Tensor):
        assert a.shape == b.shape and a.dtype == b.dtype
        return float((a - b).abs().max())
    assert a == b
    return 0.0


@pytest.fixture(params=["results on the CPU", "results stay there"])
def results_on(request, monkeypatch):
    """The host as it is on an Apple GPU, by itself and with --gpu-only: where nodes hand on what they made."""
    there = DEVICE if request.param == "results stay there" else CPU
    monkeypatch.setattr(mm, "get_torch_device", lambda: DEVICE)
    monkeypatch.setattr(mm, "intermediate_device", lambda: there)
    monkeypatch.setattr(mm, "is_device_mps", lambda device: device.type == DEVICE.type)
    monkeypatch.setattr(mm, "get_free_memory", lambda dev=None, torch_free_too=False: _bytes(torch_free_too))
    monkeypatch.setattr(mm, "get_total_memory", lambda dev=None, torch_total_too=False: _bytes(torch_total_too))
    with torch.inference_mode():
        yield there


def _bytes(of_torch_too: bool):
    return (1 << 40, 1 << 40) if of_torch_too else 1 << 40


def check(work, results_on, monkeypatch, tolerance=1e-5):
    """work(device) -> results of nodes, whose inputs are on the device where nodes hand on what they made."""
    with monkeypatch.context() as usual:
        usual.setattr(mm, "get_torch_device", lambda: CPU)
        usual.setattr(mm, "intermediate_device", lambda: CPU)
        expected = work(CPU)
    with pretended_mps():
        made = work(results_on)
        assert {t.device for t in tensors_in(made)} == {results_on}
        assert difference(moved(made, CPU), expected) < tolerance


def tensors_in(value) -> list[torch.Tensor]:
    if isinstance(value, list | tuple):
        return [t for v in value for t in tensors_in(v)]
    value = value.radius if isinstance(value, DefocusMap) else value
    return [value] if isinstance(value, torch.Tensor) else []


@pytest.mark.parametrize("case", CASES)
def test_every_node(case, results_on, monkeypatch):
    inputs = {k: v() if callable(v) else v for k, v in CASES[case].items()}

    def work(device):
        return run(case.split(",")[0], **{k: moved(v, device) for k, v in inputs.items()})

    check(work, results_on, monkeypatch, TOLERANCE.get(case, 1e-5))


@pytest.mark.parametrize("odd", [0, 1])
@pytest.mark.parametrize("case", sorted(set(CASES) - SLOW))
def test_inputs_on_two_devices(case, odd, results_on, monkeypatch):
    """Every other input comes from another device than where results stay."""
    inputs = {k: v() if callable(v) else v for k, v in CASES[case].items()}
    there = [k for k, v in inputs.items() if tensors_in(v)][odd::2]

    def work(device):
        other = CPU if device == DEVICE or mm.get_torch_device() == CPU else DEVICE
        return run(case.split(",")[0], **{k: moved(v, other if k in there else device) for k, v in inputs.items()})

    check(work, results_on, monkeypatch, TOLERANCE.get(case, 1e-5))


@pytest.fixture
def loras(tmp_path, monkeypatch):
    for i, name in enumerate(("deblur", "bokeh", "aperture")):
        save_file(tiny_lora(seed=i), tmp_path / f"{name}.safetensors")
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", ([str(tmp_path)], {".safetensors"}))
    folder_paths.filename_list_cache.pop("loras", None)
    yield {f"{name}_lora": f"{name}.safetensors" for name in ("deblur", "bokeh", "aperture")}
    folder_paths.filename_list_cache.pop("loras", None)


def test_genfocus(results_on, loras, monkeypatch):
    def work(device):
        flux, vae = tiny_flux(), tiny_vae()
        flux.load_device = mm.get_torch_device()
        (model,) = run("LoadRefocusModel", engine="genfocus", flux=flux, clip=TinyClip(), vae=vae, **loras)
        given = {"image": image().to(device), "defocus": moved(defocus(), device), "model": model}
        fast = {"steps": 1, "seed": 5}
        blurred = run("BokehSynthesize", **given, aperture=half().to(device), **fast)
        sharp = run("DeblurAiF", **given, strength=0.7, **fast)
        conditioned = run("GenfocusConditioning", **given)
        return [*blurred, *sharp, conditioned[-1]["samples"]]

    check(work, results_on, monkeypatch)


def test_learn2refocus(results_on, unets, monkeypatch):
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "diffusion_models", ([str(unets)], {".safetensors"}))
    folder_paths.filename_list_cache.pop("diffusion_models", None)

    def work(device):
        models = {"clip_vision": tiny_clip_vision(), "vae": tiny_svd_vae()}
        (model,) = run("LoadRefocusModel", engine="learn2refocus", refocus_unet="unet.safetensors", **models)
        photo = random(1, 40, 53, 3).to(device)
        fast = {"steps": 1, "guidance": 1.0, "seed": 5, "max_megapixels": 0.01}
        stack = run("FocalStackGenerate", image=photo, model=model, input_position="4", detail=0.5, **fast)
        return stack[:1]

    check(work, results_on, monkeypatch)


def test_the_sheet_of_all_positions(results_on, monkeypatch):
    """The stacks themselves are made as by FocalStackGenerate, above."""
    frames = [random(9, 16, 24, 3, seed=i) for i in range(9)]
    model = RefocusModel("learn2refocus", {}, SimpleNamespace())

    def work(device):
        monkeypatch.setattr(sweep, "run", lambda *_, **__: (f.to(mm.get_torch_device()) for f in frames))
        return run("RefocusPositionSweep", model=model, image=random(1, 16, 24, 3).to(device))

    check(work, results_on, monkeypatch)


def test_no_node_is_left_out():
    named = {case.split(",")[0] for case in CASES}
    engines = {"LoadRefocusModel", "GenfocusConditioning", "RefocusPositionSweep"}
    assert named | engines == {node.GET_SCHEMA().node_id for node in NODES}
