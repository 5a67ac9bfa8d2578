"""What the pack's views ask the host for, beside its own addresses."""

import asyncio
import io

import numpy as np
from aiohttp import web
from PIL import Image

from ..pipelines.image.checks import RefocusError
from ..pipelines.optics import aperture_mask
from .abilities import running_server
from .aperture import ApertureShapeMask
from .host import as_typed
from .lens import scene_left
from .sample import grey, sample, sample_photo

_drawing = asyncio.Semaphore(1)  # an opening takes 40 MB while it is drawn: one at a time, however many ask


def listen() -> None:
    """Add the pack's addresses to the host's server; nothing where ComfyUI is a library without one."""
    server = running_server()
    if server is not None:
        server.routes.get("/rackfocus/sample")(sample_scene)
        server.routes.get("/rackfocus/aperture")(aperture)


async def sample_scene(request: web.Request) -> web.Response:
    """The sample as RefocusLens would leave it behind: to be clicked at before anything ran."""
    return web.json_response(await _elsewhere(_sample_scene, request.query.get("output") == "photo"))


def _sample_scene(photo: bool) -> dict:
    picture = sample_photo() if photo else sample()["image"]
    return scene_left(picture, grey(sample()["depth"]), "auto")


async def aperture(request: web.Request) -> web.Response:
    """The opening of ApertureShapeMask as a PNG in grey: ?shape=iris&blades=6..., what is not named has its default.

    One sentence and status 400 for a name, a number or a shape that the node would not take; who accepts text, as the
    page's view does, gets it as an answer, since browsers complain of every 400.
    """
    try:
        widgets = as_typed(ApertureShapeMask, dict(request.query))
        async with _drawing:
            picture = await _elsewhere(_opening, widgets)
    except RefocusError as error:
        status = 200 if "text/plain" in request.headers.get("Accept", "") else 400
        return web.Response(status=status, text=str(error))
    return web.Response(body=picture, content_type="image/png", headers={"Cache-Control": "no-store"})


def _opening(widgets: dict) -> bytes:
    """Its PNG, in the greys of the host's own previews."""
    mask = aperture_mask(**widgets)[0]
    file = io.BytesIO()
    Image.fromarray((255 * mask.numpy()).astype(np.uint8)).save(file, format="PNG", compress_level=1)
    return file.getvalue()


def _elsewhere(work, *given):
    """work(*given) in a thread of its own: the host's server goes on answering meanwhile."""
    return asyncio.get_running_loop().run_in_executor(None, work, *given)
