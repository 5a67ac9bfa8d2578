"""learn2refocus from photos to stacks, photo by photo, with the host's sampler, previews and progress."""
import comfy.model_management as mm
import comfy.sample
import comfy.utils
import latent_preview
import torch
from torch import Tensor

from ...pipelines.learn2refocus.positions import POSITIONS
from .encode import embed, encode
from .parts import SvdParts
from .sample import sample


def run(parts: SvdParts, image: Tensor, positions: list[int], *, steps: int, guidance: float, seed: int, chunk: int,
        corrected_clip: bool = False):
    """image [B, H, W, 3] at the model's size, a position for each -> yields B stacks [9, H, W, 3].

    One image may have several positions. Noise as KSampler makes it from the seed for the whole batch of images.
    """
    context = parts.model.model.model_config.unet_config["context_dim"]
    embeds = torch.cat([embed(parts.clip_vision, one[None], context, corrected=corrected_clip) for one in image])
    latents = torch.cat([encode(parts.vae, one[None]) for one in image])
    noise = comfy.sample.prepare_noise(latents.repeat_interleave(POSITIONS, 0), seed).split(POSITIONS)
    report = Report(parts.model, len(positions) * (steps + POSITIONS))
    for n, position in enumerate(positions):
        i = n if len(image) > 1 else 0
        samples = sample(parts.model, noise[i], latents[i:i + 1], embeds[i:i + 1], position, steps=steps,
                         guidance=guidance, seed=seed, callback=report.step)
        yield decode(parts.vae, samples, chunk, report.advance)


def decode(vae, samples: Tensor, chunk: int, advance=None) -> Tensor:
    """Latents [N, 4, h, w] -> [N, H, W, 3], `chunk` frames at a time; advance(frames) after each chunk."""
    frames = []
    for part in samples.split(chunk):
        mm.throw_exception_if_processing_interrupted()
        frames.append(vae.decode(part)[..., :3])
        if advance is not None:
            advance(len(part))
    return torch.cat(frames)


class Report:
    """One bar for the steps and the decoded frames of all photos; shows the frames in the making."""

    def __init__(self, model, total: int):
        self.previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
        self.bar, self.done, self.total = comfy.utils.ProgressBar(total), 0, total

    def step(self, step, x0, x, steps):
        shown = self.previewer.decode_latent_to_preview_image("JPEG", x0) if self.previewer else None
        self.advance(1, shown)

    def advance(self, n: int, shown=None):
        mm.throw_exception_if_processing_interrupted()
        self.done += n
        self.bar.update_absolute(self.done, self.total, shown)
