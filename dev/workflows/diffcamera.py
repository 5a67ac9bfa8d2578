"""The DiffCamera workflows: FLUX.1-dev from the host's own loaders, and a checkpoint that somebody has trained."""

from .build import Flow
from .optical import WAKE, own_photo, save_picture

CHECKPOINT = "diffcamera.safetensors"
NEEDS = (
    "**Needs** FLUX.1-dev (bf16, fp8 or GGUF, from any loader), its VAE, and a DiffCamera checkpoint in models/loras, "
    "here diffcamera.safetensors. No weights of the paper's are public: this pack trains them, as docs/diffcamera.md "
    "says. No text encoder is needed."
)


def _diffcamera(flow):
    """([two loaders], LoadRefocusModel)."""
    flux = flow.node("UNETLoader", unet_name="flux1-dev.safetensors")
    vae = flow.node("VAELoader", vae_name="ae.safetensors")
    model = flow.node(
        "LoadRefocusModel", engine="diffcamera", diffcamera_checkpoint=CHECKPOINT, flux=flux["MODEL"], vae=vae["VAE"]
    )
    return [flux, vae], model


def any_photo(info) -> Flow:
    flow = Flow(info)
    loaders, model = _diffcamera(flow)
    photo, depth, sample = own_photo(flow)
    made = flow.node(
        "RefocusPhoto",
        image=sample["photo"],
        depth=sample["depth"],
        model=model["model"],
        focus_x=0.615,
        focus_y=0.67,
        blur=60.0,
    )
    save = save_picture(flow, "Refocused by DiffCamera", made)
    note = flow.note(
        "**Click** in the picture on what should be sharp, and choose **blur**; 0 = everything in focus. Depth may be "
        "left out. With **finish** optical the model makes everything sharp and the optical engine makes the blur: "
        f"then an aperture of any shape may be connected.\n\n**Your own photo:** {WAKE}\n\n{NEEDS}"
    )
    flow.lay_out(
        ("FLUX.1-dev and your photo", [*loaders, photo, depth]),
        ("Start", [model, sample, note]),
        ("Focus", [60, made]),
        ("Picture", [save]),
    )
    return flow


def planes(info) -> Flow:
    flow = Flow(info)
    loaders, model = _diffcamera(flow)
    photo, depth, sample = own_photo(flow)
    stack = flow.node(
        "FocalStackGenerate",
        image=sample["photo"],
        depth=sample["depth"],
        model=model["model"],
        frames=5,
        strength=40.0,
    )
    fuse = flow.node("StackFuse", stack=stack["stack"], method="pyramid")
    lens = flow.node(
        "RefocusLens",
        depth=sample["depth"],
        image=fuse["IMAGE"],
        focus_by="point",
        focus_x=0.615,
        focus_y=0.67,
        strength=50.0,
    )
    shape = flow.node("ApertureShapeMask", shape="heart")
    bokeh = flow.node(
        "BokehSynthesize", image=fuse["IMAGE"], defocus=lens["defocus"], aperture=shape["aperture"], quality="best"
    )
    save = save_picture(flow, "Five planes new aperture", bokeh, 370, 320)
    note = flow.note(
        "**Five planes, then a lens of your own.** DiffCamera focuses the photo on five planes at one seed, they are "
        "fused into one picture that is sharp everywhere, and the optical engine photographs that through a heart.\n\n"
        f"**Your own photo:** {WAKE}\n\n{NEEDS}"
    )
    flow.lay_out(
        ("FLUX.1-dev and your photo", [*loaders, photo, depth]),
        ("Start", [sample, model, note]),
        ("Five planes", [320, stack], [320, fuse]),
        ("New lens", [lens, shape]),
        ("Picture", [bokeh, save]),
    )
    return flow


SWEEP = """0: 0.615, 0.67 strength=4    # nearly closed
15: 0.615, 0.67 strength=80    # wide open"""


def sweep(info) -> Flow:
    flow = Flow(info)
    loaders, model = _diffcamera(flow)
    photo, depth, sample = own_photo(flow)
    rack = flow.node(
        "RefocusRack", depth=sample["depth"], image=sample["photo"], depth_kind="auto", keyframes=SWEEP, strength=4.0
    )
    bokeh = flow.node("BokehSynthesize", image=sample["photo"], defocus=rack["defocus"], model=model["model"])
    save = flow.node(
        "SaveAnimatedWEBP",
        "Aperture sweep",
        images=bokeh["IMAGE"],
        fps=8.0,
        lossless=False,
        quality=85,
        filename_prefix="rackfocus/aperture_sweep",
    )
    save.size = [440, 500]
    note = flow.note(
        "**The aperture opens in 16 frames** while the focus stays on the king: **strength** behind a keyframe says "
        "how far. All frames begin from one noise, so that textures stay where they are. Needs a checkpoint whose "
        f"geometry is defocus.\n\n**Your own photo:** {WAKE}\n\n{NEEDS}"
    )
    flow.lay_out(
        ("FLUX.1-dev and your photo", [*loaders, photo, depth]),
        ("Start", [model, sample, note]),
        ("Aperture", [400, rack], [bokeh]),
        ("Film", [save]),
    )
    return flow


DIFFCAMERA = {
    "DiffCamera 1 Refocus any photo": any_photo,
    "DiffCamera 2 Five planes and a new aperture": planes,
    "DiffCamera 3 Aperture sweep": sweep,
}
