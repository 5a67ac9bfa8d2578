"""A node pack for tests only: tiny random models in place of FLUX.1's."""


class TinyGenfocusModels:
    RETURN_TYPES = ("MODEL", "CLIP", "VAE")
    FUNCTION = "load"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def load(self):
        from rackfocus.dev.tiny_genfocus import TinyClip, tiny_flux, tiny_vae

        return tiny_flux(), TinyClip(), tiny_vae()


NODE_CLASS_MAPPINGS = {"TinyGenfocusModels": TinyGenfocusModels}
