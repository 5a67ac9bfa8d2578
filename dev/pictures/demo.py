"""The demonstration: a real photograph refocused by a real ComfyUI. Writes pictures and an overview to out/demo."""

import copy
import time
from pathlib import Path

from PIL import Image

from ..bench.truth import scenes
from ..host.paths import ROOT
from ..host.server import Host
from ..workflows.convert import load, to_prompt
from ..workflows.optical import OPTICAL
from .photo import motorcycle, pages

OUT = Path(ROOT) / "out" / "demo"
REFOCUS, STACK, _, RACK, APERTURE, _ = OPTICAL
PULL = "0: 0.91, 0.76; 7: 0.48, 0.64; 15: 0.06, 0.2 strength=60"  # the front wheel, the engine, the wall
WIDE = {"focus_x": 0.42, "focus_y": 0.6, "strength": 120.0}
# (name, caption, changes to the nodes of the first workflow)
SHOTS = [
    ("near", "Focus near: the front wheel", {"RefocusLens": {"focus_x": 0.91, "focus_y": 0.76}}),
    ("middle", "Focus in the middle: the engine", {"RefocusLens": {"focus_x": 0.48, "focus_y": 0.64}}),
    ("far", "Focus far: the wall", {"RefocusLens": {"focus_x": 0.06, "focus_y": 0.2}}),
    ("hexagon", "Six blades", {"ApertureShapeMask": {"blades": 6}, "RefocusLens": WIDE}),
    ("heart", "A heart-shaped aperture", {"ApertureShapeMask": {"shape": "heart"}, "RefocusLens": WIDE}),
]


def by_type(prompt: dict, kind: str, n: int = 0, title: str | None = None) -> str:
    """Id of the n-th node of a type, and of a title, in a prompt."""
    return [i for i, node in prompt.items() if node["class_type"] == kind and title in (None, node["_meta"]["title"])][
        n
    ]


def wake(prompt: dict, **files: str) -> dict:
    """The prompt with files of the host's input folder in the sample's place: image, depth or stack."""
    prompt = copy.deepcopy(prompt)
    sample = prompt[by_type(prompt, "RefocusSample")]
    for name, file in files.items():
        prompt[f"own {name}"] = {"class_type": "LoadImage", "inputs": {"image": file}, "_meta": {"title": name}}
        sample["inputs"][name] = [f"own {name}", 0]
    return prompt


def own(client, name: str) -> dict:
    """A shipped workflow with the motorcycle in the sample's place."""
    prompt = to_prompt(load(Path(ROOT) / "workflows" / f"{name}.json"), client.object_info())
    return wake(prompt, image="motorcycle.png", depth="motorcycle_depth.png")


def changed(prompt: dict, changes: dict) -> dict:
    prompt = copy.deepcopy(prompt)
    for kind, values in changes.items():
        prompt[by_type(prompt, kind)]["inputs"].update(values)
    return prompt


def seen(client, prompt: dict, kind: str, output: str) -> dict:
    """The prompt with a node "seen" that previews an output of the node of a type."""
    info, node = client.object_info()[kind], by_type(prompt, kind)
    place = info["output_name"].index(output)
    preview, socket = {"IMAGE": ("PreviewImage", "images"), "MASK": ("MaskPreview", "mask")}[info["output"][place]]
    added = {"class_type": preview, "inputs": {socket: [node, place]}, "_meta": {"title": output}}
    return {**prompt, "seen": added}


def refocus(client) -> list:
    """[(file name, caption, picture)] of workflow (a) at three focal planes and through two apertures."""
    prompt = seen(client, own(client, REFOCUS), "RefocusLens", "overlay")
    made = []
    for name, caption, changes in SHOTS:
        one = changed(prompt, changes)
        run = client.run(one)
        made.append((name, caption, client.pictures(run, by_type(one, "SaveImage"))[0]))
        if name == "middle":
            made.append(
                ("overlay", "Overlay: blue in front, green in focus, red behind", client.pictures(run, "seen")[0])
            )
        print(f"  {caption}: {run.seconds:.1f} s")
    return made


