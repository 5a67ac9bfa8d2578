"""FocalStackGenerate, SelectFocusFrame, StackFuse: focal stacks made, browsed and fused."""

import torch
from comfy_api.latest import io

from ..pipelines.engines import RefocusModel
from ..pipelines.image.checks import RefocusError, check_image, match_batch
from ..pipelines.learn2refocus import GUIDANCE, MEGAPIXELS, POSITIONS, STEPS
from ..pipelines.optical import FUSE_METHODS, SAMPLES, fuse_stack, render_stack, stack_disparities
from ..pipelines.optical.bokeh.highlights import HIGHLIGHT_GAIN
from ..pipelines.optical.focal_stack import frame_at, sharpest_position
from ..pipelines.optics import DEPTH_KINDS, resize_depth, to_disparity
from .blur import require_optical
from .host import CATEGORY, RefocusModelType, Schema, from_device, progress_bar, to_device
from .learn2refocus.run import generate_stacks
from .learn2refocus.widgets import AUTOMATIC, RELEASED, stack_inputs


class FocalStackGenerate(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="FocalStackGenerate",
            display_name="Focal Stack Generate",
            category=CATEGORY,
            search_aliases=["focus stack", "focal sweep", "rack focus", "learn2refocus"],
            description="One photo becomes a focal stack: the same picture focused from the nearest to the farthest "
            "thing. The optical engine needs a depth map; learn2refocus makes nine frames, from about 5 cm "
            "to infinity, out of a photo that has a focus of its own.",
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="Optical: sharp everywhere. learn2refocus: any photo. Each image of a "
                    "batch gives a stack of its own.",
                ),
                io.Int.Input(
                    "frames",
                    default=9,
                    min=2,
                    max=100,
                    tooltip="Pictures in the stack, near to far. learn2refocus always makes nine.",
                ),
                io.Float.Input(
                    "strength",
                    default=30.0,
                    min=0.0,
                    max=2000.0,
                    step=0.5,
                    tooltip="Blur radius, in pixels of a picture 1000 px wide, one unit of disparity away "
                    "from the focal plane.",
                ),
                io.Combo.Input(
                    "depth_kind",
                    options=list(DEPTH_KINDS),
                    default="auto",
                    tooltip="What the depth map holds, as in RefocusLens.",
                ),
                io.Combo.Input(
                    "quality",
                    options=list(SAMPLES),
                    default="fast",
                    tooltip="best looks through more points of the lens and takes longer.",
                ),
                io.Float.Input(
                    "highlights",
                    default=HIGHLIGHT_GAIN,
                    min=1.0,
                    max=100.0,
                    step=0.5,
                    tooltip="How much brighter than white a small clipped light is taken to be. 1: off.",
                ),
                io.MultiType.Input(
                    "depth",
                    types=[io.Image, io.Mask],
                    optional=True,
                    tooltip="Depth map of any size; the optical engine cannot do without. learn2refocus "
                    "needs one for the automatic input_position alone.",
                ),
                RefocusModelType.Input(
                    "model",
                    optional=True,
                    tooltip="Nothing connected: the optical engine. learn2refocus leaves frames, "
                    "strength, quality, highlights and aperture aside.",
                ),
                io.Mask.Input("aperture", optional=True, tooltip="Shape of the opening. Nothing: a circle."),
                *stack_inputs(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="stack", is_output_list=True, tooltip="A batch of frames, near to far, for each image."
                ),
                io.Float.Output(
                    display_name="positions",
                    is_output_list=True,
                    tooltip="0 (nearest) to 1 (farthest), one for each frame.",
                ),
                io.String.Output(display_name="info", tooltip="Where the frames, or the photo, are focused."),
            ],
        )

    @classmethod
    def execute(
        cls,
        image,
        frames,
        strength,
        depth_kind,
        quality,
        highlights,
        depth=None,
        model=None,
        aperture=None,
        input_position=AUTOMATIC,
        steps=STEPS,
        guidance=GUIDANCE,
        seed=0,
        max_megapixels=MEGAPIXELS,
        frame_size="input",
        decode_chunk=POSITIONS,
        keep_input=False,
        detail=0.0,
        clip_range=RELEASED,
    ) -> io.NodeOutput:
        image = check_image(image)
        if isinstance(model, RefocusModel) and model.engine == "learn2refocus" and model.parts is not None:
            stacks, info = generate_stacks(
                model.parts,
                image,
                depth,
                depth_kind,
                input_position=input_position,
                steps=steps,
                guidance=guidance,
                seed=seed,
                max_megapixels=max_megapixels,
                frame_size=frame_size,
                decode_chunk=decode_chunk,
                keep_input=keep_input,
                detail=detail,
                clip_range=clip_range,
            )
            return io.NodeOutput(stacks, torch.linspace(0, 1, POSITIONS).tolist(), info)
        require_optical(model)
        image = to_device(image)
        if depth is None:
            raise RefocusError(
                "no depth map is connected, but the optical engine needs one to make a focal stack: "
                "connect a depth map of the photo."
            )
        b, h, w, _ = image.shape
        disparity = match_batch(resize_depth(to_device(to_disparity(depth, depth_kind)), h, w), b, "depth")
        bar, stacks, info = progress_bar(), [], []
        for i in range(b):
            one = disparity[i : i + 1]
            planes = stack_disparities(one, frames)
            stacks.append(
                from_device(
                    render_stack(
                        image[i : i + 1],
                        one,
                        planes,
                        strength * w / 1000,
                        quality=quality,
                        aperture=to_device(aperture),
                        highlights=highlights,
                        progress=lambda done, total, i=i: bar(i * total + done, b * total),
                    )
                )
            )
            info.append(f"focus disparity {planes[0]:.4g} to {planes[-1]:.4g}")
        return io.NodeOutput(stacks, torch.linspace(0, 1, frames).tolist(), "\n".join(info))


