"""DiffCamera's explicit reference on a tiny random FLUX: attention, memory, tiles, gradients."""

import copy
from dataclasses import replace

import pytest
import torch
from diffusers import FluxTransformer2DModel

from rackfocus.dev.tiny.diffcamera import tiny_aim, tiny_checkpoint
from rackfocus.pipelines.diffcamera import About, Aim, Trainee, conditions, generate, parameters_of
from rackfocus.pipelines.flux.architecture import FLUX_1
from rackfocus.pipelines.flux.blocks import Condition
from rackfocus.pipelines.flux.memory import Memory
from rackfocus.pipelines.flux.reference import architecture_of, velocity
from rackfocus.pipelines.flux.tokens import CONDITIONS
from rackfocus.tests.parity.golden import error

SIZE = (75, 140)  # pixels of 5 x 9 tokens


@pytest.fixture
def grids():
    """(noise, reference, geometry) of 5 x 9 tokens; a batch of two."""
    return torch.randn(3, 2, 5, 9, 16, generator=torch.Generator().manual_seed(6))


def run(transformer, checkpoint, noise, reference, geometry, aim, **given):
    given = {"steps": 2, "tiling": "off", "tile": 5, **given}
    with torch.no_grad():
        return generate(transformer, checkpoint, noise, reference, geometry, aim, SIZE, **given)


# Attention and what is kept


def after_blocks(transformer, checkpoint, noise, reference, geometry, aim, time=0.4):
    """Keys of all conditions in the last block."""
    memory = Memory()
    tokens, shift = checkpoint.camera(aim, *SIZE)
    given = conditions(reference, geometry, tokens, checkpoint.lora)
    text, pooled = checkpoint.text.expand(2, -1, -1), checkpoint.pooled.expand(2, -1)
    with torch.no_grad():
        velocity(transformer, noise, given, text, pooled, time, 1.0, rule=CONDITIONS, shift=shift, memory=memory)
    return memory.of("single_transformer_blocks.1")[0]


def test_conditions_see_one_another_and_nothing_else(transformer, grids):
    checkpoint, (noise, reference, geometry) = tiny_checkpoint(transformer), grids
    keys = after_blocks(transformer, checkpoint, noise, reference, geometry, tiny_aim(2))
    assert keys.shape[2] == 45 + 45 + 1
    other = replace(checkpoint, text=checkpoint.text + 1)
    for same in (
        after_blocks(transformer, checkpoint, noise + 1, reference, geometry, tiny_aim(2)),
        after_blocks(transformer, checkpoint, noise, reference, geometry, tiny_aim(2), time=0.9),
        after_blocks(transformer, other, noise, reference, geometry, tiny_aim(2)),
    ):
        assert torch.equal(same, keys)
    for changed, untouched in (
        (after_blocks(transformer, checkpoint, noise, reference + 1, geometry, tiny_aim(2)), slice(45, 91)),
        (after_blocks(transformer, checkpoint, noise, reference, geometry + 1, tiny_aim(2)), slice(0, 45)),
        (after_blocks(transformer, checkpoint, noise, reference, geometry, tiny_aim(2, known=False)), slice(0, 90)),
    ):
        assert not torch.allclose(changed[:, :, untouched], keys[:, :, untouched])


@pytest.mark.parametrize("lora", ["conditions", "all"])
@pytest.mark.parametrize("camera", ["point", "linear"])
@pytest.mark.parametrize("tiling", ["off", "on"])
def test_kept_or_computed_anew_is_the_same(transformer, grids, tiling, camera, lora):
    checkpoint = tiny_checkpoint(transformer, camera=camera, lora=lora)
    kept = run(transformer, checkpoint, *grids, tiny_aim(2), steps=3, tiling=tiling)
    anew = run(transformer, checkpoint, *grids, tiny_aim(2), steps=3, tiling=tiling, keep=False)
    assert error(kept, anew) < 1e-6
    assert error(run(transformer, checkpoint, *(g.flip(1) for g in grids), tiny_aim(2), steps=3), anew) > 1e-2


