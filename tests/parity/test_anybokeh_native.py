"""AnyBokeh on a stock ComfyUI MODEL and VAE against the published inference."""

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import save_file

from rackfocus.dev.tiny import fill
from rackfocus.dev.tiny.genfocus import tiny_transformer
from rackfocus.nodes.anybokeh.models import AnyBokehModels, Stage, lora_layers, with_lora
from rackfocus.nodes.anybokeh.paint import NativePainter
from rackfocus.nodes.anybokeh.run import Work
from rackfocus.pipelines.anybokeh import photo, tiles
from rackfocus.pipelines.anybokeh.fill import known, masked, scaled
from rackfocus.pipelines.anybokeh.prompts import Prompt
from rackfocus.pipelines.anybokeh.reference import linear_layers
from rackfocus.pipelines.anybokeh.target import photo_lens, refocused
from rackfocus.pipelines.flux.lora_file import read_any_lora
from rackfocus.pipelines.flux.tokens import pack, unpack
from rackfocus.tests.parity.golden import TOLERANCE, error
from rackfocus.tests.parity.golden_anybokeh import GIVEN, bytes_apart, same_bytes

DECODED = 1e-3


class Steps:
    """A Report that shows nothing."""

    def step(self, *_):
        pass


@pytest.fixture(scope="module")
def models():
    """{stage: its MODEL with the LoRA}, the VAE."""
    model, vae = fill.tiny_fill(GIVEN.transformer), fill.vae_of(GIVEN.vae)
    layers = lora_layers(model)
    return {s: with_lora(model, str(GIVEN.lora_file(s)), layers) for s in ("stage1", "stage2", "stage1_alpha")}, vae


def painter(models, stage, steps, vae_tile=None) -> NativePainter:
    found, vae = models
    return NativePainter(Stage(found[stage], Prompt(*GIVEN.prompts(stage))), vae, steps, Steps(), vae_tile, True)


def tokens(latents):
    return pack(scaled(latents)).flatten(1, 2)


@pytest.mark.parametrize("name", GIVEN.of("stage1"))
def test_stage_1(models, name):
    case = GIVEN.cases[name]
    side = case["resolution"]
    paint = painter(models, "stage1", case["steps"], 2 * side)
    latents = paint.latents(GIVEN.picture(f"{name}.collage"), photo.mask(side), case["seed"])
    assert error(tokens(latents), GIVEN.tensors[f"{name}.latents"]) < TOLERANCE
    picture = paint.decode(latents)
    assert same_bytes(picture, GIVEN.tensors[f"{name}.picture"]), bytes_apart(picture, GIVEN.tensors[f"{name}.picture"])
    if (expected := GIVEN.tensors.get(f"{name}.picture_float")) is not None:
        shown = (expected[0].movedim(0, -1) / 2 + 0.5).clamp(0, 1)
        unrounded = NativePainter(paint.stage, paint.vae, paint.steps, Steps(), 2 * side).decode(latents)
        assert error(unrounded, shown) < DECODED


@pytest.mark.parametrize("name", GIVEN.of("stage2"))
def test_stage_2(models, name):
    case = GIVEN.cases[name]
    side = case["resolution"]
    paint = painter(models, "stage2", case["steps"])
    for i, seed in enumerate(case["seeds"]):
        latents = paint.latents(GIVEN.picture(f"{name}.tile{i}.collage"), tiles.mask(side), seed)
        assert error(tokens(latents), GIVEN.tensors[f"{name}.tile{i}.latents"]) < TOLERANCE
        made = paint.decode(latents)[side:, side:]
        assert same_bytes(made, GIVEN.tile(name, i)), bytes_apart(made, GIVEN.tile(name, i))


@pytest.mark.parametrize("name", GIVEN.of("full"))
def test_the_whole_chain(models, name):
    """From the photo alone. What is rounded to bytes on the way may tip over: the maps feel that."""
    case, (found, vae) = GIVEN.cases[name], models
    first, second = (Stage(found[s], Prompt(*GIVEN.prompts(s)), case[f"{s}_resolution"]) for s in ("stage1", "stage2"))
    picture = GIVEN.picture(f"{name}.photo")
    work = Work(AnyBokehModels(first, second, vae), picture[None], case["steps"], case["seed"], as_published=True)
    coc, disparity = work.maps(work.begin(1)[0])
    assert error(coc, GIVEN.tensors[f"{name}.coc"]) < DECODED
    x, y = case["focus"]
    lens = photo_lens(coc[..., 0], disparity)
    target = refocused(lens, disparity, disparity[y, x], case["bokeh_scale"], as_published=True)
    assert error(target, GIVEN.tensors[f"{name}.target_coc"]) < DECODED
    out = work.paint(0, coc, target)
    assert out.shape == picture.shape
    assert error(out, GIVEN.tensors[f"{name}.result"] / 255) < DECODED


