"""A node pack for tests only: tiny random models in place of FLUX.1's and of Stable Video Diffusion's."""


class TinyGenfocusModels:
    RETURN_TYPES = ("MODEL", "CLIP", "VAE")
    FUNCTION = "load"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def load(self):
        from rackfocus.dev.tiny.genfocus import TinyClip, tiny_flux, tiny_vae

        return tiny_flux(), TinyClip(), tiny_vae()


class TinySvdModels:
    """Like ImageOnlyCheckpointLoader, without the MODEL; and the host's loaders know the tiny UNet from here on."""

    RETURN_TYPES = ("MODEL", "CLIP_VISION", "VAE")
    FUNCTION = "load"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def load(self):
        from rackfocus.dev.tiny.svd import tiny_clip_vision, tiny_vae, use_tiny_svd

        use_tiny_svd()
        return None, tiny_clip_vision(), tiny_vae()


class TinyFillModels:
    """FLUX.1-Fill and its VAE; and AnyBokeh's tiles have 192 pixels from here on."""

    RETURN_TYPES = ("MODEL", "VAE")
    FUNCTION = "load"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def load(self):
        import sys

        from rackfocus.dev.tiny.fill import tiny_fill
        from rackfocus.dev.tiny.genfocus import tiny_vae

        for name, module in list(sys.modules.items()):
            if name.endswith("nodes.anybokeh.models"):
                module.RESOLUTION = 192
        return tiny_fill(), tiny_vae()


NODE_CLASS_MAPPINGS = {
    "TinyGenfocusModels": TinyGenfocusModels,
    "TinySvdModels": TinySvdModels,
    "TinyFillModels": TinyFillModels,
}
