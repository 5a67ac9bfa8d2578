"""The native path of learn2refocus, on ComfyUI's own SVD, against the published inference and the reference."""

import comfy.model_base
import comfy.model_detection
import comfy.model_management as mm
import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel
from safetensors.torch import save_file

from rackfocus.dev.tiny import native_svd as native
from rackfocus.dev.tiny.svd import tiny_clip_vision, tiny_clip_weights, tiny_vae
from rackfocus.nodes.learn2refocus.models import SvdModels, load_unet
from rackfocus.nodes.learn2refocus.run import decode, embed, encode, run
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.learn2refocus import POSITIONS, Reference, generate, photo_to_stack
from rackfocus.pipelines.learn2refocus.unet_file import FINE_EPS, comfy_names, fine_norms
from rackfocus.tests.parity.golden import TOLERANCE, error
from rackfocus.tests.parity.golden_svd import GIVEN, OURS

DECODED = 1e-3


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model():
    return native.load(OURS.folder)


@pytest.fixture(scope="module")
def models(model):
    return SvdModels(model, tiny_clip_vision(), tiny_vae())


def inputs(batch=1, size=(8, 12)):
    """(noise, latent, embed)"""
    return normal(batch, POSITIONS, 4, *size), normal(batch, 4, *size, seed=1), normal(batch, 1, 16, seed=2)


# Against the published inference


@pytest.mark.parametrize("name", GIVEN.cases)
def test_whole_runs(name):
    case, t = GIVEN.cases[name], GIVEN.tensors
    model, vae = native.load(GIVEN.folder), tiny_vae(GIVEN.folder)
    latent = encode(vae, GIVEN.image(name))
    assert error(latent, GIVEN.latent(name)) < TOLERANCE
    out = native.generate(
        model,
        t[f"{name}.noise"],
        latent,
        t[f"{name}.embed"],
        case["position"],
        steps=case["steps"],
        guidance=case["guidance"],
    )
    assert error(out, t[f"{name}.latents"]) < TOLERANCE
    frames = decode(vae, out[0] / model.model.latent_format.scale_factor, 9)
    assert error(frames, ((t[f"{name}.frames"] + 1) / 2).clamp(0, 1).movedim(1, -1)) < DECODED


# Against the reference


@pytest.mark.parametrize("size", [(8, 12), (6, 5)])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("position", [0, 4, 8])
def test_equals_the_reference(model, position, batch, size):
    noise, latent, vector = inputs(batch, size)
    expected = generate(OURS.unet, noise, latent, vector, position, steps=3)
    out = native.generate(model, noise, latent, vector, position, steps=3, guidance=1.5)
    assert error(out, expected) < TOLERANCE
    elsewhere = generate(OURS.unet, noise, latent, vector, (position + 1) % 9, steps=3)
    assert error(elsewhere, expected) > 10 * TOLERANCE


def test_without_guidance_too(model):
    out = native.generate(model, *inputs(), 4, steps=2, guidance=1.0)
    assert error(out, generate(OURS.unet, *inputs(), 4, steps=2, guidance=1.0)) < TOLERANCE


@pytest.mark.parametrize("corrected", [False, True])
def test_the_embedding_is_that_of_transformers(corrected):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    from rackfocus.dev.tiny.svd import CLIP
    from rackfocus.pipelines.learn2refocus import clip_pixels

    tower = CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP)).eval()
    tower.load_state_dict(tiny_clip_weights())
    image = random(2, 320, 448, 3)
    expected = tower(clip_pixels(image, corrected=corrected)).image_embeds[:, None]
    found = embed(tiny_clip_vision(), image, 16, corrected=corrected)
    assert error(found, expected) < 1e-3  # the host keeps vision towers in float16
    assert error(embed(tiny_clip_vision(), image, 16, corrected=not corrected), expected) > 0.1