def focal_stack(client) -> list:
    """[(file name, caption, picture)] of workflow (b): contact sheet, selected frame, fused, depth from focus."""
    prompt = seen(client, own(client, STACK), "StackFuse", "order")
    run = client.run(prompt)
    print(f"  Focal stack, selected and fused: {run.seconds:.1f} s")
    saved = {}
    for i, node in prompt.items():
        if node["class_type"] == "SaveImage":
            saved[node["inputs"]["filename_prefix"].split("/")[-1]] = client.pictures(run, i)
    return [
        ("stack", "The focal stack, near to far", contact_sheet(saved["stack"], 3)),
        ("selected", "A frame selected from the stack", saved["selected"][0]),
        ("fused", "The stack fused back to all-in-focus", saved["fused"][0]),
        ("order", "Which frame was sharp where: depth from focus", client.pictures(run, "seen")[0]),
    ]


def rack_focus(client) -> list:
    """[(file name, caption, picture)] of workflow (c): an animation."""
    prompt = changed(own(client, RACK), {"RefocusRack": {"keyframes": PULL, "strength": 40.0}})
    run = client.run(prompt)
    print(f"  Rack focus, 16 frames: {run.seconds:.1f} s")
    return [
        (
            "rack_focus",
            "Rack focus: front wheel, engine, wall",
            client.pictures(run, by_type(prompt, "SaveAnimatedWEBP"))[0],
        )
    ]


def new_aperture(client) -> list:
    """[(file name, caption, picture)] of workflow (d) on a path-traced focal stack."""
    prompt = to_prompt(load(Path(ROOT) / "workflows" / f"{APERTURE}.json"), client.object_info())
    prompt = changed(wake(prompt, stack="focal_stack.png"), {"RefocusLens": {"focus_x": 0.8, "focus_y": 0.6}})
    run = client.run(prompt)
    print(f"  Focal stack through a new aperture: {run.seconds:.1f} s")
    return [
        (
            "new_aperture",
            "A fused focal stack, photographed again through a heart",
            client.pictures(run, by_type(prompt, "SaveImage"))[0],
        )
    ]


def contact_sheet(pictures: list, columns: int) -> Image.Image:
    w, h = pictures[0].size[0] // 2, pictures[0].size[1] // 2
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (w * columns, h * rows))
    for i, p in enumerate(pictures):
        sheet.paste(p.convert("RGB").resize((w, h), Image.Resampling.LANCZOS), (i % columns * w, i // columns * h))
    return sheet


def overview(entries: list) -> str:
    """One HTML page of all pictures [(file, caption)]."""
    figures = "\n".join(
        f'<figure><img src="{name}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
        for name, caption in entries
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Rackfocus demonstration</title>
<style>
 body {{ background: #181818; color: #ddd; font: 16px system-ui, sans-serif; margin: 2rem }}
 main {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 1.5rem }}
 figure {{ margin: 0 }} img {{ width: 100%; display: block }} figcaption {{ padding: .4rem 0 }}
</style>
<h1>Rackfocus</h1><p>A photograph and a focal stack, refocused in ComfyUI by the optical engine.</p>
<main>
{figures}
</main></html>
"""


def main():
    start = time.monotonic()
    OUT.mkdir(parents=True, exist_ok=True)
    photo, depth = motorcycle()
    with Host() as host, host.client() as client:
        print(f"ComfyUI answers at {host.url} after {time.monotonic() - start:.1f} s")
        client.upload(photo, "motorcycle.png")
        client.upload(depth, "motorcycle_depth.png")
        client.upload(pages(scenes()[0].stack_pictures()), "focal_stack.png")
        pictures = [
            ("input", "The photograph", photo),
            ("depth", "Its measured disparity", depth.convert("RGB")),
            *refocus(client),
            *focal_stack(client),
            *rack_focus(client),
            *new_aperture(client),
        ]
    shown = []
    for name, caption, picture in pictures:
        moves = getattr(picture, "is_animated", False)
        shown.append((f"{name}.webp" if moves else f"{name}.png", caption))
        picture.save(OUT / shown[-1][0], save_all=moves)
    (OUT / "index.html").write_text(overview(shown), encoding="ascii")
    print(f"{len(pictures)} pictures and an overview in {time.monotonic() - start:.1f} s: {OUT / 'index.html'}")
