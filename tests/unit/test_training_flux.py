"""DiffCamera on a tiny random FLUX in the same loop: gradients, missing depth, going on, the checkpoint, memory."""

import argparse
import json

import pytest
import torch

from rackfocus.pipelines.diffcamera.checkpoint import About, read_checkpoint
from rackfocus.pipelines.flux.architecture import Architecture
from rackfocus.pipelines.flux.reference import architecture_of
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.training import flux, models
from rackfocus.training.batch import Batch
from rackfocus.training.loop import Habits, Plan, one_loss, train
from rackfocus.training.memory import advice, estimate
from rackfocus.training.trainee import Asked, asked, sample, trained

RANDOM = torch.Generator()


@pytest.fixture(autouse=True)
def _seeded():
    """Whichever tests ran before."""
    RANDOM.manual_seed(0)


diffusers = pytest.importorskip("diffusers")
PLAN = Plan(steps=2, scenes=1, planes=2, rate=1e-2, ramp_start=0.0, ramp_end=0.0, drop=0.0)
H, W = 48, 32


@pytest.fixture
def model(transformer):
    torch.manual_seed(0)
    channels = transformer.config.in_channels // 4
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=4,
        shift_factor=0.1,
        scaling_factor=0.4,
    )
    c = transformer.config
    text = flux.Text(
        torch.randn(1, 3, c.joint_attention_dim, generator=RANDOM),
        torch.randn(1, c.pooled_projection_dim, generator=RANDOM),
    )
    return flux.Flux(transformer, vae, text, About(rank=2, prompt="a photo"))


class Drawn:
    def __init__(self):
        random = torch.Generator().manual_seed(5)
        aif = torch.rand(3, H, W, 3, generator=random)
        targets = aif[:, None].repeat(1, 3, 1, 1, 1)
        targets[:, 0, :24] = 0.5
        targets[:, 1, 24:] = 0.5
        self.all = Batch(
            aif=aif,
            source=torch.rand(3, H, W, 3, generator=random),
            disparity=torch.rand(3, H, W, generator=random),
            targets=targets,
            blur=torch.rand(3, 3, generator=random),
            focus=torch.rand(3, 3, generator=random),
            point=torch.rand(3, 3, 2, generator=random),
            sharp=(targets == aif[:, None]).all(-1),
            source_blur=torch.zeros(3),
            source_focus=torch.zeros(3),
        )

    def __len__(self):
        return 3

    def batch(self, numbers, planes, random):
        return self.all[torch.as_tensor(numbers)].planes(torch.arange(planes).expand(len(numbers), -1))


def test_gradients_reach_lora_and_camera_and_nothing_else(model):
    names = set(trained(model.module))
    assert names and all(name.startswith(("camera.", "down.", "up.")) for name in names)
    with torch.no_grad():
        for p in model.module.up:
            p.normal_(std=0.02, generator=RANDOM)
        for p in model.module.camera.parameters():
            p.normal_(std=0.02, generator=RANDOM)
    one_loss(model, Drawn(), PLAN, 0, 0, 1, torch.device("cpu"))[0].backward()
    still = {name for name, p in trained(model.module).items() if p.grad is None or not p.grad.any()}
    # Of what a condition does in the last block only its keys and values are looked at.
    last = [
        i for i, name in enumerate(model.module.layers) if name.endswith(("1.proj_mlp", "1.proj_out", "1.attn.to_q"))
    ]
    last = [i for i in last if model.module.layers[i].startswith("single")]
    assert still == {f"{part}.{i}" for part in ("down", "up") for i in last}
    assert all(p.grad is None for p in (*model.module.transformer.parameters(), *model.vae.parameters()))


def test_pictures_without_depth_beside_others_are_what_they_are_alone(model):
    with torch.no_grad():
        for p in model.module.up:
            p.normal_(std=0.1, generator=RANDOM)
    batch = Drawn().all
    both = asked(batch, torch.tensor([True, False, True]))
    noisy, t = (
        torch.randn(9, 3, 2, model.module.transformer.config.in_channels, generator=RANDOM),
        torch.rand(9, generator=RANDOM),
    )

    def says(task: Asked, rows):
        with torch.no_grad():
            return model.velocity(noisy[rows], t[rows], model.conditions(task.rows(rows)))

    rows = torch.arange(9)
    together = says(both, rows)
    for i in (0, 4, 8):
        assert torch.allclose(says(both, rows[i : i + 1])[0], together[i], atol=1e-5)
    known = says(asked(batch), rows)
    assert torch.allclose(known[:3], together[:3], atol=1e-5)
    assert not torch.allclose(known[3:6], together[3:6], atol=1e-3)
    blind = Asked(
        **{**vars(both), "disparity": torch.rand(9, H, W, generator=RANDOM), "focus": torch.rand(9, generator=RANDOM)}
    )
    assert torch.equal(says(blind, rows)[3:6], together[3:6])


def test_latents_are_packed_as_the_vae_scales_them(model):
    picture = torch.rand(1, H, W, 3, generator=RANDOM)
    z = model.encode(picture)
    assert z.shape == (1, 3, 2, model.module.transformer.config.in_channels)
    raw = model.vae.encode(2 * picture.permute(0, 3, 1, 2) - 1).latent_dist.mode()
    assert torch.allclose(flux.unpack(z), (raw - 0.1) * 0.4, atol=1e-5)
    again = model.vae.decode(raw).sample.permute(0, 2, 3, 1) / 2 + 0.5
    assert torch.allclose(model.decode(z), again.clamp(0, 1), atol=1e-4)


