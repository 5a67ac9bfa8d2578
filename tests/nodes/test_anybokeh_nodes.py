"""The engine AnyBokeh on a tiny random FLUX.1-Fill in the host's own classes."""

from functools import cache

import pytest
import torch
from safetensors.torch import load_file, save_file

from rackfocus.dev.host.library import use_comfy

use_comfy()
import comfy.model_management as mm  # noqa: E402
import folder_paths  # noqa: E402

from rackfocus.dev.tiny import fill  # noqa: E402
from rackfocus.dev.tiny.genfocus import tiny_flux, tiny_transformer, tiny_vae  # noqa: E402
from rackfocus.nodes.anybokeh import models as module  # noqa: E402
from rackfocus.nodes.anybokeh.paint import NativePainter  # noqa: E402
from rackfocus.nodes.blur import BokehSynthesize, DeblurAiF  # noqa: E402
from rackfocus.nodes.engines import need  # noqa: E402
from rackfocus.nodes.model import LoadRefocusModel  # noqa: E402
from rackfocus.nodes.stack import FocalStackGenerate  # noqa: E402
from rackfocus.pipelines.anybokeh import chain  # noqa: E402
from rackfocus.pipelines.anybokeh.target import photo_lens, refocused  # noqa: E402
from rackfocus.pipelines.image.checks import RefocusError  # noqa: E402
from rackfocus.pipelines.optics import DefocusMap, focus_at_point  # noqa: E402
from rackfocus.tests.pictures import random  # noqa: E402

SIDE = 32
CHOSEN = {
    "stage1_lora": "AnyBokeh/stage1/pytorch_lora_weights.safetensors",
    "stage2_lora": "AnyBokeh/stage2/pytorch_lora_weights.safetensors",
    "prompt_embeds": "AnyBokeh/prompts.safetensors",
}
FAST = {"steps": 1, "seed": 5}


@pytest.fixture(autouse=True)
def inference_mode(monkeypatch):
    """As the host runs its nodes; tiles of 32 pixels."""
    monkeypatch.setattr(module, "RESOLUTION", SIDE)
    with torch.inference_mode():
        yield


@cache
def photo(height=37, width=45, batch=1):
    return random(batch, height, width, 3)


