"""RefocusLens and RefocusRack: from depth to a defocus map, with a focus that stands or moves."""

from comfy_api.latest import io
from torch import Tensor

from ..pipelines.image.checks import RefocusError, check_image
from ..pipelines.image.progress import Counter
from ..pipelines.optics import (
    DEPTH_KINDS,
    EASINGS,
    FOCUS_BY,
    Camera,
    focus_at_mask,
    focus_automatic,
    focus_lens,
    parse_keyframes,
    plane_of,
    rack_focus,
    resolve_kind,
    show_defocus,
    show_focus,
    zones,
)
from ..pipelines.optics.rack import MAX_FRAMES
from .films import clip_left
from .host import (
    CATEGORY,
    DefocusMapType,
    Schema,
    acts,
    depth_kind_input,
    from_device,
    picture,
    point_inputs,
    progress_bar,
    strength_input,
    within_limits,
)
from .lens_widgets import IN_METRES, RELATIVE, blur_inputs, camera_inputs
from .views import kept_picture, kept_plane, kept_shine, left_behind, small_picture, small_plane, view_size

LENSES = ("artist", "camera")


class RefocusLens(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="RefocusLens",
            display_name="Refocus Lens",
            category=CATEGORY,
            is_output_node=True,  # so that it can be run by itself
            has_intermediate_output=True,
            search_aliases=["depth of field", "focus point", "defocus", "aperture", "dof"],
            description="Sets the focal plane and the lens, and turns a depth map into a defocus map: the signed blur "
            "radius of every pixel.",
            inputs=[
                io.MultiType.Input(
                    "depth",
                    types=[io.Image, io.Mask],
                    tooltip="Depth map from any source, of any size; one for all images or one each.",
                ),
                io.Combo.Input(
                    "depth_kind",
                    options=list(DEPTH_KINDS),
                    default="auto",
                    tooltip="What the depth map holds. disparity: near is white (Depth Anything V2, MiDaS, ComfyUI's "
                    "MoGe). inverted: near is white but linear in depth (ComfyUI's Depth Anything 3, v2_style or "
                    "min_max). metres and inverse_metres: real distances (Depth Anything 3 Metric, raw). auto: metres "
                    "if a value exceeds 1, else disparity.",
                ),
                io.Combo.Input(
                    "focus_by",
                    options=list(FOCUS_BY),
                    default="point",
                    tooltip="What decides the focal plane: a point, the white of focus_mask, a distance, or "
                    "the nearest sizeable thing near the middle.",
                ),
                *point_inputs("Focus point", "focus_by", "point"),
                acts(
                    io.Float.Input(
                        "focus_distance",
                        default=2.0,
                        min=0.01,
                        max=10000.0,
                        step=0.01,
                        tooltip="Metres to the focal plane. Used by focus_by distance.",
                    ),
                    focus_by=["distance"],
                ),
                io.Combo.Input(
                    "lens",
                    options=list(LENSES),
                    default="artist",
                    tooltip="artist: strength sets the blur. camera: focal length, f-number and sensor do, "
                    "as in a real lens.",
                ),
                acts(
                    strength_input(
                        "Artist's blur: radius, in pixels of a picture 1000 px wide, one unit of disparity from "
                        "the focal plane (white to black of a disparity map; 1/m of a metric one). The same look "
                        "at any resolution. 0: no blur."
                    ),
                    lens=["artist"],
                ),
                *camera_inputs(),
                *blur_inputs(
                    "Metres at which the white of a relative map stands. Gives it a scale for lens camera and for "
                    "focus_by distance; not used with a metric map.",
                    {"depth_kind": RELATIVE, "lens": ["camera"]},
                    {"depth_kind": RELATIVE, "focus_by": ["distance"]},
                ),
                io.Mask.Input(
                    "focus_mask",
                    optional=True,
                    tooltip="White on the subject: the median disparity under it is the focal plane.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The picture: sets the size of the maps and is shown in the overlay.",
                ),
            ],
            outputs=[
                DefocusMapType.Output(display_name="defocus", tooltip="For BokehSynthesize and DeblurAiF."),
                io.Image.Output(display_name="overlay", tooltip="Blue in front, green in focus, red behind."),
                io.Image.Output(display_name="preview", tooltip="Blur radius: black is sharp."),
                io.Mask.Output(display_name="near_mask", tooltip="In front of the focal plane and visibly blurred."),
                io.Mask.Output(display_name="in_focus_mask", tooltip="Blur radius of at most half a pixel."),
                io.Mask.Output(display_name="far_mask", tooltip="Behind the focal plane and visibly blurred."),
                io.String.Output(
                    display_name="info", tooltip="Blur range in pixels; for a camera the limits of sharpness."
                ),
            ],
        )

    @classmethod
    @within_limits
    def execute(
        cls,
        depth,
        depth_kind,
        focus_by,
        focus_x,
        focus_y,
        focus_distance,
        lens,
        strength,
        focal_mm,
        f_number,
        sensor_mm,
        scene_near,
        scene_far,
        near_factor,
        far_factor,
        in_focus_range,
        focus_mask=None,
        image=None,
    ) -> io.NodeOutput:
        with Counter(progress_bar(), 4) as counter:
            focused = focus_lens(
                depth,
                depth_kind,
                by=focus_by,
                point=(focus_x, focus_y),
                mask=focus_mask,
                metres=focus_distance,
                strength=strength,
                camera=Camera(focal_mm, f_number, sensor_mm) if lens == "camera" else None,
                near_m=scene_near,
                far_m=scene_far,
                near_factor=near_factor,
                far_factor=far_factor,
                in_focus_range=in_focus_range,
                image=image,
            )
            defocus = focused.defocus
            counter.tick()
            overlay = show_focus(focused.picture, defocus)
            counter.tick()
            shown = show_defocus(defocus)
            counter.tick()
            masks = zones(defocus)
            counter.tick()
            maps = [from_device(t) for t in (defocus, *masks)]
            seen = left_behind(lambda: scene_left(focused.picture, depth, depth_kind, focus_mask))
            return io.NodeOutput(maps[0], picture(overlay), picture(shown), *maps[1:], focused.describe(), ui=seen)


