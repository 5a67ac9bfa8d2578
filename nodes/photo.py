"""RefocusPhoto: any photo, a point and a blur; the main door."""

from comfy_api.latest import io
from torch import Tensor

from ..pipelines.image import RefocusError, check_image, match_batch
from ..pipelines.optics import (
    DEPTH_KINDS,
    DefocusMap,
    defocus_from_disparity,
    focus_at_point,
    from_1000,
    keep_unchanged,
    resize_depth,
    show_focus,
    to_disparity,
)
from .engines import DEFAULT, brought, inputs, need, noted
from .host import (
    CATEGORY,
    DefocusMapType,
    Refocused,
    RefocusModelType,
    Schema,
    acts,
    acts_where,
    from_device,
    picture,
    share_input,
    to_device,
    within_limits,
)
from .lens import small_disparity
from .views import kept_picture, kept_plane, kept_shine, left_behind, small_picture

FINISH = ("model", DEFAULT)  # who makes the blur: the model itself, or the default engine on what a model made sharp
_BY_MODEL = {"model.engine": {"not": [None, DEFAULT]}}
_BY_LENS = ({"model.engine": [None, DEFAULT]}, {"finish": [DEFAULT]})


class RefocusPhoto(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        shared = [
            io.Image.Input(
                "image", tooltip="Any photo, with a focus of its own or none, or a generated picture. Alpha is dropped."
            ),
            share_input(
                "focus_x", 0.5, "What is to be sharp: from the left (0) to the right (1) of the picture.", step=0.001
            ),
            share_input(
                "focus_y", 0.5, "What is to be sharp: from the top (0) to the bottom (1) of the picture.", step=0.001
            ),
            io.Float.Input(
                "blur",
                default=60.0,
                min=0.0,
                max=2000.0,
                step=0.5,
                tooltip="As strength of RefocusLens: blur radius, in pixels of a picture 1000 px wide, one unit of "
                "disparity from the focal plane. 30 is mild, 60 a fast portrait lens. 0: everything in focus.",
            ),
            io.Boolean.Input(
                "keep",
                default=True,
                tooltip="What has the blur asked for already keeps the photo's own pixels, bit for bit.",
            ),
            acts(
                io.Combo.Input(
                    "finish",
                    options=list(FINISH),
                    default=FINISH[0],
                    tooltip=f"model: the model makes the blur. {DEFAULT}: the model makes everything sharp, and the "
                    f"{DEFAULT} engine photographs that through the lens; it needs a depth map, or a model that finds "
                    "one. Without a model the same either way.",
                ),
                _BY_MODEL,
            ),
            acts(
                io.Combo.Input(
                    "depth_kind",
                    options=list(DEPTH_KINDS),
                    default="auto",
                    tooltip="What the depth map holds, as in RefocusLens.",
                ),
                depth={"not": [None]},
            ),
            RefocusModelType.Input("model", optional=True, tooltip=f"Nothing connected: the {DEFAULT} engine."),
            io.MultiType.Input(
                "depth",
                types=[io.Image, io.Mask],
                optional=True,
                tooltip="Depth map of the photo from any source, of any size, such as RefocusDepth's; one for all "
                "images or one each.",
            ),
            acts(
                io.Mask.Input(
                    "aperture",
                    optional=True,
                    tooltip="Shape of the opening, from ApertureShapeMask or any mask. Nothing: a circle. With a model "
                    f"finish must be {DEFAULT}.",
                ),
                *_BY_LENS,
            ),
        ]
        return Schema(
            node_id="RefocusPhoto",
            display_name="Refocus Photo",
            category=CATEGORY,
            is_output_node=True,  # so that it can be run by itself
            has_intermediate_output=True,
            search_aliases=["refocus", "change focus", "depth of field", "click to focus", "bokeh", "portrait mode"],
            description=noted(
                "refocus",
                text="Any photo: say where it is to be sharp and how strong the blur is to be. Sharpens what was out "
                "of focus, as far as the engine can, and blurs what is to be.",
            ),
            inputs=[_also_by_lens(i) for i in inputs("refocus", *shared)],
            outputs=[
                io.Image.Output(tooltip="Same size and count as the image."),
                DefocusMapType.Output(
                    display_name="defocus", tooltip="The blur of the result; estimated from it where no depth is known."
                ),
                io.Image.Output(display_name="overlay", tooltip="Blue in front, green in focus, red behind."),
                io.String.Output(
                    display_name="info",
                    tooltip="Focus, blur, where the depth came from, which weights made it and who trained them, and "
                    "what could not be done.",
                ),
            ],
        )

    @classmethod
    @within_limits
    def execute(
        cls, image, focus_x, focus_y, blur, keep, finish, depth_kind, model=None, depth=None, aperture=None, **options
    ) -> io.NodeOutput:
        refocus = need(model, "refocus")
        image, focus = check_image(image), (focus_x, focus_y)
        own = model is None or model.engine == DEFAULT
        by_lens = finish == DEFAULT and not own
        if aperture is not None and not own and not by_lens:
            raise RefocusError(
                f"an aperture is connected and finish is {finish}, but {model.engine} knows no shape of the opening: "
                f"choose finish {DEFAULT}, or disconnect the aperture."
            )
        if by_lens and depth is None and not model.finds_depth:
            raise RefocusError(
                f"finish is {DEFAULT} and no depth map is connected, but {model.engine} finds none by itself: connect "
                f"a depth map (RefocusDepth makes one), or choose finish {FINISH[0]}."
            )
        disparity = None if depth is None else _disparity(depth, depth_kind, image)
        made = refocus(
            image,
            focus=focus,
            blur=0.0 if by_lens else blur,
            depth=disparity,
            aperture=aperture if own else None,
            **options,
        )
        found = made.disparity if disparity is None else disparity
        defocus = None if found is None else _through_lens(found, focus, blur)
        if by_lens:
            mine = {name: value for name, value in options.items() if name in brought(DEFAULT, "bokeh")}
            out = need(None, "bokeh")(made.image, defocus, aperture=aperture, background=None, **mine)
        else:
            out, defocus = made.image, made.defocus or defocus or need(None, "estimate")(made.image)
        if keep:
            source = made.source or need(None, "estimate")(image)
            out = from_device(keep_unchanged(to_device(image), *map(to_device, (out, source, defocus))))
        out, defocus = picture(out), from_device(defocus)
        overlay = picture(show_focus(out.float(), defocus, focus))
        info = _told(made, focus, blur, depth is not None, by_lens)
        seen = left_behind(lambda: photo_left(image, out, found, depth, depth_kind))
        return io.NodeOutput(out, defocus, overlay, info, ui=seen)


def _also_by_lens(i):
    """An input that the default engine brings acts where it finishes as well."""
    if i.id in brought(DEFAULT, "refocus"):
        return acts(i, *acts_where(i), *_BY_LENS[1:])
    return i


def _disparity(depth, kind: str, image: Tensor) -> Tensor:
    """The depth map as disparity [B, H, W], of the image's size and count."""
    b, h, w, _ = image.shape
    return match_batch(resize_depth(to_disparity(depth, kind), h, w), b, "depth", "the image")


def _through_lens(disparity: Tensor, focus: tuple[float, float], blur: float) -> DefocusMap:
    """What a lens focused at the point makes of disparity [B, H, W]."""
    plane = focus_at_point(disparity, *focus)
    return defocus_from_disparity(disparity, plane, from_1000(blur, disparity.shape[-1]), focus_point=focus)


def _told(made: Refocused, focus, blur: float, given: bool, by_lens: bool) -> str:
    """Two lines: what was asked, and what the engine says."""
    depth = "depth map given" if given else "no depth map given"
    sharp = " (everything in focus)" if blur == 0 else ""
    finish = f"; blur made by the {DEFAULT} engine" if by_lens else ""
    return f"focus {focus[0]:g}, {focus[1]:g}; blur {blur:g}{sharp}; {depth}{finish}\n{made.info}"


def photo_left(image: Tensor, out: Tensor, disparity, depth, kind: str) -> dict:
    """For the page: the first photo, its result, and its depth where one is known.

    {picture, after: entries of views; plane: one or None; shine, kind, width: as scene_left; depth_kind: the widget's,
    None where the depth is the engine's own}
    """
    seen = small_picture(image[0])
    left = {"picture": kept_picture(seen), "after": kept_picture(out[0]), "width": image.shape[2], "of": len(out)}
    if disparity is None:
        return {**left, "plane": None}
    own = depth is None
    small, plane_kind = small_disparity(disparity if own else depth, "disparity" if own else kind, image)
    plane = {"plane": kept_plane(small[0]), "kind": plane_kind, "depth_kind": None if own else kind}
    return {**left, **plane, "shine": kept_shine(seen)}
