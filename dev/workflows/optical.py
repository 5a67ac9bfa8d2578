"""Workflows of the optical engine. Their thumbnails are pictures it made: python -m dev.pictures docs."""

from .build import Flow


def save_picture(flow, at, title, node):
    """SaveImage with a file name made of its title."""
    name = title.lower().replace(" ", "_")
    return flow.node("SaveImage", at, title, images=node["IMAGE"], filename_prefix=f"rackfocus/{name}")


def refocus_photo(info) -> Flow:
    flow = Flow(info)
    photo = flow.node("LoadImage", (0, 0), "Photo", image="motorcycle.png")
    depth = flow.node("LoadImage", (0, 420), "Depth map", image="motorcycle_depth.png")
    lens = flow.node(
        "RefocusLens",
        (400, 0),
        depth=depth["IMAGE"],
        image=photo["IMAGE"],
        depth_kind="disparity",
        focus_by="point",
        focus_x=0.42,
        focus_y=0.6,
        strength=60.0,
    )
    shape = flow.node("ApertureShapeMask", (400, 660), shape="iris", blades=6, rotation=15.0)
    bokeh = flow.node(
        "BokehSynthesize",
        (800, 0),
        image=photo["IMAGE"],
        defocus=lens["defocus"],
        aperture=shape["aperture"],
        quality="best",
    )
    save = save_picture(flow, (1260, 0), "Refocused", bokeh)
    overlay = flow.node("PreviewImage", (1260, 420), "Overlay", images=lens["overlay"])
    flow.group("What you have", [photo, depth])
    flow.group("Lens", [lens, shape, bokeh])
    flow.group("Result", [save, overlay])
    flow.note(
        "**Refocus a photo.** Move `focus_x` and `focus_y` to what should be sharp: the overlay shows it green. "
        "`strength` is the blur. Any depth map will do; say what it holds in `depth_kind`.",
        (0, 860),
        (380, 160),
    )
    return flow


def focal_stack(info) -> Flow:
    flow = Flow(info)
    photo = flow.node("LoadImage", (0, 0), "Photo", image="motorcycle.png")
    depth = flow.node("LoadImage", (0, 420), "Depth map", image="motorcycle_depth.png")
    stack = flow.node(
        "FocalStackGenerate",
        (400, 0),
        image=photo["IMAGE"],
        depth=depth["IMAGE"],
        frames=9,
        strength=60.0,
        depth_kind="disparity",
        quality="fast",
    )
    select = flow.node("SelectFocusFrame", (800, 0), stack=stack["stack"], select_by="position", position=0.35)
    fuse = flow.node("StackFuse", (800, 320), stack=stack["stack"], method="pyramid")
    order = flow.node("MaskToImage", (1180, 840), mask=fuse["order"])
    frames = flow.node("SaveImage", (800, 640), "Stack", images=stack["stack"], filename_prefix="rackfocus/stack")
    one = save_picture(flow, (1180, 0), "Selected", select)
    all_ = save_picture(flow, (1180, 420), "Fused", fuse)
    seen = flow.node("PreviewImage", (1560, 840), "Depth from focus", images=order["IMAGE"])
    flow.group("What you have", [photo, depth])
    flow.group("Focal stack", [stack, select, fuse])
    flow.group("Results", [frames, one, all_, order, seen])
    flow.note(
        "**One photo, nine focal planes.** `position` slides from near (0) to far (1). StackFuse makes it sharp "
        "everywhere again and says which frame was sharp where.",
        (0, 860),
        (380, 140),
    )
    return flow


