"""Workflows of learn2refocus: Stable Video Diffusion from the host's own loader, the fine-tuned UNet from the manifest.

Their thumbnails are path-traced photographs and say so: the weights are not at hand (python -m dev.pictures docs).
"""

from rackfocus.weights.manifest import weight_files

from .build import Flow
from .optical import save_picture

UNET = next(f.name for f in weight_files("learn2refocus"))


def _learned_stack(flow, **widgets):
    """(the nodes of the group "What you have", FocalStackGenerate) of learn2refocus."""
    photo = flow.node("LoadImage", (0, 0), "Photo", image="motorcycle.png")
    svd = flow.node("ImageOnlyCheckpointLoader", (0, 420), "Stable Video Diffusion", ckpt_name="svd.safetensors")
    model = flow.node(
        "LoadRefocusModel",
        (0, 600),
        engine="learn2refocus",
        refocus_unet=UNET,
        clip_vision=svd["CLIP_VISION"],
        vae=svd["VAE"],
    )
    stack = flow.node(
        "FocalStackGenerate", (400, 0), image=photo["IMAGE"], model=model["model"], input_position="8", **widgets
    )
    return [photo, svd, model], stack


def refocus_slider(info) -> Flow:
    flow = Flow(info)
    have, stack = _learned_stack(flow)
    select = flow.node("SelectFocusFrame", (800, 0), stack=stack["stack"], select_by="position", position=0.5)
    save = save_picture(flow, (1180, 0), "Refocused", select)
    flow.group("What you have", have)
    flow.group("Focal stack", [stack, select])
    flow.group("Result", [save])
    flow.note(
        "**Refocus a photo that has a focus of its own.** `input_position` says where the photo is focused: 0 at "
        "5 cm, 4 at 10 cm, 7 at 40 cm, 8 at infinity. With depth in metres connected, `automatic` finds it. Then "
        "slide `position` from near (0) to far (1): only the slider runs again.",
        (800, 420),
        (380, 200),
    )
    return flow


def refocus_all_in_focus(info) -> Flow:
    flow = Flow(info)
    have, stack = _learned_stack(flow, detail=1.0)
    fuse = flow.node("StackFuse", (800, 0), stack=stack["stack"], method="pyramid")
    near = flow.node("InvertMask", (800, 320), "Near is white", mask=fuse["order"])
    lens = flow.node(
        "RefocusLens",
        (1180, 0),
        depth=near["MASK"],
        image=fuse["IMAGE"],
        depth_kind="disparity",
        focus_by="point",
        focus_x=0.48,
        focus_y=0.64,
        strength=50.0,
    )
    shape = flow.node("ApertureShapeMask", (1180, 660), shape="iris", blades=6)
    bokeh = flow.node(
        "BokehSynthesize",
        (1560, 0),
        image=fuse["IMAGE"],
        defocus=lens["defocus"],
        aperture=shape["aperture"],
        quality="best",
    )
    sharp = save_picture(flow, (2020, 0), "All in focus", fuse)
    save = save_picture(flow, (2020, 420), "New aperture", bokeh)
    flow.group("What you have", have)
    flow.group("Sharp everywhere, and its depth", [stack, fuse, near])
    flow.group("New lens", [lens, shape, bokeh])
    flow.group("Results", [sharp, save])
    flow.note(
        "**Everything in focus, then a lens of your own.** The nine frames are even in dioptres, so the order "
        "map of the fused picture is a disparity map. `first` and `last` fuse a part of the stack: more depth of "
        "field, not all of it.",
        (800, 560),
        (380, 180),
    )
    return flow


def refocus_film(info) -> Flow:
    flow = Flow(info)
    have, stack = _learned_stack(flow, detail=1.0)
    save = flow.node(
        "SaveAnimatedWEBP",
        (800, 0),
        "Focus pull",
        images=stack["stack"],
        fps=6.0,
        lossless=False,
        quality=85,
        filename_prefix="rackfocus/focus_pull",
    )
    flow.group("What you have", have)
    flow.group("Focal stack", [stack])
    flow.group("Result", [save])
    flow.note(
        "**A focus pull from one photo.** The nine frames as an animation, from near to far.", (800, 420), (380, 100)
    )
    return flow


LEARN2REFOCUS = {
    "learn2refocus_slider": refocus_slider,
    "learn2refocus_all_in_focus": refocus_all_in_focus,
    "learn2refocus_film": refocus_film,
}
