"""FocalStackGenerate, SelectFocusFrame, StackFuse: focal stacks made, browsed and fused."""

from comfy_api.latest import io
from torch import Tensor

from ..pipelines.image import RefocusError, check_image
from ..pipelines.optical import FUSE_METHODS, fuse_stack, rehearsal
from ..pipelines.optical.focal_stack import frame_at, sharpest_position
from .engines import DEFAULT, ENGINES, inputs, need, noted
from .host import (
    CATEGORY,
    RefocusModelType,
    Schema,
    acts,
    device_for,
    from_device,
    picture,
    point_inputs,
    progress_bar,
    share_input,
    to_device,
    within_limits,
)
from .stack_film import film_of
from .views import kept_picture, left_behind


class FocalStackGenerate(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="FocalStackGenerate",
            display_name="Focal Stack Generate",
            category=CATEGORY,
            has_intermediate_output=True,
            search_aliases=["focus stack", "focal sweep", "rack focus", *ENGINES],
            description=noted(
                "stack",
                text="One photo becomes a focal stack: the same picture focused from the nearest to the farthest "
                "thing.",
            ),
            inputs=inputs(
                "stack",
                io.Image.Input("image", tooltip="Each image of a batch gives a stack of its own."),
                io.MultiType.Input("depth", types=[io.Image, io.Mask], optional=True, tooltip="Depth map of any size."),
                RefocusModelType.Input("model", optional=True, tooltip=f"Nothing connected: the {DEFAULT} engine."),
                io.Mask.Input("aperture", optional=True, tooltip="Shape of the opening. Nothing: a circle."),
            ),
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
    @within_limits
    def execute(cls, image, depth=None, model=None, aperture=None, **options) -> io.NodeOutput:
        stack = need(model, "stack")
        stacks, *told = stack(check_image(image), depth=depth, aperture=aperture, **options)
        stacks = [picture(frames) for frames in stacks]
        seen = left_behind(lambda: {"film": film_of(stacks[0]), "of": len(stacks)})
        return io.NodeOutput(stacks, *told, ui=seen)


def _frames(stack) -> Tensor:
    """A focal stack [N, H, W, 3] of two frames or more; RefocusError for anything else."""
    stack = check_image(stack, "stack")
    if len(stack) < 2:
        raise RefocusError(
            "stack has one frame, but two or more are needed: connect a batch, or load an animated PNG or a lossless "
            "animated WebP (of a TIFF with several pages Load Image reads the first alone since ComfyUI 0.21)."
        )
    return stack


class SelectFocusFrame(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="SelectFocusFrame",
            display_name="Select Focus Frame",
            category=CATEGORY,
            has_intermediate_output=True,
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
                acts(
                    share_input("position", 0.5, "0 nearest, 1 farthest. Used by select_by position.", step=0.005),
                    select_by=["position"],
                ),
                *point_inputs("Point", "select_by", "point"),
                io.Boolean.Input(
                    "blend",
                    default=False,
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
    @within_limits
    def execute(cls, stack, select_by, position, focus_x, focus_y, blend) -> io.NodeOutput:
        given, stack = stack, _frames(stack)
        if select_by == "point":
            position = sharpest_position(stack, focus_x, focus_y)
        frame, index, used = frame_at(stack, position, blend=blend)
        seen = left_behind(lambda: {"film": film_of(stack, given)})
        return io.NodeOutput(picture(frame), index, used, ui=seen)


class StackFuse(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="StackFuse",
            display_name="Stack Fuse",
            category=CATEGORY,
            has_intermediate_output=True,
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
    @within_limits
    def execute(cls, stack, method, first, last, align) -> io.NodeOutput:
        stack = _frames(stack)
        fused = fuse_stack(
            to_device(stack, device_for("focus stacking", rehearsal.focus_stacking)),
            method=method,
            first=first,
            last=None if last < 0 else last,
            align=align,
            progress=progress_bar(),
        )
        maps = [from_device(fused.order), from_device(fused.confidence)]
        seen = left_behind(lambda: fused_left(fused.image, fused.order, fused.confidence, len(stack)))
        return io.NodeOutput(picture(fused.image), *maps, ui=seen)


def fused_left(image: Tensor, order: Tensor, confidence: Tensor, frames: int) -> dict:
    """For the page: {fused, order, confidence: entries of views; frames: of the stack}."""
    shown = {"fused": image[0], "order": order[0][..., None].expand(-1, -1, 3)}
    shown["confidence"] = confidence[0][..., None].expand(-1, -1, 3)
    return {**{name: kept_picture(seen) for name, seen in shown.items()}, "frames": frames}