def test_a_photo_becomes_the_references_stack(models):
    """From picture to pictures: the same seed gives the reference's frames."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    from rackfocus.dev.tiny.svd import CLIP

    tower = CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP)).eval()
    tower.load_state_dict(tiny_clip_weights())
    image = random(1, 64, 64, 3)
    (made,) = run(models, image, [3], steps=1, guidance=1.5, seed=7, chunk=4)
    expected = photo_to_stack(Reference(OURS.unet, OURS.vae, tower), image, 3, steps=1, seed=7, chunk=4)
    assert made.shape == expected.shape == (9, 64, 64, 3)
    assert error(made, expected) < DECODED


# The whole file


def test_every_weight_of_a_full_size_unet_has_its_place():
    """On the meta device: 1428 names become those of the host's model, one to one, shapes right, none left."""
    with torch.device("meta"):
        weights = UNetSpatioTemporalConditionModel(num_attention_heads=(5, 10, 20, 20), num_frames=14).state_dict()
        names = comfy_names(weights)
        moved = {new: weights[old] for old, new in names.items()}
        config = comfy.model_detection.model_config_from_unet(moved, "")
        config.set_inference_dtype(torch.float32, None)
        host = comfy.model_base.SVD_img2vid(config, device=torch.device("meta")).diffusion_model.state_dict()
    assert len(weights) == len(moved) == 1428
    assert {k: v.shape for k, v in moved.items()} == {k: v.shape for k, v in host.items()}


def test_norms_have_the_eps_of_diffusers(model):
    """72 of a full-size UNet differ in ComfyUI; on a tiny one that alone is an error of 3e-5 to 1e-4."""
    with torch.device("meta"):
        unet = UNetSpatioTemporalConditionModel(num_attention_heads=(5, 10, 20, 20), num_frames=14)
    for source, count in ((unet, 72), (OURS.unet, None)):
        names = comfy_names(source.state_dict())
        eps = {
            new.removesuffix(".weight"): source.get_submodule(old.removesuffix(".weight")).eps
            for old, new in names.items()
            if "norm" in old
            and old.endswith(".weight")
            and isinstance(source.get_submodule(old.removesuffix(".weight")), torch.nn.GroupNorm)
        }
        fine = {norm for norm in eps if eps[norm] == FINE_EPS and ".1.norm" not in norm}  # not the attentions'
        assert fine == set(fine_norms(names)) and count in (None, len(fine))
    net = model.model.diffusion_model
    assert {norm: net.get_submodule(norm).eps for norm in eps} == eps


@pytest.fixture
def tensors():
    return {k: v.clone() for k, v in OURS.unet.state_dict().items()}


@pytest.fixture
def written(tmp_path):
    """write(tensors) -> the path of a file that holds them."""

    def write(tensors):
        save_file(tensors, tmp_path / "unet.safetensors")
        return str(tmp_path / "unet.safetensors")

    return write


def test_half_precision_files_load(tensors, written):
    model = load_unet(written({k: v.half() for k, v in tensors.items()}))
    out = native.generate(model, *inputs(), 4, steps=2, guidance=1.5)
    exact = generate(OURS.unet, *inputs(), 4, steps=2)
    assert TOLERANCE < error(out, exact) < 0.02


def test_a_size_the_host_does_not_know_is_said(written):
    other = UNetSpatioTemporalConditionModel(
        block_out_channels=(64, 64),
        num_attention_heads=(1, 1),
        layers_per_block=1,
        cross_attention_dim=16,
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=96,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
    )
    with pytest.raises(RefocusError, match=r"64 \+ 64 channels"):
        load_unet(written(other.state_dict()))


# Cooperation with the host


def test_cancel_is_heard_inside_a_step(models, monkeypatch):
    """The second block of the first step: no step is waited for."""
    real, calls = mm.throw_exception_if_processing_interrupted, []

    def check():
        calls.append(1)
        if len(calls) == 2:
            mm.interrupt_current_processing()
        real()

    monkeypatch.setattr(mm, "throw_exception_if_processing_interrupted", check)
    steps = []
    with pytest.raises(mm.InterruptProcessingException):
        native.generate(models.model, *inputs(), 0, steps=3, guidance=1.5, callback=lambda *a: steps.append(a))
    assert not steps
    monkeypatch.undo()
    assert not any(models.model.model_options["transformer_options"].get("patches", {}).values())


def test_low_vram_gives_the_same(model, monkeypatch):
    """Most layers stay where they are and are cast for each call."""
    expected = native.generate(model, *inputs(), 4, steps=2, guidance=1.5)
    fresh = native.load(OURS.folder)
    load, seen = type(fresh).load, []

    def small(self, device_to=None, **rest):
        return load(self, device_to, lowvram_model_memory=60000)

    def count(*step):
        layers = [m for m in fresh.model.diffusion_model.modules() if isinstance(m, torch.nn.Linear)]
        seen.append(sum(bool(m.comfy_cast_weights) for m in layers) / len(layers))

    monkeypatch.setattr(type(fresh), "load", small)
    out = native.generate(fresh, *inputs(), 4, steps=2, guidance=1.5, callback=count)
    assert len(seen) == 2 and min(seen) > 0.5
    assert error(out, expected) < 1e-6
