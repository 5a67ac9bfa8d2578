"""Workflows of the optical engine. Each runs as it is, on the sample."""

from rackfocus.weights.manifest import weight_files

from .build import Flow
from .convert import NEVER

DEPTH_MODEL = weight_files("depth")[0]
WAKE = "choose it in **Your photo**, select the grey nodes and press **Ctrl+M**. They take the sample's place."


def asleep(flow, kind, title, /, **inputs):
    """A muted node: until the artist wakes it, it counts as nothing connected, and needs no file."""
    node = flow.node(kind, title, **inputs)
    node.mode, node.offer_models = NEVER, False
    return node


def own_photo(flow):
    """(a muted Load Image and Refocus Depth, the sample whose place they take when they wake)."""
    photo = asleep(flow, "LoadImage", "Your photo", image="")
    depth = asleep(flow, "RefocusDepth", "Its depth", image=photo["IMAGE"], model=DEPTH_MODEL.path)
    sample = flow.node("RefocusSample", "Sample, or your photo", image=photo["IMAGE"], depth=depth["depth"])
    return photo, depth, sample


def own_shot(flow):
    """(a muted Load Image, the sample whose place it takes when it wakes), for engines that need no depth."""
    photo = asleep(flow, "LoadImage", "Your photo", image="")
    return photo, flow.node("RefocusSample", "Sample, or your photo", image=photo["IMAGE"])


def about_depth(own=WAKE):
    """What a note tells of one's own photo and its depth."""
    megabytes = round(DEPTH_MODEL.bytes / 1e6)
    return (
        f"**Your own photo:** {own}\n\n**Its depth** is estimated by a model of {megabytes} MB, to be put into "
        f"models/{DEPTH_MODEL.folder}: [{DEPTH_MODEL.path}]({DEPTH_MODEL.url}). Or connect a depth map of your own to "
        "**depth** of the sample, or ComfyUI's Depth Anything 3 or MoGe, where it has them."
    )


def save_picture(flow, title, node, width=420, height=360):
    """SaveImage with a file name made of its title."""
    name = title.lower().replace(" ", "_")
    save = flow.node("SaveImage", title, images=node["IMAGE"], filename_prefix=f"rackfocus/{name}")
    save.size = [width, height]
    return save


def preview(flow, title, picture, width=240, height=270):
    """A picture or a mask, shown and not saved."""
    if picture.kind == "MASK":
        node = flow.node("MaskPreview", title, mask=picture)
    else:
        node = flow.node("PreviewImage", title, images=picture)
    node.size = [width, height]
    return node


def refocus_photo(info) -> Flow:
    flow = Flow(info)
    photo, depth, sample = own_photo(flow)
    lens = flow.node(
        "RefocusLens",
        depth=sample["depth"],
        image=sample["image"],
        depth_kind="auto",
        focus_by="point",
        focus_x=0.615,
        focus_y=0.67,
        strength=60.0,
    )
    shape = flow.node("ApertureShapeMask", shape="iris", blades=6, rotation=15.0)
    bokeh = flow.node(
        "BokehSynthesize", image=sample["image"], defocus=lens["defocus"], aperture=shape["aperture"], quality="best"
    )
    save = save_picture(flow, "Refocused", bokeh)
    note = flow.note(
        "**Click** in the picture of the lens on what should be sharp, and **press Run**.\n\n**Blur:** the wheel, or "
        "drag with Shift, over that picture; or **strength**. **Live** shows it while you drag, **Focus** what is "
        "sharp: green.\n\n" + about_depth()
    )
    flow.lay_out(
        ("Start", [photo, note], [60, depth], [sample]), ("Lens", [60, lens, shape]), ("Picture", [bokeh], [save])
    )
    return flow


def any_photo(info) -> Flow:
    flow = Flow(info)
    photo, depth, sample = own_photo(flow)
    made = flow.node(
        "RefocusPhoto", image=sample["photo"], depth=sample["depth"], focus_x=0.615, focus_y=0.67, blur=60.0
    )
    save = save_picture(flow, "Refocused", made)
    note = flow.note(
        "**Click** in the picture on what should be sharp, and **press Run**. The sample is focused on its far end.\n\n"
        "**Blur:** the wheel, or drag with Shift, over that picture; or **blur**, 0 = everything in focus. **keep** "
        "leaves what does not change as it is.\n\nThe optical engine sharpens what is mildly out of focus, and blurs "
        "anything. Detail that a large blur has destroyed needs a **model** from **Load Refocus Model**.\n\n"
        + about_depth()
    )
    flow.lay_out(("Start", [photo, note], [60, depth], [sample]), ("Focus", [60, made]), ("Picture", [save]))
    return flow


