"""RefocusSample: a picture, its depth and a focal stack to start from, until the artist connects his own."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker
from PIL import Image, ImageSequence
from torch import Tensor

from ..pipelines.image.checks import RefocusError, check_image, check_plane, check_tensor
from .host import CATEGORY, Schema, from_device, picture

FOLDER = Path(__file__).resolve().parent.parent / "samples"
LICENCE = "Sample: a chess board at night, path-traced for this pack, public domain (CC0 1.0)."


@cache
def sample() -> dict[str, Tensor]:
    """image [1, H, W, 3] sRGB; depth [1, H, W], disparity, 1 at the nearest point; stack [9, h, w, 3] near to far."""
    with Image.open(FOLDER / "chess.jpg") as file:
        image = _picture(file)
    with Image.open(FOLDER / "chess_depth.png") as file:
        depth = torch.from_numpy(np.asarray(file).astype(np.float32) / 65535)[None]
    with Image.open(FOLDER / "chess_stack.webp") as file:
        stack = torch.cat([_picture(frame) for frame in ImageSequence.Iterator(file)])
    return {"image": image, "depth": depth, "stack": stack}


def _picture(file) -> Tensor:
    return torch.from_numpy(np.asarray(file.convert("RGB")).astype(np.float32) / 255)[None]


def sample_photo() -> Tensor:
    """The sample focused on its far end, [1, H, W, 3]."""
    return sample()["stack"][-1:]


def grey(plane: Tensor) -> Tensor:
    """[B, H, W] -> an image of three equal channels."""
    return plane[..., None].expand(-1, -1, -1, 3)


class RefocusSample(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return Schema(
            node_id="RefocusSample",
            display_name="Refocus Sample",
            category=CATEGORY,
            # Its picture is a result: nodes that are not would show none where the host has them in its cache.
            is_output_node=True,
            search_aliases=["example", "demo picture", "test image", "start", "depth map"],
            description="A picture with its depth map, and a focal stack, so that a workflow runs at once. What you "
            "connect takes the sample's place: your photo and its depth, or your stack.",
            inputs=[
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="Your photo, in the sample's place. It needs a depth map of its own: connect depth, too. A "
                    "muted node counts as nothing connected.",
                ),
                io.MultiType.Input(
                    "depth",
                    types=[io.Image, io.Mask],
                    optional=True,
                    tooltip="Depth of your photo, from RefocusDepth or any other source.",
                ),
                io.Image.Input(
                    "stack",
                    optional=True,
                    tooltip="Your focal stack, near to far, as one batch: an animated PNG or lossless WebP in Load "
                    "Image (newer ComfyUI reads only the first page of a TIFF), or single photos joined.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="Your photo, else the sample: sharp everywhere."),
                io.Image.Output(
                    display_name="photo",
                    tooltip="Your photo, else the sample focused on its far end: a photo with a focus of its own, to "
                    "be sharpened or refocused by a learned engine.",
                ),
                io.Image.Output(
                    display_name="depth", tooltip="Your depth, else the sample's: disparity, near is white, 16 bit."
                ),
                io.Image.Output(display_name="stack", tooltip="Your stack, else nine frames, near to far."),
                io.String.Output(display_name="info", tooltip="What is handed on, and the sample's licence."),
            ],
        )

    @classmethod
    def execute(cls, image=None, depth=None, stack=None) -> io.NodeOutput:
        own = [name for name, given in {"image": image, "depth": depth, "stack": stack}.items() if given is not None]
        sharp = sample()["image"] if image is None else check_image(image)
        photo = sample_photo() if image is None else sharp
        if depth is not None:
            plane = check_plane(depth, "depth")
            if plane.isnan().any():
                raise RefocusError(
                    "depth holds values that are NaN, but numbers are needed: fill the holes of the depth map first."
                )
            depth = depth if depth.ndim == 4 else grey(plane)
            if not plane.isfinite().all():
                # The largest number means "no surface" as infinity does, and what reads pictures can count it.
                depth = check_tensor(depth, "depth").float().nan_to_num(neginf=0.0)
        elif image is None:
            depth = grey(sample()["depth"])
        else:  # told where a depth is used, and only there
            depth = ExecutionBlocker(
                "the photo is yours and the depth is the sample's, which does not belong to it: connect a depth map of "
                "the photo to depth of Refocus Sample, for example from Refocus Depth."
            )
        stack = sample()["stack"] if stack is None else check_image(stack, "stack")
        info = f"Yours: {', '.join(own)}. {LICENCE}" if own else LICENCE
        depth = from_device(depth)
        return io.NodeOutput(picture(sharp), picture(photo), depth, picture(stack), info, ui=ui.PreviewImage(sharp[:1]))