def fuse_stack(info) -> Flow:
    flow = Flow(info)
    stack = flow.node("LoadImage", (0, 0), "Focal stack (a file of several pages)", image="focal_stack.tiff")
    fuse = flow.node("StackFuse", (400, 0), stack=stack["IMAGE"], method="pyramid", align=True)
    order = flow.node("MaskToImage", (780, 420), mask=fuse["order"])
    save = save_picture(flow, (780, 0), "All in focus", fuse)
    seen = flow.node("PreviewImage", (1160, 420), "Depth from focus", images=order["IMAGE"])
    flow.group("Photographs", [stack])
    flow.group("Focus stacking", [fuse, order])
    flow.group("Result", [save, seen])
    flow.note(
        "**Focus stacking.** Load the photographs, near to far, as one batch: a TIFF or WebP of several pages in "
        "Load Image, or single pictures joined by Batch Images. `align` undoes the change of scale between "
        "them; `first` and `last` choose the frames that take part.",
        (0, 420),
        (380, 180),
    )
    return flow


PULL = """0: 0.91, 0.76    # the front wheel
7: 0.48, 0.64    # the engine
15: 0.06, 0.2 strength=60    # the wall, through a wider aperture"""


def rack_focus(info) -> Flow:
    flow = Flow(info)
    photo = flow.node("LoadImage", (0, 0), "Photo", image="motorcycle.png")
    depth = flow.node("LoadImage", (0, 420), "Depth map", image="motorcycle_depth.png")
    rack = flow.node(
        "RefocusRack",
        (400, 0),
        depth=depth["IMAGE"],
        image=photo["IMAGE"],
        depth_kind="disparity",
        keyframes=PULL,
        strength=40.0,
    )
    bokeh = flow.node("BokehSynthesize", (880, 0), image=photo["IMAGE"], defocus=rack["defocus"], quality="fast")
    save = flow.node(
        "SaveAnimatedWEBP",
        (1340, 0),
        "Rack focus",
        images=bokeh["IMAGE"],
        fps=8.0,
        lossless=False,
        quality=85,
        filename_prefix="rackfocus/rack_focus",
    )
    flow.group("What you have", [photo, depth])
    flow.group("Focus pull", [rack, bokeh])
    flow.group("Result", [save])
    flow.note(
        "**Pull the focus.** One keyframe to a line: the frame, then a point of the picture or a distance such "
        "as `2.5m`; `strength=60` opens the aperture on the way. A depth clip and its pictures go in the same "
        "way: each point is then read in its own frame.",
        (0, 860),
        (380, 180),
    )
    return flow


def stack_new_aperture(info) -> Flow:
    flow = Flow(info)
    stack = flow.node("LoadImage", (0, 0), "Focal stack (a file of several pages)", image="focal_stack.tiff")
    fuse = flow.node("StackFuse", (400, 0), stack=stack["IMAGE"], method="pyramid", align=True)
    near = flow.node("InvertMask", (400, 320), "Near is white", mask=fuse["order"])
    lens = flow.node(
        "RefocusLens",
        (780, 0),
        depth=near["MASK"],
        image=fuse["IMAGE"],
        depth_kind="disparity",
        focus_by="point",
        focus_x=0.8,
        focus_y=0.6,
        strength=50.0,
    )
    shape = flow.node("ApertureShapeMask", (780, 660), shape="heart")
    bokeh = flow.node(
        "BokehSynthesize",
        (1160, 0),
        image=fuse["IMAGE"],
        defocus=lens["defocus"],
        aperture=shape["aperture"],
        quality="best",
    )
    save = save_picture(flow, (1620, 0), "New aperture", bokeh)
    overlay = flow.node("PreviewImage", (1620, 420), "Overlay", images=lens["overlay"])
    flow.group("Photographs", [stack])
    flow.group("Sharp everywhere, and its depth", [fuse, near])
    flow.group("New lens", [lens, shape, bokeh])
    flow.group("Result", [save, overlay])
    flow.note(
        "**The lens you did not have.** The fused stack is sharp everywhere, and its order map says how far each "
        "thing is: 0 is the nearest frame, so it is inverted to serve as a disparity map. Frames evenly spaced "
        "on the focus ring (in dioptres) give true depth.",
        (0, 420),
        (380, 200),
    )
    return flow


OPTICAL = {
    "refocus_photo": refocus_photo,
    "focal_stack": focal_stack,
    "fuse_focal_stack": fuse_stack,
    "rack_focus": rack_focus,
    "stack_new_aperture": stack_new_aperture,
}