def focal_stack(info) -> Flow:
    flow = Flow(info)
    photo, depth, sample = own_photo(flow)
    stack = flow.node(
        "FocalStackGenerate",
        image=sample["image"],
        depth=sample["depth"],
        frames=9,
        strength=60.0,
        depth_kind="auto",
        quality="fast",
    )
    select = flow.node("SelectFocusFrame", stack=stack["stack"], select_by="position", position=0.35)
    fuse = flow.node("StackFuse", stack=stack["stack"], method="pyramid")
    frames = flow.node("SaveImage", "Stack", images=stack["stack"], filename_prefix="rackfocus/stack")
    frames.size = [320, 300]
    one = save_picture(flow, "Selected", select, 400, 340)
    all_ = save_picture(flow, "Fused", fuse, 400, 340)
    seen = preview(flow, "Depth from focus", fuse["order"])
    note = flow.note(
        "**Press Run:** one photo becomes nine, focused from near to far.\n\nThen drag through them in **Select Focus "
        "Frame**, or click on what should be sharp: nothing runs until you press Run, and then only that node. **Stack "
        "Fuse** makes the picture sharp everywhere again, and says which frame was sharp where.\n\n" + about_depth()
    )
    flow.lay_out(
        ("Start", [photo, note], [60, depth], [sample]),
        ("Focal stack", [stack, frames]),
        ("One frame, and all of them", [select, fuse], [one, all_, seen]),
    )
    return flow


STACKS = (
    "choose it in **Your focal stack**, select it and press **Ctrl+M**. It is one file of all frames, near to far: an "
    "animated PNG or a lossless animated WebP. A TIFF will not do: from ComfyUI 0.21 on only its first page is read. "
    "Single photographs: join them with **Batch Images** and connect that to **stack**."
)


def own_stack(flow):
    """(a muted Load Image, the sample whose stack it replaces when it wakes)."""
    own = asleep(flow, "LoadImage", "Your focal stack", image="")
    return own, flow.node("RefocusSample", "Sample, or your stack", stack=own["IMAGE"])


def fuse_stack(info) -> Flow:
    flow = Flow(info)
    own, sample = own_stack(flow)
    fuse = flow.node("StackFuse", stack=sample["stack"], method="pyramid", align=True)
    one = flow.node("SelectFocusFrame", "One photograph", stack=sample["stack"], select_by="position", position=0.1)
    before = preview(flow, "One photograph", one["IMAGE"])
    save = save_picture(flow, "All in focus", fuse)
    seen = preview(flow, "Depth from focus", fuse["order"])
    note = flow.note(
        "**Press Run:** nine frames, focused from near to far, become one that is sharp everywhere.\n\n**align** "
        "undoes the change of scale, shift and turn between them; **first** and **last** choose the frames that take "
        f"part.\n\n**Your own stack:** {STACKS}"
    )
    flow.lay_out(("Start", [own, note], [sample]), ("Focus stacking", [fuse, one]), ("Picture", [save, seen, before]))
    return flow


PULL = """0: 0.163, 0.87    # the pawn in front
7: 0.615, 0.67    # the king
15: 0.5, 0.18 strength=70    # the books, through a wider aperture"""


def rack_focus(info) -> Flow:
    flow = Flow(info)
    photo, depth, sample = own_photo(flow)
    rack = flow.node(
        "RefocusRack", depth=sample["depth"], image=sample["image"], depth_kind="auto", keyframes=PULL, strength=50.0
    )
    bokeh = flow.node("BokehSynthesize", image=sample["image"], defocus=rack["defocus"], quality="fast")
    save = flow.node(
        "SaveAnimatedWEBP",
        "Rack focus",
        images=bokeh["IMAGE"],
        fps=8.0,
        lossless=False,
        quality=85,
        filename_prefix="rackfocus/rack_focus",
    )
    save.size = [400, 460]
    note = flow.note(
        "**Press Run:** the focus travels from the pawn to the king to the books, in 16 frames.\n\n**Play** shows the "
        "pull in the node. Choose a frame on the timeline, click in the picture: a keyframe. It is written into "
        "**keyframes**: the frame, then a point or a distance such as 2.5m; **strength=60** behind it opens the "
        "aperture on the way.\n\nA clip and its depth go in the same way: each point is read in its own frame.\n\n"
        + about_depth()
    )
    flow.lay_out(("Start", [photo, note], [60, depth], [sample]), ("Focus pull", [60, rack], [bokeh]), ("Film", [save]))
    return flow


def stack_new_aperture(info) -> Flow:
    flow = Flow(info)
    own, sample = own_stack(flow)
    fuse = flow.node("StackFuse", stack=sample["stack"], method="pyramid", align=True)
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
    shape = flow.node("ApertureShapeMask", shape="heart")
    bokeh = flow.node(
        "BokehSynthesize", image=fuse["IMAGE"], defocus=lens["defocus"], aperture=shape["aperture"], quality="best"
    )
    save = save_picture(flow, "New aperture", bokeh, 380)
    note = flow.note(
        "**Press Run:** nine frames are fused, and photographed again through a heart.\n\nThe fused picture is "
        "sharp everywhere, and its order map says how far each thing is: 0 is the nearest frame, so it is inverted to "
        "serve as a disparity map. Frames evenly spaced on the focus ring (in dioptres) give true depth.\n\n"
        f"**Your own stack:** {STACKS}"
    )
    flow.lay_out(
        ("Start", [own, note], [sample]),
        ("Sharp, and its depth", [fuse, near]),
        ("New lens", [60, lens, shape]),
        ("Picture", [bokeh], [save]),
    )
    return flow


# The names that the template browser shows, in the order in which they sort.
OPTICAL = {
    "1 Refocus a photo": refocus_photo,
    "2 Focal stack from one photo": focal_stack,
    "3 Fuse a focal stack": fuse_stack,
    "4 Rack focus": rack_focus,
    "5 New aperture for a focal stack": stack_new_aperture,
    "6 Refocus any photo": any_photo,
}
