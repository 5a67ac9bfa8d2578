"""RefocusRack: focus and strength animated between keyframes."""
from comfy_api.latest import io

from ..pipelines.optics import DEPTH_KINDS, EASINGS, RefocusError, parse_keyframes, rack_focus
from ..pipelines.optics.checks import check_image
from ..pipelines.optics.rack import MAX_FRAMES
from .host import CATEGORY, DefocusMapType, Schema, progress_bar


class RefocusRack(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="RefocusRack", display_name="Refocus Rack", category=CATEGORY,
            search_aliases=["rack focus", "focus pull", "animate focus", "keyframes", "depth of field"],
            description="Pulls the focus from keyframe to keyframe and gives a defocus map for each frame. With one "
                        "picture BokehSynthesize makes an animation of them, with a clip its frames.",
            inputs=[
                io.MultiType.Input("depth", types=[io.Image, io.Mask],
                                   tooltip="Depth map from any source, of any size; one for all frames, or one for "
                                           "each frame of a clip. Frames are never normalised one by one."),
                io.Combo.Input("depth_kind", options=list(DEPTH_KINDS), default="auto",
                               tooltip="What the depth map holds, as in RefocusLens."),
                io.String.Input("keyframes", multiline=True, default="0: 0.3, 0.6\n24: 0.8, 0.4",
                                tooltip="One to a line, or ';' between them. '0: 0.3, 0.6' focuses frame 0 on that "
                                        "point (x, y in 0..1), '24: 2.5m' frame 24 on a distance; 'strength=40' "
                                        "behind it moves the strength too. '#' starts a comment. A point is read in "
                                        "the depth map of its own frame. Before the first and after the last "
                                        "keyframe the focus stands still."),
                io.Int.Input("frames", default=0, min=0, max=MAX_FRAMES,
                             tooltip="Frames of the result. 0: as many as the clip has; for a still, up to the last "
                                     "keyframe. A clip allows no other number than its own."),
                io.Combo.Input("easing", options=list(EASINGS), default="ease_in_out",
                               tooltip="How focus and strength go from one keyframe to the next. ease_in starts "
                                       "slowly, ease_out ends slowly. hold: jumps at the keyframe. The way itself is "
                                       "even in disparity, as on the ring of a lens."),
                io.Float.Input("strength", default=30.0, min=0.0, max=2000.0, step=0.5,
                               tooltip="Blur radius, in pixels of a picture 1000 px wide, one unit of disparity from "
                                       "the focal plane. Holds at the first keyframe, and on from there until a "
                                       "keyframe names another."),
                io.Float.Input("scene_near", default=1.0, min=0.01, max=10000.0, step=0.01,
                               tooltip="Metres at which the white of a relative map stands: gives keyframes in metres "
                                       "their place, and an inverted map its scale."),
                io.Float.Input("scene_far", default=10.0, min=0.02, max=100000.0, step=0.1,
                               tooltip="Metres at which the black of a relative map stands."),
                io.Float.Input("near_factor", default=1.0, min=0.0, max=10.0, step=0.05,
                               tooltip="Multiplies the blur in front of the focal plane. 0: foreground sharp."),
                io.Float.Input("far_factor", default=1.0, min=0.0, max=10.0, step=0.05,
                               tooltip="Multiplies the blur behind the focal plane. 0 keeps the background sharp."),
                io.Float.Input("in_focus_range", default=0.0, min=0.0, max=10.0, step=0.005,
                               tooltip="Width of the slab that stays sharp about the focal plane, in disparity (1 is "
                                       "white to black)."),
                io.Image.Input("image", optional=True,
                               tooltip="The picture or clip: sets the size of the maps, a clip their number too."),
            ],
            outputs=[
                DefocusMapType.Output(display_name="defocus", tooltip="One map for each frame, for BokehSynthesize."),
                io.String.Output(display_name="info", tooltip="Focus disparity and strength of every frame."),
            ],
        )

    @classmethod
    def validate_inputs(cls, keyframes=None):
        if isinstance(keyframes, str):   # a linked text is not known yet
            try:
                parse_keyframes(keyframes)
            except RefocusError as error:
                return str(error)
        return True

    @classmethod
    def execute(cls, depth, depth_kind, keyframes, frames, easing, strength, scene_near, scene_far, near_factor,
                far_factor, in_focus_range, image=None) -> io.NodeOutput:
        picture = None if image is None else check_image(image)
        rack = rack_focus(depth, depth_kind, parse_keyframes(keyframes), strength=strength, frames=frames,
                          easing=easing, size=None if picture is None else tuple(picture.shape[1:3]),
                          clip=1 if picture is None else picture.shape[0], near_m=scene_near, far_m=scene_far,
                          near_factor=near_factor, far_factor=far_factor, in_focus_range=in_focus_range,
                          progress=progress_bar())
        info = "\n".join(f"frame {i}: focus disparity {focus:.4g}, strength {k:g}"
                         for i, (focus, k) in enumerate(zip(rack.focus, rack.strength, strict=True)))
        return io.NodeOutput(rack.defocus, info)