def test_a_run_goes_on_bit_for_bit_and_its_checkpoint_is_read(model, transformer, tmp_path):
    start = {k: v.clone() for k, v in model.module.state_dict().items()}
    _, average = train(model, Drawn(), PLAN, tmp_path / "a", Habits(log_every=1))
    end = {k: v.clone() for k, v in model.module.state_dict().items()}
    assert any(not torch.equal(start[k], end[k]) for k in start)
    model.module.load_state_dict(start)
    train(model, Drawn(), PLAN, tmp_path / "b", Habits(log_every=1, stop_after=1))
    model.module.load_state_dict(start)
    train(model, Drawn(), PLAN, tmp_path / "b", Habits(log_every=1))
    assert all(torch.equal(v, end[k]) for k, v in model.module.state_dict().items())
    average.put(average.values, trained(model.module))
    path = tmp_path / "model.safetensors"
    models.write_model(path, model, 2, (H, W), "a test", {"seed": 0})
    kept = read_checkpoint(path, architecture_of(transformer))
    assert (kept.about.steps, kept.about.resolution, kept.about.trained_by) == (2, H, "a test")
    assert kept.about.prompt == "a photo" and kept.about.notes == {"seed": 0}
    layer = model.module.layers[3]
    assert torch.allclose(kept.lora[layer].up.float(), average.values["up.3"], rtol=1e-2)


def test_it_can_be_sampled(model):
    made = sample(model, asked(Drawn().all), steps=2, most=2)
    assert made.shape == (9, H, W, 3)


def test_a_folder_that_is_no_flux_is_refused(tmp_path):
    text = flux.Text(torch.zeros(1, 3, 8), torch.zeros(1, 8))
    with pytest.raises(RefocusError, match="has no transformer/config"):
        flux.load_flux(tmp_path, text, About())
    for part in ("transformer", "vae"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text("{}")
    with pytest.raises(RefocusError, match="bitsandbytes"):
        flux.load_flux(tmp_path, text, About(), base="4bit")


@pytest.mark.parametrize(("channels", "guidance"), [(384, True), (64, False)])
def test_fill_and_schnell_are_refused(tmp_path, channels, guidance):
    tiny = {"num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16, "num_attention_heads": 1}
    shape = {"joint_attention_dim": 8, "pooled_projection_dim": 8, "axes_dims_rope": (4, 6, 6)}
    made = diffusers.FluxTransformer2DModel(in_channels=channels, guidance_embeds=guidance, **tiny, **shape)
    made.save_pretrained(tmp_path / "transformer")
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text(json.dumps({}))
    with pytest.raises(RefocusError, match=r"FLUX\.1-dev \(64, with guidance\) is needed"):
        flux.load_flux(tmp_path, flux.Text(torch.zeros(1, 3, 8), torch.zeros(1, 8)), About())


def test_an_embedded_prompt_is_kept_for_the_same_words(tmp_path):
    from safetensors.torch import save_file

    cache = tmp_path / "text.safetensors"
    save_file({"prompt": torch.ones(1, 3, 8), "pooled": torch.ones(1, 4)}, cache, {"prompt": "a photo"})
    kept = flux.embedded_text(tmp_path, "a photo", cache)
    assert torch.equal(kept.prompt, torch.ones(1, 3, 8))
    with pytest.raises(RefocusError, match="text encoders"):
        flux.embedded_text(tmp_path, "another", cache)


def test_memory_falls_with_each_switch():
    size, about = (512, 512), About()
    whole = estimate((1024, 1024), 4, about, checkpointing=False)
    smaller = [
        estimate((1024, 1024), 4, about),
        estimate((1024, 1024), 2, about, checkpointing=False),
        estimate(size, 4, about, checkpointing=False),
        estimate((1024, 1024), 4, about, checkpointing=False, base="8bit"),
        estimate((1024, 1024), 4, about, checkpointing=False, optimizer="adamw8bit"),
        estimate((1024, 1024), 4, About(rank=16), checkpointing=False),
    ]
    assert all(e.total < whole.total for e in smaller)
    assert estimate(size, 2, about, base="4bit").base < estimate(size, 2, about, base="8bit").base
    assert 22 < estimate(size, 2, about).base < 23  # the file of FLUX.1-dev
    assert f"{whole.total:.1f} GiB" in whole.describe()


def test_trained_numbers_are_counted_as_they_are(model, transformer):
    tiny: Architecture = architecture_of(transformer)
    found = estimate((64, 64), 1, About(rank=2), architecture=tiny).trained * 2**30 / 20
    assert found == pytest.approx(sum(p.numel() for p in model.module.parameters()))


def test_advice_names_the_switches_that_are_left():
    options = {"checkpointing": False, "base": "bf16", "scenes": 2, "planes": 3, "optimizer": "adamw", "rank": 64}
    said = advice(argparse.Namespace(**options), (1024, 1024))
    for word in ("--checkpointing on", "--base 8bit or 4bit", "--scenes 1", "--planes 2", "512 px", "adamw8bit"):
        assert word in said
    least = {"checkpointing": True, "base": "4bit", "scenes": 1, "planes": 2, "optimizer": "adamw8bit", "rank": 16}
    assert "larger GPU" in advice(argparse.Namespace(**least), (512, 512))