@pytest.fixture(scope="module")
def base():
    return {"flux": fill.tiny_fill(), "vae": tiny_vae()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    fill.save_files(root / "loras", root / "refocus")
    return root


@pytest.fixture(autouse=True)
def installed(folders, monkeypatch, depth_models):
    for name in ("loras", "refocus"):
        kinds = folder_paths.folder_names_and_paths[name][1]
        monkeypatch.setitem(folder_paths.folder_names_and_paths, name, ([str(folders / name)], kinds))
        folder_paths.filename_list_cache.pop(name, None)
    yield
    folder_paths.filename_list_cache.pop("loras", None)


@pytest.fixture
def load(base):
    def load(**changes):
        return LoadRefocusModel.execute("anybokeh", **{**CHOSEN, **base, **changes}).args[0]

    return load


@pytest.fixture
def model(load):
    return load()


@pytest.fixture
def painted(monkeypatch):
    """Sizes of the collages that are painted: (height, width)."""
    seen, call = [], NativePainter.__call__

    def spy(self, collage, mask, seed):
        seen.append(tuple(mask.shape))
        return call(self, collage, mask, seed)

    monkeypatch.setattr(NativePainter, "__call__", spy)
    return seen


STAGE_1, STAGE_2 = (SIDE, 3 * SIDE), (2 * SIDE, 2 * SIDE)


def refocus(model, image=None, **given):
    image = photo() if image is None else image
    asked = {"focus": (0.3, 0.6), "blur": 200.0, "depth": None, "aperture": None, **FAST, **given}
    return need(model, "refocus")(image, **asked)


@pytest.mark.parametrize("height, width, batch", [(37, 45, 2), (70, 33, 1), (20, 61, 1), (32, 32, 1)])
def test_any_size_in_the_same_size_out(model, height, width, batch):
    image = photo(height, width, batch)
    out = refocus(model, image)
    assert out.image.shape == image.shape and out.image.isfinite().all()
    assert out.image.min() >= 0 and out.image.max() <= 1
    for made in (out.defocus.radius, out.source.radius, out.disparity):
        assert made.shape == image.shape[:3]
    rim = torch.cat([out.image[:, 0].flatten(), out.image[:, :, -1].flatten()])
    assert (rim > 0.02).float().mean() > 0.5  # no black frame
    if batch == 2:
        alone = refocus(model, image[1:])
        assert torch.allclose(alone.image[0], out.image[1], atol=2e-4)
        assert not torch.allclose(out.image[0], out.image[1], atol=1e-2)


def test_it_is_the_reference(model, base):
    """The chain of pipelines.anybokeh with diffusers' modules and the host's VAE between."""
    from rackfocus.pipelines.anybokeh.reference import Painter

    transformer = tiny_transformer(**fill.FILL)
    models, image = model.models, photo()
    loras = [module.read_any_lora(folder_paths.get_full_path("loras", CHOSEN[k]), module.lora_layers(base["flux"]))
             for k in ("stage1_lora", "stage2_lora")]  # fmt: skip

    class Vae:
        encoder = staticmethod(
            lambda x: base["vae"].first_stage_model.quant_conv(base["vae"].first_stage_model.encoder(x))
        )
        decoder = staticmethod(base["vae"].first_stage_model.decode)

    painters = [
        Painter(transformer, Vae, lora, stage.prompt.text, stage.prompt.pooled, steps=2, vae_tile=tile)
        for stage, lora, tile in zip((models.first, models.second), loras, (2 * SIDE, None), strict=True)
    ]
    panels = chain.estimate(painters[0], image[0], 5, SIDE)
    coc, disparity = panels.coc_of(45, 37), panels.disparity_of(45, 37)[..., 0]
    at = focus_at_point(disparity[None], 0.3, 0.6)
    target = 200 * 45 / 1000 * (at - disparity)
    expected = chain.render(painters[1], image[0], coc, target, 5, SIDE)
    out = refocus(model, steps=2)
    assert torch.allclose(out.source.radius[0], coc[..., 0], atol=2e-3)
    assert torch.allclose(out.defocus.radius[0], target, atol=2e-3)
    assert float((out.image[0] - expected).norm() / expected.norm()) < 1e-3


def test_stage_1_runs_once_for_a_photo_and_stage_2_for_each_tile(model, painted):
    refocus(model)
    assert painted == [STAGE_1] + [STAGE_2] * 4
    painted.clear()
    refocus(model, focus=(0.9, 0.1), blur=90.0)  # what it said of this photo it says again
    assert painted == [STAGE_2] * 4
    painted.clear()
    refocus(model, seed=6)
    assert STAGE_1 in painted
    painted.clear()
    two = torch.cat([1 - photo(), 0.5 * photo()])
    refocus(model, two)
    assert painted[:2] == [STAGE_1] * 2 and STAGE_1 not in painted[2:]  # LoRAs change once


def test_what_is_remembered_has_an_end(model, monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 2)
    for seed in range(4):
        refocus(model, seed=seed)
    assert len(model.models.remembered) == 2


def test_blur_0_asks_for_everything_in_focus(model):
    out = refocus(model, blur=0.0)
    assert not out.defocus.radius.any() and out.source.radius.any()
    sharp, had = need(model, "deblur")(photo(), strength=1.0, defocus=None, aperture=None, **FAST)
    assert torch.equal(sharp, out.image) and torch.equal(had.radius, out.source.radius)


def test_the_photos_own_lens_can_be_opened_wider(model):
    """As published: the photo's k, times a ratio; signs as stage 1 has them."""
    out = refocus(model, aperture_ratio=2.5)
    disparity = out.disparity[0]
    lens = photo_lens(out.source.radius[0], disparity)
    expected = refocused(lens, disparity, focus_at_point(disparity[None], 0.3, 0.6), 2.5)
    assert torch.allclose(out.defocus.radius[0], expected, atol=1e-4)
    assert ("disagree" in out.info) == (lens.k < 0)
    assert torch.equal(refocus(model, aperture_ratio=2.5, blur=0.0).image, refocus(model, blur=0.0).image)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_depth_that_is_given_takes_the_place_of_its_own(model, sign):
    depth = (0.5 + sign * torch.linspace(-0.5, 0.5, 45))[None, None].repeat(1, 37, 1)
    out = refocus(model, depth=depth, focus=(0.5, 0.5))
    assert out.disparity is None
    expected = 200 * 0.045 * (depth[:, 18:19, 22:23] - depth)
    assert torch.allclose(out.defocus.radius, expected, atol=0.1)
    assert (out.defocus.radius[0, :, -1] < 0).all() == (sign > 0)  # in front of the focal plane where it is nearer


def test_a_diameter_is_twice_a_radius(model):
    one, two = refocus(model, blur=200.0, coc_is="diameter"), refocus(model, blur=400.0)
    assert torch.allclose(one.image, two.image, atol=1e-5)
    assert torch.allclose(2 * one.defocus.radius, two.defocus.radius, atol=1e-4)
    assert torch.allclose(2 * one.source.radius, two.source.radius, atol=1e-4)


@pytest.mark.parametrize("change", [{"steps": 2}, {"seed": 6}, {"blur": 20.0}, {"aperture_ratio": 3.0},
                                    {"coc_is": "diameter"}, {"focus": (0.9, 0.1)}])  # fmt: skip
def test_every_widget_acts(model, change):
    assert float((refocus(model).image - refocus(model, **change).image).abs().max()) > 1e-4


def test_no_steps_are_the_published_ones(model, monkeypatch):
    from rackfocus.nodes import anybokeh

    monkeypatch.setattr(anybokeh, "STEPS", 3)
    assert torch.equal(refocus(model, steps=0).image, refocus(model, steps=3).image)


# The other nodes


def test_bokeh_takes_a_map_and_an_animation(model, painted):
    ramp = torch.linspace(-8, 8, 45)[None, None].repeat(3, 37, 1) * torch.tensor([0.0, 1.0, 2.0])[:, None, None]
    given = {"quality": "fast", "highlights": 8.0, **FAST}
    out = BokehSynthesize.execute(photo(), DefocusMap(ramp), model=model, **given).args[0]
    assert out.shape == (3, 37, 45, 3) and painted.count(STAGE_1) == 1
    assert torch.allclose(out[0], refocus(model, blur=0.0).image[0], atol=1e-5)
    assert float((out[1] - out[2]).abs().max()) > 1e-4
    half = BokehSynthesize.execute(photo(), DefocusMap(ramp[1:2]), model=model, **given, coc_is="diameter").args[0]
    assert torch.allclose(half[0], out[2], atol=1e-5)  # twice as many pixels
    with pytest.raises(RefocusError, match="3"):
        BokehSynthesize.execute(photo(batch=2), DefocusMap(ramp), model=model, **given)


def test_deblur_with_the_blur_that_the_photo_has_needs_no_stage_1(model, painted):
    had = DefocusMap(torch.linspace(-8, 8, 45)[None, None].repeat(1, 37, 1))
    whole = DeblurAiF.execute(photo(), 1.0, model=model, defocus=had, **FAST).args
    assert STAGE_1 not in painted and torch.equal(whole[1].radius, had.radius)
    half = DeblurAiF.execute(photo(), 0.5, model=model, defocus=had, **FAST).args[0]
    assert torch.allclose(half, (photo() + whole[0]) / 2, atol=1e-5)
    other = DeblurAiF.execute(photo(), 1.0, model=model, defocus=DefocusMap(-had.radius), **FAST).args[0]
    assert float((other - whole[0]).abs().max()) > 1e-4


def test_a_stack_is_a_sweep_at_one_seed(model, painted):
    shown = {"strength": 300.0, "frames": 3, "quality": "fast", "highlights": 8.0, "depth_kind": "auto"}
    stacks, positions, info = FocalStackGenerate.execute(photo(), model=model, **shown, **FAST).args
    assert [s.shape for s in stacks] == [(3, 37, 45, 3)] and positions == [0, 0.5, 1]
    assert painted.count(STAGE_1) == 1 and painted.count(STAGE_2) == 12
    assert info.startswith("focus disparity ")
    near, far = (float(n) for n in info.removeprefix("focus disparity ").split(" to "))
    assert near > far
    depth = torch.linspace(0, 1, 45)[None, None].repeat(1, 37, 1)
    given = FocalStackGenerate.execute(
        photo(), depth=depth, model=model, **{**shown, "depth_kind": "disparity"}, **FAST
    )
    first = refocus(model, depth=depth, blur=300.0, focus=(1.0, 0.5)).image[0]
    assert float((given.args[0][0][0] - first).abs().mean()) < 0.05


# What happens to the artist's models


def weights_of(model):
    mm.load_models_gpu([model])  # what the host does before it is used again
    return {name: t.clone() for name, t in model.model.state_dict().items()}


@pytest.mark.parametrize("end", ["run", "error", "cancel"])
def test_the_model_is_as_it_was(model, base, end, monkeypatch):
    before = weights_of(base["flux"])
    patches = dict(base["flux"].patches)
    if end == "run":
        refocus(model)
    else:
        calls = []

        def stop(self, *_):
            calls.append(1)
            if len(calls) == 2:
                if end == "error":
                    raise RuntimeError("broken")
                mm.interrupt_current_processing()
                mm.throw_exception_if_processing_interrupted()

        monkeypatch.setattr("rackfocus.nodes.sampling.Report.step", stop)
        with pytest.raises((RuntimeError, mm.InterruptProcessingException)):
            refocus(model, steps=3, seed=77)
    net = base["flux"].model.diffusion_model
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in net.modules())
    after = weights_of(base["flux"])
    assert base["flux"].patches == patches == {}
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)


