"""The host's sampler, picture by picture: one bar for all of them, previews, Cancel."""

import comfy.model_management as mm
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
from torch import Tensor


def sample(model, noise: Tensor, sigmas: Tensor, positive, negative, latent: Tensor, *, cfg: float, seed: int, report):
    """Latents [N, C, h, w] at sigma 0 from noise of that shape, by Euler steps of the host's own sampler."""
    return comfy.sample.sample_custom(
        model,
        noise,
        cfg,
        comfy.samplers.sampler_object("euler"),
        sigmas,
        positive,
        negative,
        latent,
        callback=report.step,
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )


class Report:
    """One bar of `total` steps for all pictures, with a preview of the one in the making."""

    def __init__(self, model, total: int):
        self.previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
        self.bar, self.done, self.total = comfy.utils.ProgressBar(total), 0, total

    def step(self, step, x0, x, steps):
        """After each step, as the host's sampler calls it."""
        shown = self.previewer.decode_latent_to_preview_image("JPEG", x0) if self.previewer else None
        self.advance(1, shown)

    def advance(self, n: int, shown=None):
        """n more are done; stops the work if the artist cancelled."""
        mm.throw_exception_if_processing_interrupted()
        self.done += n
        self.bar.update_absolute(self.done, self.total, shown)
