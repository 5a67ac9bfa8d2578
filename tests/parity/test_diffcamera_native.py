"""DiffCamera on a stock ComfyUI FLUX of tiny random weights against the explicit reference."""

import copy

import pytest
import torch
from diffusers import FluxTransformer2DModel

from rackfocus.dev.host.library import use_comfy

use_comfy()

from rackfocus.dev.tiny import native_flux as native  # noqa: E402
from rackfocus.dev.tiny.diffcamera import tiny_aim, tiny_checkpoint  # noqa: E402
from rackfocus.nodes.diffcamera.prepare import attach, conditioning  # noqa: E402
from rackfocus.nodes.flux.hook import with_conditions  # noqa: E402
from rackfocus.nodes.flux.lora import LoraWeights  # noqa: E402
from rackfocus.nodes.flux.lora import architecture_of as sizes_of  # noqa: E402
from rackfocus.nodes.flux.memory import Memories  # noqa: E402
from rackfocus.pipelines.diffcamera import About, Camera, generate  # noqa: E402
from rackfocus.pipelines.flux.architecture import FLUX_1  # noqa: E402
from rackfocus.pipelines.flux.lora_file import LowRank  # noqa: E402
from rackfocus.pipelines.flux.tokens import unpack  # noqa: E402
from rackfocus.tests.parity.golden import TOLERANCE, error  # noqa: E402

SIZE = (75, 140)  # pixels of 5 x 9 tokens


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def model(transformer):
    return native.stock_model(transformer)


def inputs(batch, h=5, w=9):
    """(noise, [reference, geometry])"""
    noise, *grids = torch.randn(3, batch, h, w, 16, generator=torch.Generator().manual_seed(6))
    return noise, grids


def both(model, transformer, checkpoint, batch, *, tiling="off", depth=True, steps=2, memories=None, reference=None):
    """(native latents, the reference's)."""
    noise, grids = inputs(batch)
    aim, grids = tiny_aim(batch, known=depth), grids[: 1 + depth]
    (patcher,) = native.patchers([checkpoint.lora], transformer)
    given = {"tiling": tiling, "tile": 5, "memories": memories}
    clone = attach(model, checkpoint, patcher, aim, SIZE, len(grids), **given)
    out = native.sample(
        clone, noise, with_conditions(conditioning(checkpoint), [unpack(g) for g in grids]), steps=steps
    )
    settings = {"steps": steps, "tiling": tiling, "tile": 5, "keep": False}
    expected = generate(reference or transformer, checkpoint, noise, grids[0], (*grids, None)[1], aim, SIZE, **settings)
    return out, expected


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    ("batch", "tiling", "depth", "about"),
    [
        (1, "off", True, {}),
        (2, "off", False, {}),
        (2, "on", True, {}),
        (1, "on", False, {"lora": "all"}),
        (2, "off", True, {"lora": "all", "camera": "linear"}),
        (1, "on", True, {"camera": "linear", "geometry": "depth"}),
    ],
)
def test_it_is_the_reference(model, transformer, batch, tiling, depth, about, kept):
    """Batches, tiles, with and without depth, both cameras, both reaches of the LoRA; conditions kept or not."""
    memories = Memories(room=1 << 30) if kept else None
    out, expected = both(
        model, transformer, tiny_checkpoint(transformer, **about), batch, tiling=tiling, depth=depth, memories=memories
    )
    assert error(out, expected) < TOLERANCE
    if kept:
        assert memories.room < 1 << 30  # something was kept


def test_on_a_float8_base(transformer):
    """The weights of the base in 8 bits, computed in float32; the LoRA's and the camera's as they are."""
    half = copy.deepcopy(transformer)
    for p in half.parameters():
        p.data = p.data.to(torch.float8_e4m3fn).float()
    model = native.stock_model(half)
    config = native.model_config(transformer)
    config.set_inference_dtype(torch.float8_e4m3fn, torch.float32)
    small = native.stock_model(transformer, config)
    stored = {p.dtype for p in small.model.diffusion_model.parameters()}
    assert torch.float8_e4m3fn in stored
    checkpoint = tiny_checkpoint(transformer)
    for memories in (None, Memories(room=1 << 30)):
        out, expected = both(small, transformer, checkpoint, 2, memories=memories, reference=half)
        assert error(out, expected) < TOLERANCE
    assert error(both(model, transformer, checkpoint, 2)[1], expected) > 10 * TOLERANCE


def test_every_tensor_has_its_place_in_a_full_size_flux():
    """On the meta device: FLUX.1-dev takes the LoRA in its fused layers and the camera at its width."""
    with torch.device("meta"):
        big = FluxTransformer2DModel(guidance_embeds=True)
        flux = native.stock_model(big, weights=False).model.diffusion_model
        lora = {m: LowRank(torch.empty(64, a), torch.empty(b, 64)) for m, (a, b) in FLUX_1.lora_layers().items()}
        weights = LoraWeights(lora, sizes_of(flux))
        camera = Camera(About().camera, FLUX_1.hidden)
    assert sizes_of(flux) == FLUX_1 and camera.hidden == flux.hidden_size
    assert sum(p.numel() for p in weights.parameters()) == sum(x.numel() for m in lora.values() for x in (m.down, m.up))
    assert sum(len(layer.starts) for _, layer in weights.items()) == 343
    assert (flux.params.context_in_dim, flux.params.vec_in_dim) == (4096, 768)