def test_one_bar_for_all_and_it_ends_full(model, monkeypatch):
    at = []
    monkeypatch.setattr(
        "comfy.utils.ProgressBar.update_absolute", lambda self, *given: at.append((given[0], self.total))
    )
    refocus(model, photo(batch=2), steps=2)
    assert at[-1][0] == at[-1][1] == 2 * (2 + 4 * 2) and [n for n, _ in at] == sorted({n for n, _ in at})


# What is wrong with what was given


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"flux": None}, "no MODEL is connected"),
        ({"vae": None}, "no VAE is connected"),
        ({"flux": tiny_flux}, r"plain FLUX.1-dev\), but AnyBokeh paints with FLUX.1-Fill-dev"),
        ({"stage1_lora": "none"}, "no stage1_lora is chosen"),
        ({"stage2_lora": "gone.safetensors"}, "stage2_lora is 'gone.safetensors', but models/loras has no such file"),
        ({"stage2_lora": CHOSEN["stage1_lora"]}, "are one file"),
        ({"prompt_embeds": "none"}, "no prompt_embeds is chosen"),
        ({"prompt_embeds": "gone.safetensors"}, "models/refocus has no such file"),
        ({"prompt_embeds": "old.pt"}, "old.pt is a pickle, .* fetch anybokeh"),
        ({"prompt_embeds": "half.safetensors"}, "half.safetensors lacks the prompt embeddings stage2/"),
        ({"prompt_embeds": "wide.safetensors"}, "1 x n x 32 and 1 x 24 are needed"),
        ({"stage1_lora": "sdxl.safetensors"}, "sdxl.safetensors has no layer of this FLUX.1"),
    ],
)
def test_one_sentence(load, folders, changes, said):
    whole = load_file(folders / "refocus" / CHOSEN["prompt_embeds"])
    torch.save(whole, folders / "refocus" / "old.pt")
    save_file({k: v for k, v in whole.items() if "stage1" in k}, folders / "refocus" / "half.safetensors")
    save_file({k: torch.cat([v, v], -1) for k, v in whole.items()}, folders / "refocus" / "wide.safetensors")
    save_file({"lora_unet_mid_block.lora_up.weight": torch.zeros(2, 2)}, folders / "loras" / "sdxl.safetensors")
    for name in ("loras", "refocus"):
        folder_paths.filename_list_cache.pop(name, None)
    with pytest.raises(RefocusError, match=said) as error:
        load(**{k: v() if callable(v) else v for k, v in changes.items()})
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


def test_another_vae_is_named(load, base):
    class Small:
        latent_channels, first_stage_model = 4, base["vae"].first_stage_model

    with pytest.raises(RefocusError, match=r"the VAE makes latents of 4 channels, but AnyBokeh needs FLUX.1's"):
        load(vae=Small())


def test_memory_that_runs_out_halves_the_tiles_of_the_vae(model, monkeypatch):
    net, widths = model.models.vae.first_stage_model, []
    forward = net.decoder.forward

    def short(z, **given):
        widths.append(z.shape[-1])
        if z.shape[-1] > SIDE // 8:
            raise mm.OOM_EXCEPTION("out of memory")
        return forward(z, **given)

    monkeypatch.setattr(net.decoder, "forward", short)
    stage = model.models.second
    out = NativePainter(stage, model.models.vae, 1, None).decode(torch.zeros(1, 16, 8, 8))
    assert out.shape == (64, 64, 3) and max(widths) == 8 and widths.count(4) >= 2