def scene_left(image, depth, depth_kind: str, mask=None) -> dict:
    """For the page: the first picture and its depth, and the planes of focus_by automatic and mask in the depth's unit.

    {picture, plane, shine: entries of views, shine None where no highlight clips; kind: of the plane, see plane_of;
    depth_kind: as the widget; width: of the full picture in pixels; automatic, mask: numbers, mask None where there is
    none}
    """
    small, kind = small_disparity(depth, depth_kind, image)
    seen = small_picture(image[0])
    under = None
    if mask is not None:
        white = small_plane((mask[:1] if mask.ndim > 2 else mask[None])[0], (small.shape[1], small.shape[2]))[None]
        under = float(focus_at_mask(small, white)) if (white > 0.5).any() else None
    return {
        "picture": kept_picture(seen),
        "plane": kept_plane(small[0]),
        "shine": kept_shine(seen),
        "kind": kind,
        "depth_kind": depth_kind,
        "width": image.shape[2],
        "automatic": float(focus_automatic(small)),
        "mask": under,
    }


def small_disparity(depth, depth_kind: str, image) -> tuple[Tensor, str]:
    """(plane [1, h, w] of the first depth map, as small as a view shows the image; its kind, see plane_of)."""
    one = depth[:1] if depth.ndim > 2 else depth
    plane, kind = plane_of(one, resolve_kind(depth, depth_kind))
    return small_plane(plane[0], view_size(*image.shape[1:3]))[None], kind


