"""What is trained: the LoRA and the camera, on a FLUX.1-dev that stands still."""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..flux.lora_file import LowRank
from ..flux.reference import architecture_of, velocity
from ..flux.tokens import CONDITIONS
from .camera import Aim, Camera
from .checkpoint import ALL, About, Checkpoint
from .generate import GUIDANCE, conditions


class Trainee(nn.Module):
    """One forward pass of training on diffusers' FluxTransformer2DModel, in any of its types: bf16, 8 and 4 bits.

    Its parameters are the LoRA and the camera alone, in float32; the transformer is frozen and none of its parts, so
    that neither .to(), state_dict() nor an optimiser reaches it. Before training the LoRA adds nothing.
    """

    def __init__(self, transformer, about: About):
        super().__init__()
        self._frozen = (transformer.requires_grad_(False).eval(),)  # in a tuple, where nn.Module does not look
        self.about = about
        architecture = architecture_of(transformer)
        self.camera = Camera(about.camera, architecture.hidden)
        self.layers = list(architecture.lora_layers())
        sizes = architecture.lora_layers().values()
        # As in OminiControl's training by PEFT ("gaussian"): A by chance, B zero.
        self.down = nn.ParameterList(nn.Parameter(torch.randn(about.rank, n) / about.rank) for n, _ in sizes)
        self.up = nn.ParameterList(nn.Parameter(torch.zeros(n, about.rank)) for _, n in sizes)

    @property
    def transformer(self):
        return self._frozen[0]

    def lora(self) -> dict[str, LowRank]:
        """{layer: LowRank} of the parameters themselves."""
        return {name: LowRank(*pair) for name, *pair in zip(self.layers, self.down, self.up, strict=True)}

    def forward(
        self,
        noisy: Tensor,
        time: Tensor,
        reference: Tensor,
        geometry: Tensor | None,
        aim: Aim,
        size: tuple[int, int],
        text: Tensor,
        pooled: Tensor,
        *,
        checkpointing: bool = True,
    ) -> Tensor:
        """v [B, h, w, C] at noisy latents z_t [B, h, w, C]; time [B] or a float in 0..1.

        reference, geometry: packed latents [B, h, w, C], geometry None where depth is dropped (then aim.disparity is
        None as well); size: (H, W) of the pictures in pixels; text [B or 1, t, .], pooled [B or 1, .].
        """
        lora = self.lora()
        tokens, shift = self.camera(aim, *size)
        text, pooled = (t.to(noisy).expand(len(noisy), *t.shape[1:]) for t in (text, pooled))
        return velocity(
            self.transformer,
            noisy,
            conditions(reference, geometry, tokens, lora),
            text,
            pooled,
            time,
            GUIDANCE,
            rule=CONDITIONS,
            shift=shift,
            lora=lora if self.about.lora == ALL else None,
            checkpointing=checkpointing,
        )

    def checkpoint(self, text: Tensor, pooled: Tensor, **said) -> Checkpoint:
        """What write_checkpoint writes; text [1, t, .], pooled [1, .]. said: fields of About as they are now."""
        return Checkpoint(self.lora(), self.camera, text, pooled, replace(self.about, **said))

    def load(self, checkpoint: Checkpoint) -> None:
        """Take the values of a checkpoint of the same rank and camera."""
        with torch.no_grad():
            for name, down, up in zip(self.layers, self.down, self.up, strict=True):
                down.copy_(checkpoint.lora[name].down)
                up.copy_(checkpoint.lora[name].up)
        self.camera.load_state_dict(checkpoint.camera.state_dict())


def parameters_of(architecture, about: About) -> int:
    """How many numbers are trained, without making them: for an estimate of memory."""
    lora = about.rank * sum(n_in + n_out for n_in, n_out in architecture.lora_layers().values())
    with torch.device("meta"):
        camera = Camera(about.camera, architecture.hidden)
    return lora + sum(math.prod(p.shape) for p in camera.parameters())