@pytest.mark.parametrize("name", GIVEN.cases["velocity"]["outputs"])
def test_one_velocity_with_each_lora(models, name):
    """Also with alpha in the header, which the host's own loader does not read."""
    case, grid = GIVEN.cases["velocity"], GIVEN.tensors["velocity.tokens"].unflatten(1, (4, 6))
    stage = "stage2" if name == "stage2" else "stage1"
    plain = models[0]["stage1"].clone()
    plain.patches = {}
    model = plain if name == "none" else models[0][name]
    text, pooled = GIVEN.prompts(stage)
    import comfy.model_management as mm

    mm.load_models_gpu([model], force_patch_weights=True)
    latents, given, mask = unpack(grid[..., :64]), unpack(grid[..., 64:128]), unpack(grid[..., 128:])
    out = model.model.diffusion_model(
        torch.cat([latents, given, mask], dim=1),
        torch.full((1,), case["timestep"]),
        text,
        pooled,
        torch.full((1,), case["guidance"]),
        transformer_options={},
    )
    assert error(pack(out).flatten(1, 2), GIVEN.tensors[f"velocity.{name}"]) < TOLERANCE


def test_what_is_known_beside_the_noise_is_the_hosts(models):
    """The host is given latents and a mask, and makes the same 320 channels of them as the reference."""
    collage, mask = torch.rand(32, 48, 3, generator=torch.Generator().manual_seed(1)), torch.zeros(32, 48)
    mask[16:, 8:40] = 1
    latents = painter(models, "stage2", 1).encode(masked(collage, mask))[:, :16]
    noise = torch.zeros_like(latents)
    made = models[0]["stage2"].model.concat_cond(
        concat_latent_image=latents, concat_mask=mask[None, None], noise=noise, device="cpu"
    )
    assert torch.allclose(pack(made), known(latents, mask), atol=1e-6)


@pytest.mark.parametrize("which", ["every layer", "attention"])
def test_every_layer_of_a_full_size_fill_takes_a_lora(tmp_path, monkeypatch, which):
    """On the meta device, rank 1: the host knows each of diffusers' linear layers, and leaves none over."""
    import comfy.lora

    monkeypatch.setattr("torch.nn.Linear.reset_parameters", lambda self: None)
    with torch.device("meta"):
        big = FluxTransformer2DModel(in_channels=384, out_channels=64, guidance_embeds=True)
        layers = linear_layers(big)
        model = fill.stock_fill(big, weights=False)
    assert lora_layers(model) == layers and len(layers) > 343
    chosen = {n: size for n, size in layers.items() if which == "every layer" or ".attn." in n}
    # A file of it would have gigabytes: its names, with every size 1.
    sizes = {f"transformer.{n}.lora_{ab}.weight": torch.zeros(1, 1) for n in chosen for ab in "AB"}
    taken = comfy.lora.load_lora(sizes, comfy.lora.model_lora_keys_unet(model.model, {}), log_missing=False)
    assert len(taken) == len(chosen)
    assert len(set(model.clone().add_patches(taken, 1.0))) == len(taken)


def test_a_file_of_every_layer_is_taken_by_the_tiny_one(tmp_path):
    transformer = tiny_transformer(**fill.FILL)
    model, g = fill.tiny_fill(transformer), torch.Generator().manual_seed(4)
    tensors = {}
    for n, (a, b) in linear_layers(transformer).items():
        tensors[f"transformer.{n}.lora_A.weight"] = torch.randn(2, a, generator=g)
        tensors[f"transformer.{n}.lora_B.weight"] = torch.randn(b, 2, generator=g)
    save_file(tensors, tmp_path / "all.safetensors")
    assert set(read_any_lora(tmp_path / "all.safetensors", lora_layers(model))) == set(linear_layers(transformer))
    patched = with_lora(model, str(tmp_path / "all.safetensors"), lora_layers(model))
    assert sum(map(len, patched.patches.values())) == len(linear_layers(transformer)) and not model.patches