def test_conditions_run_once_for_a_picture(transformer, grids):
    """Tokens that pass the embedding of latents in four steps of two tiles: the conditions' in the first step alone."""
    checkpoint, counted = tiny_checkpoint(transformer), []
    handle = transformer.x_embedder.register_forward_pre_hook(lambda m, x: counted.append(x[0].shape[1]))
    try:
        run(transformer, checkpoint, *grids, tiny_aim(2), steps=4, tiling="on")
    finally:
        handle.remove()
    assert counted == [25, 25, 25] * 2 + [25] * 2 * 3


def test_a_memory_with_a_gap_is_not_used():
    memory, k = Memory(), torch.zeros(2, 1, 3, 4)
    memory.keep("a", k, k)
    memory.close(2)
    assert not memory.whole and memory.batch == 0
    memory.keep("a", k, k)
    memory.keep("b", k, k)
    assert memory.batch == 2
    memory.close(2)
    assert memory.whole and torch.equal(memory.of("b")[1], k)


# What each part does


def test_every_part_counts(transformer, grids):
    noise, reference, geometry = grids
    checkpoint, aim = tiny_checkpoint(transformer), tiny_aim(2)
    out = run(transformer, checkpoint, noise, reference, geometry, aim)
    for other in (
        run(transformer, checkpoint, noise, reference * 0.5, geometry, aim),
        run(transformer, checkpoint, noise, reference, geometry * 0.5, aim),
        run(transformer, checkpoint, noise, reference, None, aim),
        run(transformer, checkpoint, noise, reference, geometry, Aim(aim.point.flip(1), aim.blur, aim.disparity)),
        run(transformer, checkpoint, noise, reference, geometry, Aim(aim.point, aim.blur * 3, aim.disparity)),
        run(transformer, checkpoint, noise, reference, geometry, Aim(aim.point, aim.blur, 1 - aim.disparity)),
        run(transformer, checkpoint, noise, reference, geometry, Aim(aim.point, aim.blur)),
        run(transformer, replace(checkpoint, text=checkpoint.text.flip(1) * 2), *grids, aim),
        run(transformer, replace(checkpoint, about=About(rank=4, lora="all")), *grids, aim),
    ):
        assert error(other, out) > 1e-4


def test_a_batch_is_its_pictures(transformer, grids):
    checkpoint, aim = tiny_checkpoint(transformer), tiny_aim(2)
    both = run(transformer, checkpoint, *grids, aim, tiling="on")
    for i in (0, 1):
        frame = slice(i, i + 1)
        one = run(transformer, checkpoint, *(g[frame] for g in grids), aim[frame], tiling="on")
        assert error(both[frame], one) < 1e-5


def test_before_training_the_noise_sees_plain_flux(transformer, grids):
    """Camera MLPs and the LoRA's B begin at zero: one velocity is that of more tokens without any LoRA."""
    noise, reference, geometry = grids
    trainee, aim = Trainee(transformer, About(rank=3)), tiny_aim(2)
    text, pooled = (tiny_checkpoint(transformer).text, tiny_checkpoint(transformer).pooled)
    with torch.no_grad():
        out = trainee(noise, 0.6, reference, geometry, aim, SIZE, text, pooled)
        tokens, _ = trainee.camera(aim, *SIZE)
        given = [Condition(reference, {}), Condition(geometry, {}), tokens]
        settings = {"rule": CONDITIONS}
        text, pooled = text.expand(2, -1, -1), pooled.expand(2, -1)
        assert error(out, velocity(transformer, noise, given, text, pooled, 0.6, 1.0, **settings)) < 1e-6


# Training


def filled(transformer, **about):
    trainee = Trainee(transformer, About(rank=4, **about))
    trainee.load(tiny_checkpoint(transformer, **about))
    return trainee


def loss(trainee, grids, known=True, **given):
    text, pooled = (tiny_checkpoint(trainee.transformer).text, tiny_checkpoint(trainee.transformer).pooled)
    noise, reference, geometry = grids
    time = torch.tensor([0.3, 0.8])
    geometry = geometry if known else None
    return trainee(noise, time, reference, geometry, tiny_aim(2, known), SIZE, text, pooled, **given).square().mean()


