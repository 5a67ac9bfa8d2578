"""Random DiffCamera checkpoints for tiny transformers. Needs no ComfyUI."""

import torch

from rackfocus.pipelines.diffcamera import About, Aim, Camera, Checkpoint
from rackfocus.pipelines.flux.lora_file import LowRank
from rackfocus.pipelines.flux.reference import architecture_of


def tiny_checkpoint(transformer, seed: int = 4, tokens: int = 5, **about) -> Checkpoint:
    """A checkpoint in which nothing is zero: LoRA of rank 4 (or about's), camera, a text of some tokens."""
    g = torch.Generator().manual_seed(seed)
    said = About(**{"rank": 4, "trained_by": "nobody", "steps": 7, **about})
    sizes, c = architecture_of(transformer), transformer.config

    def random(*shape):
        return torch.randn(shape, generator=g) * 0.2

    lora = {m: LowRank(random(said.rank, a), random(b, said.rank)) for m, (a, b) in sizes.lora_layers().items()}
    camera = Camera(said.camera, sizes.hidden).eval().requires_grad_(False)
    camera.load_state_dict({name: random(*p.shape) for name, p in camera.state_dict().items()})
    return Checkpoint(lora, camera, random(1, tokens, c.joint_attention_dim), random(1, c.pooled_projection_dim), said)


def tiny_aim(batch: int = 1, known: bool = True) -> Aim:
    """Points, blurs and, if known, disparities that differ from picture to picture."""
    point = torch.tensor([[0.3, 0.8], [0.9, 0.1], [0.5, 0.5]])[:batch]
    disparity = torch.tensor([0.7, 0.2, 0.4])[:batch] if known else None
    return Aim(point, torch.tensor([0.35, 0.08, 0.0])[:batch], disparity)
