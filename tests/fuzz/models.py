"""Tiny models in folders of the host, and the engines that run on them; each made when it is first asked for."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import comfy.sample
import folder_paths
import torch
from safetensors.torch import save_file


@cache
def install() -> Path:
    """The host's model folders hold tiny models, and its previews go to a temporary folder, as long as this process
    runs."""
    from rackfocus.dev.tiny import depth
    from rackfocus.dev.tiny.genfocus import tiny_lora
    from rackfocus.dev.tiny.svd import GOLDEN, use_tiny_svd

    root = Path(tempfile.mkdtemp(prefix="rackfocus-fuzz-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    for folder in ("refocus", "loras", "diffusion_models", "temp"):
        (root / folder).mkdir()
        if folder != "temp":
            folder_paths.folder_names_and_paths[folder] = ([str(root / folder)], {".safetensors", ".json"})
            folder_paths.filename_list_cache.pop(folder, None)
    folder_paths.temp_directory = str(root / "temp")
    depth.save("anything", root / "refocus" / "relative")
    depth.save("anything_metric", root / "refocus" / "metric")
    for name in ("deblurNet", "bokehNet", "aperture"):
        save_file(tiny_lora(), root / "loras" / f"{name}.safetensors")
    shutil.copy(GOLDEN / "unet.safetensors", root / "diffusion_models" / "unet.safetensors")
    use_tiny_svd()
    comfy.sample.sample_custom = sampled
    return root


def sampled(model, noise, cfg, sampler, sigmas, positive, negative, latent, *, callback, seed, **_):
    """In the place of the host's sampler, which other tests go through: what it is given, mixed, at once."""
    assert isinstance(seed, int) and noise.isfinite().all() and sigmas.isfinite().all()
    for step in range(len(sigmas) - 1):
        callback(step, noise, noise, len(sigmas) - 1)
    return 0.1 * noise + latent + 0.01 * cfg


def depth_folder() -> Path:
    """A transformers folder of a relative depth model."""
    return install() / "refocus" / "relative"


@cache
def of(engine: str):
    """The REFOCUS_MODEL of an engine that samples."""
    from rackfocus.dev.tiny import genfocus, svd
    from rackfocus.nodes.model import LoadRefocusModel

    install()
    if engine == "genfocus":
        chosen = {
            "deblur_lora": "deblurNet.safetensors",
            "bokeh_lora": "bokehNet.safetensors",
            "aperture_lora": "aperture.safetensors",
            "flux": genfocus.tiny_flux(),
            "clip": genfocus.TinyClip(),
            "vae": genfocus.tiny_vae(),
        }
    else:
        chosen = {"refocus_unet": "unet.safetensors", "clip_vision": svd.tiny_clip_vision(), "vae": svd.tiny_vae()}
    with torch.inference_mode():
        return LoadRefocusModel.execute(engine, **chosen).args[0]
