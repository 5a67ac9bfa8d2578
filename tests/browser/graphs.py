"""Small workflows for the page, and pictures for them."""

from functools import cache

import numpy as np
from PIL import Image

from rackfocus.dev.workflows.build import Flow

LENS = [560, 1010]  # size of the lens's node: half as large it still has room for a picture of 200 pixels
ASPECTS = {"wide": (480, 320), "tall": (320, 480)}


@cache
def picture(width, height):
    """Smooth colours, bright at the upper left; not square."""
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    colours = np.stack([1 - x, 1 - y, 0.5 + 0.4 * np.sin(9 * x + 7 * y)], -1)
    return Image.fromarray((255 * colours.clip(0, 1)).astype(np.uint8))


@cache
def depth(width, height):
    """Near at the right, as grey."""
    row = np.linspace(30, 230, width).astype(np.uint8)
    return Image.fromarray(np.repeat(np.repeat(row[None], height, 0)[..., None], 3, -1))


def lens_flow(client, size=ASPECTS["wide"], name=None, run=False, **widgets):
    """Load Image -> RefocusLens with its depth, and what shows the result: (flow, the lens's node).

    name: of the picture's file in the host's input folder, if it is there already.
    run: small enough for a run of a second; else the node is as large as LENS.
    """
    flow = Flow(client.object_info())
    name = name or client.upload(picture(*size), f"picture_{size[0]}x{size[1]}.png")
    image = flow.node("LoadImage", image=name)
    far = flow.node("LoadImage", image=client.upload(depth(*size), f"depth_{size[0]}x{size[1]}.png"))
    lens = flow.node("RefocusLens", image=image["IMAGE"], depth=far["IMAGE"], **widgets)
    shown = flow.node("PreviewImage", images=lens["overlay"])
    image.at, far.at, lens.at, shown.at = (-600, 0), (-600, 500), (0, 0), (700, 0)
    lens.size = LENS
    return flow.to_dict()
