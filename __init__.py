"""Rackfocus: change focus and aperture after the picture was taken. The host's door; nothing else happens at import."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Return the extension ComfyUI registers. A failure is logged in full: the host prints only its message."""
    import logging

    try:
        from comfy_api.latest import ComfyExtension

        from .nodes import NODES, queued, routes

        class Rackfocus(ComfyExtension):
            async def get_node_list(self):
                return list(NODES)

        queued.listen()
        routes.listen()
        return Rackfocus()
    except Exception:
        logging.getLogger(__name__).exception("Rackfocus could not be loaded:")
        raise