@pytest.mark.parametrize("known", [True, False])
def test_gradients_reach_lora_and_camera_and_nothing_else(transformer, grids, known):
    trainee = filled(transformer)
    loss(trainee, grids, known).backward()
    assert not any(p.requires_grad or p.grad is not None for p in transformer.parameters())
    got = {name for name, p in trainee.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    idle = {name for name, _ in trainee.named_parameters()} - got
    layers = dict(zip((f"up.{i}" for i in range(99)), trainee.layers, strict=False))
    # In the last block of a condition nothing but its keys and values reaches the noise.
    last = "single_transformer_blocks.1"
    for name in idle - {n for n in idle if n.startswith("camera.")}:
        layer = layers[name.replace("down", "up")]
        assert layer.startswith(last) and layer.rsplit(".", 1)[1] in ("proj_mlp", "proj_out", "to_q"), layer
    of_disparity = {n for n, _ in trainee.named_parameters() if ".token." in n or ".focus." in n}
    assert {n for n in idle if n.startswith("camera.")} == (set() if known else of_disparity)


@pytest.mark.parametrize("about", [{}, {"lora": "all"}, {"camera": "linear"}])
def test_checkpointing_changes_no_gradient(transformer, grids, about):
    found = []
    for checkpointing in (True, False):
        trainee = filled(transformer, **about)
        loss(trainee, grids, checkpointing=checkpointing).backward()
        found.append([p.grad for p in trainee.parameters()])
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None) and (a is None or torch.allclose(a, b, rtol=1e-4, atol=1e-7))


def test_a_trained_state_is_that_of_its_checkpoint(transformer, grids):
    """Trainee, its checkpoint and generate are one method: the velocity of a step is the same."""
    trainee, given = filled(transformer), tiny_checkpoint(transformer)
    noise, reference, geometry = grids
    made = trainee.checkpoint(given.text, given.pooled, steps=9)
    assert made.about.steps == 9 and made.about.rank == 4
    with torch.no_grad():
        v = trainee(noise, 1.0, reference, geometry, tiny_aim(2), SIZE, given.text, given.pooled)
    assert error(run(transformer, made, *grids, tiny_aim(2), steps=1), noise - v) < 1e-5
    assert {n.split(".")[0] for n in trainee.state_dict()} == {"camera", "down", "up"}
    trainee.to(torch.bfloat16)
    assert transformer.dtype == torch.float32


def test_half_precision_is_near(transformer, grids):
    """A bf16 transformer under float32 parameters, with times that bf16 would round to steps of 1/256."""
    trainee, half = filled(transformer), filled(copy.deepcopy(transformer).bfloat16())
    given = tiny_checkpoint(transformer)
    noise, reference, geometry = grids
    args = (tiny_aim(2), SIZE, given.text, given.pooled)
    with torch.no_grad():
        a = trainee(noise, 0.3017, reference, geometry, *args)
        b = half(noise.bfloat16(), 0.3017, reference.bfloat16(), geometry.bfloat16(), *args)
    assert b.dtype == torch.bfloat16 and error(b.float(), a) < 0.05


class Counted(dict):
    """A LoRA that notes which of its layers were used."""

    used: frozenset = frozenset()

    def __getitem__(self, name):
        self.used |= {name}
        return super().__getitem__(name)


def test_a_full_size_flux_takes_it_with_nothing_left_over(monkeypatch):
    """On the meta device: FLUX.1-dev, rank 64, every layer used."""
    with torch.device("meta"):
        big, about = FluxTransformer2DModel(guidance_embeds=True), About()
        trainee = Trainee(big, about)
        lora, grid = Counted(trainee.lora()), torch.empty(2, 4, 6, 64)
        monkeypatch.setattr(trainee, "lora", lambda: lora)
        aim, words = Aim(torch.empty(2, 2), torch.empty(2), torch.empty(2)), torch.empty(1, 512, 4096)
        with torch.no_grad():
            v = trainee(
                grid, torch.empty(2), grid, grid, aim, (64, 96), words, torch.empty(1, 768), checkpointing=False
            )
    assert v.shape == (2, 4, 6, 64) and architecture_of(big) == FLUX_1
    assert len(lora) == 343 and lora.used == set(lora)
    assert sum(p.numel() for p in trainee.parameters()) == parameters_of(FLUX_1, about)
