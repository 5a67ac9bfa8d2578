"""RefocusLens: from depth to a defocus map."""

from comfy_api.latest import io

from ..pipelines.image.checks import RefocusError, check_image, check_plane, match_batch
from ..pipelines.optics import (
    DEPTH_KINDS,
    EASINGS,
    Camera,
    defocus_from_disparity,
    focus_at_distance,
    focus_at_mask,
    focus_at_point,
    focus_automatic,
    metric_to_relative,
    parse_keyframes,
    rack_focus,
    relative_to_metric,
    resize_depth,
    resolve_kind,
    show_defocus,
    show_focus,
    to_disparity,
    zones,
)
from ..pipelines.optics.rack import MAX_FRAMES
from .host import CATEGORY, DefocusMapType, Schema, progress_bar

FOCUS_BY = ("point", "mask", "distance", "automatic")
LENSES = ("artist", "camera")
_METRIC = ("metres", "inverse_metres")


class RefocusLens(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="RefocusLens",
            display_name="Refocus Lens",
            category=CATEGORY,
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
                    tooltip="What the depth map holds. disparity: near is white (Depth Anything, MiDaS). "
                    "inverted: near is white but linear in depth. metres and inverse_metres: real "
                    "distances. auto: metres if a value exceeds 1, else disparity.",
                ),
                io.Combo.Input(
                    "focus_by",
                    options=list(FOCUS_BY),
                    default="point",
                    tooltip="What decides the focal plane: a point, the white of focus_mask, a distance, or "
                    "the nearest sizeable thing near the middle.",
                ),
                io.Float.Input(
                    "focus_x",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Focus point from the left (0) to the right (1). Used by focus_by point.",
                ),
                io.Float.Input(
                    "focus_y",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Focus point from the top (0) to the bottom (1). Used by focus_by point.",
                ),
                io.Float.Input(
                    "focus_distance",
                    default=2.0,
                    min=0.01,
                    max=10000.0,
                    step=0.01,
                    tooltip="Metres to the focal plane. Used by focus_by distance.",
                ),
                io.Combo.Input(
                    "lens",
                    options=list(LENSES),
                    default="artist",
                    tooltip="artist: strength sets the blur. camera: focal length, f-number and sensor do, "
                    "as in a real lens.",
                ),
                io.Float.Input(
                    "strength",
                    default=30.0,
                    min=0.0,
                    max=2000.0,
                    step=0.5,
                    tooltip="Artist's blur: radius, in pixels of a picture 1000 px wide, one unit of "
                    "disparity from the focal plane (white to black of a disparity map; 1/m of a "
                    "metric one). The same look at any resolution. 0: no blur.",
                ),
                io.Float.Input(
                    "focal_mm",
                    default=50.0,
                    min=1.0,
                    max=1200.0,
                    step=0.5,
                    tooltip="Camera: focal length. Twice the length, four times the blur.",
                ),
                io.Float.Input(
                    "f_number",
                    default=2.0,
                    min=0.1,
                    max=64.0,
                    step=0.1,
                    tooltip="Camera: aperture. A smaller number blurs more.",
                ),
                io.Float.Input(
                    "sensor_mm",
                    default=36.0,
                    min=1.0,
                    max=200.0,
                    step=0.1,
                    tooltip="Camera: width of the sensor. 36 full frame, 23.6 APS-C, 6.4 a phone.",
                ),
                io.Float.Input(
                    "scene_near",
                    default=1.0,
                    min=0.01,
                    max=10000.0,
                    step=0.01,
                    tooltip="Metres at which the white of a relative map stands. Gives it a scale for lens "
                    "camera and for focus_by distance; not used with a metric map.",
                ),
                io.Float.Input(
                    "scene_far",
                    default=10.0,
                    min=0.02,
                    max=100000.0,
                    step=0.1,
                    tooltip="Metres at which the black of a relative map stands.",
                ),
                io.Float.Input(
                    "near_factor",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="Multiplies the blur in front of the focal plane. 0: foreground sharp.",
                ),
                io.Float.Input(
                    "far_factor",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="Multiplies the blur behind the focal plane. 0 keeps the background sharp.",
                ),
                io.Float.Input(
                    "in_focus_range",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.005,
                    tooltip="Width of the slab that stays sharp about the focal plane, in disparity (1 is "
                    "white to black).",
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
        kind = resolve_kind(depth, depth_kind)
        camera = Camera(focal_mm, f_number, sensor_mm) if lens == "camera" else None
        if camera and kind not in _METRIC:
            disparity = relative_to_metric(depth, kind, scene_near, scene_far)
            kind = "inverse_metres"
        else:
            disparity = to_disparity(depth, kind)
        picture = None if image is None else check_image(image)
        if picture is not None:
            disparity = resize_depth(disparity, *picture.shape[1:3])
            batch = max(disparity.shape[0], picture.shape[0])
            disparity = match_batch(disparity, picture.shape[0] if disparity.shape[0] == 1 else batch, "depth")
            picture = match_batch(picture, disparity.shape[0], "image", "depth")
        focus = _focus(disparity, kind, focus_by, (focus_x, focus_y), focus_distance, focus_mask, scene_near, scene_far)
        width = disparity.shape[-1]
        if camera:
            # One lens for the whole clip; its extension is that of the first frame's focal plane.
            focus_m = 1 / float(focus[0]) if focus[0] > 0 else float("inf")
            strength = camera.strength(focus_m, width)
        else:
            strength = strength * width / 1000
        defocus = defocus_from_disparity(
            disparity, focus, strength, near_factor=near_factor, far_factor=far_factor, in_focus_range=in_focus_range
        )
        if picture is None:
            top = disparity.amax().clamp(min=1e-6)
            picture = (disparity / top)[..., None].expand(-1, -1, -1, 3)
        point = (focus_x, focus_y) if focus_by == "point" else None
        info = _info(defocus, focus, kind, camera)
        return io.NodeOutput(defocus, show_focus(picture, defocus, point), show_defocus(defocus), *zones(defocus), info)


def _focus(disparity, kind, focus_by, point, distance, mask, near, far):
    if focus_by == "point":
        return focus_at_point(disparity, *point)
    if focus_by == "automatic":
        return focus_automatic(disparity)
    if focus_by == "mask":
        if mask is None:
            raise RefocusError(
                "focus_by is mask, but no focus_mask is connected: connect a mask that is white on the "
                "subject, or focus by point."
            )
        m = resize_depth(check_plane(mask, "focus_mask"), *disparity.shape[1:])
        return focus_at_mask(disparity, match_batch(m, disparity.shape[0], "focus_mask", "depth"))
    return metric_to_relative(focus_at_distance(distance, disparity.shape[0]), kind, near, far)


def _info(defocus, focus, kind, camera) -> str:
    r = defocus.radius
    h, w = r.shape[1:]
    text = [
        f"blur radius {float(r.min()):.2f} (in front) to {float(r.max()):.2f} (behind) px at {w} x {h}",
        "focus disparity " + ", ".join(f"{float(f):.4g}" for f in focus[:4]) + (" ..." if len(focus) > 4 else ""),
    ]
    if camera and focus[0] > 0:
        focus_m = 1 / float(focus[0])
        near, far = camera.near_far_limits(focus_m)
        text.append(f"focused at {focus_m:.3g} m, sharp from {near:.3g} m to {far:.3g} m")
    elif kind not in _METRIC:
        text.append("relative depth: strength is not in metres")
    return "; ".join(text)


# RefocusRack: focus and strength animated between keyframes.


class RefocusRack(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="RefocusRack",
            display_name="Refocus Rack",
            category=CATEGORY,
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
                io.Combo.Input(
                    "depth_kind",
                    options=list(DEPTH_KINDS),
                    default="auto",
                    tooltip="What the depth map holds, as in RefocusLens.",
                ),
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
                io.Float.Input(
                    "strength",
                    default=30.0,
                    min=0.0,
                    max=2000.0,
                    step=0.5,
                    tooltip="Blur radius, in pixels of a picture 1000 px wide, one unit of disparity from "
                    "the focal plane. Holds at the first keyframe, and on from there until a "
                    "keyframe names another.",
                ),
                io.Float.Input(
                    "scene_near",
                    default=1.0,
                    min=0.01,
                    max=10000.0,
                    step=0.01,
                    tooltip="Metres at which the white of a relative map stands: gives keyframes in metres "
                    "their place, and an inverted map its scale.",
                ),
                io.Float.Input(
                    "scene_far",
                    default=10.0,
                    min=0.02,
                    max=100000.0,
                    step=0.1,
                    tooltip="Metres at which the black of a relative map stands.",
                ),
                io.Float.Input(
                    "near_factor",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="Multiplies the blur in front of the focal plane. 0: foreground sharp.",
                ),
                io.Float.Input(
                    "far_factor",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.05,
                    tooltip="Multiplies the blur behind the focal plane. 0 keeps the background sharp.",
                ),
                io.Float.Input(
                    "in_focus_range",
                    default=0.0,
                    min=0.0,
                    max=10.0,
                    step=0.005,
                    tooltip="Width of the slab that stays sharp about the focal plane, in disparity (1 is "
                    "white to black).",
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
            size=None if picture is None else tuple(picture.shape[1:3]),
            clip=1 if picture is None else picture.shape[0],
            near_m=scene_near,
            far_m=scene_far,
            near_factor=near_factor,
            far_factor=far_factor,
            in_focus_range=in_focus_range,
            progress=progress_bar(),
        )
        info = "\n".join(
            f"frame {i}: focus disparity {focus:.4g}, strength {k:g}"
            for i, (focus, k) in enumerate(zip(rack.focus, rack.strength, strict=True))
        )
        return io.NodeOutput(rack.defocus, info)
