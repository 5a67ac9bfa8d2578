"""How many files a reader must open: the files of the pack whose functions one small picture passes through.

A file counts when one of its functions is called, not when it is imported. The ground floor, which a reader knows
already (pipelines/image, nodes/host.py), is told apart.
"""

import sys
import tempfile
import threading
from pathlib import Path

from ..host.library import use_comfy
from ..host.paths import ROOT

GROUND = ("pipelines/image/", "nodes/host.py")
OURS = ("nodes/", "pipelines/", "weights/")
HEIGHT, WIDTH = 48, 64
PACK = Path(ROOT).resolve()


def executed(work):
    """(result, files relative to the root): the pack's files of which a function was called while work() ran."""
    files, known = set(), {}
    start = sys._getframe()

    def ours(filename):
        path = Path(filename)
        path = path.resolve() if path.is_absolute() else path
        name = path.relative_to(PACK).as_posix() if PACK in path.parents else ""
        return name if name.startswith(OURS) else ""

    def at_import(frame):
        while frame is not None and frame is not start:
            if frame.f_code.co_name == "<module>":
                return True
            frame = frame.f_back
        return False

    def see(frame, event, _):
        code = frame.f_code
        if event != "call" or not code.co_flags & 1:  # a class body or a module is no function
            return
        if code.co_filename not in known:
            known[code.co_filename] = ours(code.co_filename)
        name = known[code.co_filename]
        if name and name not in files and not at_import(frame):
            files.add(name)

    threading.setprofile(see)
    sys.setprofile(see)
    try:
        result = work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return result, sorted(files)


def journeys(folder: Path):
    """[(what happens, a function that does it)]. folder: an empty one for the tiny models' files."""
    import folder_paths
    import torch
    from safetensors.torch import save_file

    from rackfocus.dev.tiny.genfocus import TinyClip, tiny_flux, tiny_lora, tiny_vae
    from rackfocus.dev.tiny.svd import GOLDEN, tiny_clip_vision, use_tiny_svd
    from rackfocus.dev.tiny.svd import tiny_vae as svd_vae
    from rackfocus.nodes import NODES

    nodes = {node.GET_SCHEMA().node_id: node for node in NODES}
    for key, extensions in (("loras", {".safetensors"}), ("diffusion_models", {".safetensors"})):
        (folder / key).mkdir()
        folder_paths.folder_names_and_paths[key] = ([str(folder / key)], extensions)
    folder_paths.set_temp_directory(str(folder))
    for seed, name in enumerate(("deblurNet", "bokehNet")):
        save_file(tiny_lora(seed=seed), folder / "loras" / f"{name}.safetensors")
    (folder / "diffusion_models" / "unet.safetensors").write_bytes((GOLDEN / "unet.safetensors").read_bytes())
    use_tiny_svd()

    g = torch.Generator().manual_seed(0)
    image = torch.rand(1, HEIGHT, WIDTH, 3, generator=g) * 0.8
    image[0, 10, 10] = image[0, 30, 50] = 1.0  # highlights
    depth = torch.linspace(0.1, 0.9, WIDTH)[None, None].repeat(1, HEIGHT, 1)
    depth[:, 16:32, 20:40] = 0.95
    frames = torch.cat([image * s for s in (0.4, 0.7, 1.0)])

    defaults = {
        name: {i.id: i.default for i in node.GET_SCHEMA().inputs if getattr(i, "default", None) is not None}
        for name, node in nodes.items()
    }

    def run(node_id, **inputs):
        return nodes[node_id].execute(**{**defaults[node_id], **inputs}).args

    flux = {"flux": tiny_flux(), "clip": TinyClip(), "vae": tiny_vae()}
    loras = {"deblur_lora": "deblurNet.safetensors", "bokeh_lora": "bokehNet.safetensors"}
    svd = {"clip_vision": tiny_clip_vision(), "vae": svd_vae(), "refocus_unet": "unet.safetensors"}
    defocus = run("RefocusLens", depth=depth, image=image)[0]
    genfocus = run("LoadRefocusModel", engine="genfocus", **flux, **loras)[0]
    learned = run("LoadRefocusModel", engine="learn2refocus", **svd)[0]
    small = {"steps": 1, "input_position": "4", "max_megapixels": 0.005}
    row = {"task": "bokeh", "prompt": "", "guidance": 0.0, "image": image, "defocus": defocus}

    def lora_to_model():
        model = run("LoadRefocusModel", engine="genfocus", **flux, **loras)[0]
        return run("GenfocusConditioning", model=model, **row)

    return [
        ("depth -> RefocusLens", lambda: run("RefocusLens", depth=depth, image=image)),
        ("picture -> BokehSynthesize (optical)", lambda: run("BokehSynthesize", image=image, defocus=defocus)),
        (
            "picture -> BokehSynthesize (genfocus)",
            lambda: run("BokehSynthesize", image=image, defocus=defocus, model=genfocus, steps=1),
        ),
        ("stack -> StackFuse", lambda: run("StackFuse", stack=frames)),
        (
            "photo -> FocalStackGenerate (learn2refocus)",
            lambda: run("FocalStackGenerate", image=image, model=learned, **small),
        ),
        ("LoRA -> MODEL (LoadRefocusModel, GenfocusConditioning)", lora_to_model),
    ]


def main():
    use_comfy()
    import torch

    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for title, work in journeys(Path(folder)):
            _, files = executed(work)
            above = [name for name in files if not name.startswith(GROUND)]
            print(f"{title}: {len(above)} files, {len(files)} with the ground floor")
            for name in files:
                print(f"    {name}{'' if name in above else '   (ground floor)'}")
