"""Workflows of learn2refocus: Stable Video Diffusion from the host's own loader, the fine-tuned UNet from the manifest.

Their thumbnails are frames of the sample and say so: the weights are not at hand.
"""

from rackfocus.weights.manifest import weight_files

from .build import Flow
from .optical import WAKE, own_shot, save_picture

UNET = next(f.name for f in weight_files("learn2refocus"))
NEEDS = (
    "**Needs** Stable Video Diffusion (svd.safetensors) and learn2refocus's UNet. The README says under Weights how to "
    "get them; Load Refocus Model names what is missing."
)


def _learned_stack(flow, **widgets):
    """(the asleep LoadImage, the sample, [loader, model], FocalStackGenerate) of learn2refocus."""
    photo, sample = own_shot(flow)
    svd = flow.node("ImageOnlyCheckpointLoader", "Stable Video Diffusion", ckpt_name="svd.safetensors")
    model = flow.node(
        "LoadRefocusModel", engine="learn2refocus", refocus_unet=UNET, clip_vision=svd["CLIP_VISION"], vae=svd["VAE"]
    )
    stack = flow.node("FocalStackGenerate", image=sample["photo"], model=model["model"], input_position="8", **widgets)
    return photo, sample, [svd, model], stack


def _start(photo, sample, note, engine):
    """The first group of the page: the photo, and the engine."""
    loader, model = engine
    return (("Start", [photo, loader, note], [sample, model]),)


def refocus_slider(info) -> Flow:
    flow = Flow(info)
    photo, sample, engine, stack = _learned_stack(flow)
    select = flow.node("SelectFocusFrame", stack=stack["stack"], select_by="position", position=0.5, blend=True)
    save = save_picture(flow, "Refocused", select)
    note = flow.note(
        "**Refocus a photo that has a focus of its own.** **input_position** says where it is focused: 0 at 5 cm, 4 at "
        "10 cm, 7 at 40 cm, 8 at infinity. With depth in metres connected, **automatic** finds it. Then slide "
        f"**position** from near (0) to far (1): only the slider runs again.\n\n**Your own photo:** {WAKE}\n\n{NEEDS}"
    )
    flow.lay_out(*_start(photo, sample, note, engine), ("Focal stack", [stack], [select]), ("Picture", [save]))
    return flow


def refocus_all_in_focus(info) -> Flow:
    flow = Flow(info)
    photo, sample, engine, stack = _learned_stack(flow, detail=1.0)
    fuse = flow.node("StackFuse", stack=stack["stack"], method="pyramid")
    near = flow.node("InvertMask", "Near is white", mask=fuse["order"])
    lens = flow.node(
        "RefocusLens",
        depth=near["MASK"],
        image=fuse["IMAGE"],
        depth_kind="disparity",
        focus_by="point",
        focus_x=0.615,
        focus_y=0.67,
        strength=50.0,
    )
    bokeh = flow.node("BokehSynthesize", image=fuse["IMAGE"], defocus=lens["defocus"], quality="best")
    sharp = save_picture(flow, "All in focus", fuse, 320, 300)
    save = save_picture(flow, "New aperture", bokeh, 400, 340)
    note = flow.note(
        "**Everything in focus, then a lens of your own.** The nine frames are even in dioptres, so the order map of "
        "the fused picture is a disparity map. **first** and **last** fuse a part of the stack: more depth of field, "
        f"not all of it.\n\n**Your own photo:** {WAKE}\n\n{NEEDS}"
    )
    flow.lay_out(
        *_start(photo, sample, note, engine),
        ("Sharp, and its depth", [stack], [fuse, near]),
        ("New lens", [60, lens, sharp]),
        ("Picture", [bokeh, save]),
    )
    return flow


def refocus_film(info) -> Flow:
    flow = Flow(info)
    photo, sample, engine, stack = _learned_stack(flow, detail=1.0)
    save = flow.node(
        "SaveAnimatedWEBP",
        "Focus pull",
        images=stack["stack"],
        fps=6.0,
        lossless=False,
        quality=85,
        filename_prefix="rackfocus/focus_pull",
    )
    save.size = [440, 500]
    note = flow.note(
        "**A focus pull from one photo.** The nine frames as an animation, from near to far.\n\n"
        f"**Your own photo:** {WAKE}\n\n{NEEDS}"
    )
    flow.lay_out(*_start(photo, sample, note, engine), ("Focal stack", [stack]), ("Film", [save]))
    return flow


LEARN2REFOCUS = {
    "learn2refocus 1 Focus slider": refocus_slider,
    "learn2refocus 2 All in focus": refocus_all_in_focus,
    "learn2refocus 3 Focus pull": refocus_film,
}
