"""One photo's latents -> its stack's latents, by the host's own sampler."""
import comfy.model_management as mm
import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from torch import Tensor

from ...pipelines.learn2refocus.conditioning import FPS_ID, MOTION_BUCKET, NOISE_AUGMENTATION, place
from ...pipelines.learn2refocus.schedule import sigmas


def conditioning(embed: Tensor, frames: Tensor):
    """CONDITIONING of embed [1, 1, C] and the frames' conditioning latents [9, 4, h, w]."""
    return [[embed, {"concat_latent_image": frames, "fps": FPS_ID + 1, "motion_bucket_id": MOTION_BUCKET,
                     "augmentation_level": NOISE_AUGMENTATION}]]


def interruptible(model):
    """A clone that hears Cancel between the blocks of a step, too."""
    def listen(h, *more):
        mm.throw_exception_if_processing_interrupted()
        return (h, more[0]) if len(more) == 2 else h

    clone = model.clone()
    clone.set_model_input_block_patch(listen)
    clone.set_model_output_block_patch(listen)
    return clone


def sample(model, noise: Tensor, latent: Tensor, embed: Tensor, position: int, *, steps: int, guidance: float,
           seed: int = 0, callback=None) -> Tensor:
    """noise [9, 4, h, w], latent [1, 4, h, w] and embed [1, 1, C] of one photo -> latents for the VAE [9, 4, h, w]."""
    frames = place(latent, position)[0]
    positive = conditioning(embed, frames)
    negative = conditioning(torch.zeros_like(embed), torch.zeros_like(frames))
    return comfy.sample.sample_custom(interruptible(model), noise, guidance, comfy.samplers.sampler_object("euler"),
                                      sigmas(steps), positive, negative, torch.zeros_like(noise), callback=callback,
                                      disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED, seed=seed)