class SelectFocusFrame(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="SelectFocusFrame",
            display_name="Select Focus Frame",
            category=CATEGORY,
            search_aliases=["focus slider", "pick frame", "focal stack"],
            description="Takes one picture out of a focal stack: by position along the stack, or the one that is "
            "sharpest at a point.",
            inputs=[
                io.Image.Input("stack", tooltip="Focal stack, near to far."),
                io.Combo.Input(
                    "select_by",
                    options=["position", "point"],
                    default="position",
                    tooltip="position: along the stack. point: the frame that is sharpest there.",
                ),
                io.Float.Input(
                    "position",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.005,
                    tooltip="0 nearest, 1 farthest. Used by select_by position.",
                ),
                io.Float.Input(
                    "focus_x",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Point from the left (0) to the right (1). Used by select_by point.",
                ),
                io.Float.Input(
                    "focus_y",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Point from the top (0) to the bottom (1). Used by select_by point.",
                ),
                io.Boolean.Input(
                    "blend",
                    default=True,
                    tooltip="Between two frames: mix them, so that a slider moves smoothly. Off: the "
                    "nearer frame, untouched.",
                ),
            ],
            outputs=[
                io.Image.Output(tooltip="One picture."),
                io.Int.Output(display_name="index", tooltip="Number of the nearest frame, from 0."),
                io.Float.Output(display_name="position", tooltip="Position along the stack that was taken."),
            ],
        )

    @classmethod
    def execute(cls, stack, select_by, position, focus_x, focus_y, blend) -> io.NodeOutput:
        stack = check_image(stack, "stack")
        if select_by == "point":
            position = sharpest_position(stack, focus_x, focus_y)
        frame, index, used = frame_at(stack, position, blend=blend)
        return io.NodeOutput(frame, index, used)


class StackFuse(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="StackFuse",
            display_name="Stack Fuse",
            category=CATEGORY,
            search_aliases=["focus stacking", "all in focus", "helicon", "merge focus"],
            description="Fuses a focal stack, rendered or photographed, into one picture that is sharp everywhere, and "
            "says which frame was sharp where: a depth map.",
            inputs=[
                io.Image.Input("stack", tooltip="Frames of one scene from near to far focus, all of one size."),
                io.Combo.Input(
                    "method",
                    options=list(FUSE_METHODS),
                    default="pyramid",
                    tooltip="pyramid: finest detail. depth: one frame per pixel, keeps the colours of "
                    "the photographs. average: sharpness-weighted mean, least noise.",
                ),
                io.Int.Input(
                    "first",
                    default=0,
                    min=0,
                    max=9999,
                    tooltip="First frame that takes part. A part of the stack leaves the rest out of focus.",
                ),
                io.Int.Input(
                    "last",
                    default=-1,
                    min=-1,
                    max=9999,
                    tooltip="Last frame that takes part; -1 is the last of the stack.",
                ),
                io.Boolean.Input(
                    "align",
                    default=False,
                    tooltip="Undo the change of scale, shift, turn and exposure between photographs. "
                    "Leave off for rendered stacks.",
                ),
            ],
            outputs=[
                io.Image.Output(tooltip="One picture."),
                io.Mask.Output(display_name="order", tooltip="Where each pixel was sharp: 0 first frame, 1 last."),
                io.Mask.Output(display_name="confidence", tooltip="0 where nothing tells (flat areas) to 1."),
            ],
        )

    @classmethod
    def execute(cls, stack, method, first, last, align) -> io.NodeOutput:
        stack = check_image(stack, "stack")
        fused = fuse_stack(
            to_device(stack),
            method=method,
            first=first,
            last=None if last < 0 else last,
            align=align,
            progress=progress_bar(),
        )
        return io.NodeOutput(*(from_device(t) for t in (fused.image, fused.order, fused.confidence)))