class RefocusRack(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="RefocusRack",
            display_name="Refocus Rack",
            category=CATEGORY,
            is_output_node=True,  # so that it can be run by itself
            has_intermediate_output=True,
            search_aliases=["rack focus", "focus pull", "animate focus", "keyframes", "depth of field"],
            description="Pulls the focus from keyframe to keyframe and gives a defocus map for each frame. With one "
            "picture BokehSynthesize makes an animation of them, with a clip its frames.",
            inputs=[
                io.MultiType.Input(
                    "depth",
                    types=[io.Image, io.Mask],
                    tooltip="Depth map from any source, of any size; one for all frames, or one for "
                    "each frame of a clip. Frames are never normalised one by one.",
                ),
                depth_kind_input(),
                io.String.Input(
                    "keyframes",
                    multiline=True,
                    default="0: 0.3, 0.6\n24: 0.8, 0.4",
                    tooltip="One to a line, or ';' between them. '0: 0.3, 0.6' focuses frame 0 on that "
                    "point (x, y in 0..1), '24: 2.5m' frame 24 on a distance; 'strength=40' "
                    "behind it moves the strength too. '#' starts a comment. A point is read in "
                    "the depth map of its own frame. Before the first and after the last "
                    "keyframe the focus stands still.",
                ),
                io.Int.Input(
                    "frames",
                    default=0,
                    min=0,
                    max=MAX_FRAMES,
                    tooltip="Frames of the result. 0: as many as the clip has; for a still, up to the last "
                    "keyframe. A clip allows no other number than its own.",
                ),
                io.Combo.Input(
                    "easing",
                    options=list(EASINGS),
                    default="ease_in_out",
                    tooltip="How focus and strength go from one keyframe to the next. ease_in starts "
                    "slowly, ease_out ends slowly. hold: jumps at the keyframe. The way itself is "
                    "even in disparity, as on the ring of a lens.",
                ),
                strength_input(
                    "Blur radius, in pixels of a picture 1000 px wide, one unit of disparity from the focal plane. "
                    "Holds at the first keyframe, and on from there until a keyframe names another."
                ),
                *blur_inputs(
                    "Metres at which the white of a relative map stands: gives keyframes in metres their place, and "
                    "an inverted map its scale.",
                    {"depth_kind": ["inverted"]},
                    {"depth_kind": ["auto", "disparity"], "keyframes": {"match": IN_METRES}},
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The picture or clip: sets the size of the maps, a clip their number too.",
                ),
            ],
            outputs=[
                DefocusMapType.Output(display_name="defocus", tooltip="One map for each frame, for BokehSynthesize."),
                io.String.Output(display_name="info", tooltip="Focus disparity and strength of every frame."),
            ],
        )

    @classmethod
    def validate_inputs(cls, keyframes=None):
        if isinstance(keyframes, str):  # a linked text is not known yet
            try:
                parse_keyframes(keyframes)
            except RefocusError as error:
                return str(error)
        return True

    @classmethod
    @within_limits
    def execute(
        cls,
        depth,
        depth_kind,
        keyframes,
        frames,
        easing,
        strength,
        scene_near,
        scene_far,
        near_factor,
        far_factor,
        in_focus_range,
        image=None,
    ) -> io.NodeOutput:
        picture = None if image is None else check_image(image)
        rack = rack_focus(
            depth,
            depth_kind,
            parse_keyframes(keyframes),
            strength=strength,
            frames=frames,
            easing=easing,
            size=None if picture is None else (picture.shape[1], picture.shape[2]),
            clip=1 if picture is None else picture.shape[0],
            near_m=scene_near,
            far_m=scene_far,
            near_factor=near_factor,
            far_factor=far_factor,
            in_focus_range=in_focus_range,
            progress=progress_bar(),
        )
        maps = depth[None] if depth.ndim == 2 else depth
        seen = left_behind(lambda: {**clip_left(picture, maps, rack.kind, len(rack.focus)), "depth_kind": depth_kind})
        return io.NodeOutput(from_device(rack.defocus), rack.describe(), ui=seen)
