"""What the pack's views ask the host for, beside its own addresses."""

import asyncio
from functools import cache

from aiohttp import web

from .abilities import running_server
from .lens import scene_left
from .sample import grey, sample


def listen() -> None:
    """Add the pack's addresses to the host's server; nothing where ComfyUI is a library without one."""
    server = running_server()
    if server is not None:
        server.routes.get("/rackfocus/sample")(sample_scene)


async def sample_scene(request: web.Request) -> web.Response:
    """The sample as RefocusLens would leave it behind: to be clicked at before anything ran."""
    return web.json_response(await asyncio.get_running_loop().run_in_executor(None, _sample_scene))


@cache
def _sample_scene() -> dict:
    return scene_left(sample()["image"], grey(sample()["depth"]), "auto")
