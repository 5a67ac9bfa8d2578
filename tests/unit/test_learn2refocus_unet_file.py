"""Which file is learn2refocus's UNet, what a wrong one is, and the names its weights have in ComfyUI."""

import functools

import pytest

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.learn2refocus.unet_file import (
    FINE_EPS,
    SVD,
    Layout,
    check_unet,
    comfy_names,
    fine_norms,
    layout_of,
)

SMALL = Layout((32, 64, 96), (False, True, True), 3, 40, 24)


@functools.cache
def tensors(layout=SVD):
    return layout.tensors()


@pytest.mark.parametrize("layout", [SVD, SMALL])
def test_a_layout_is_read_from_its_own_tensors(layout):
    assert layout_of(tensors(layout)) == layout == check_unet(tensors(layout), "unet.safetensors", 14)


def test_the_full_size_unet_has_svds_tensors():
    assert len(tensors()) == 1428
    for name, shape in {
        "conv_in.weight": (320, 8, 3, 3),
        "conv_out.weight": (4, 320, 3, 3),
        "time_embedding.linear_1.weight": (1280, 320),
        "add_embedding.linear_1.weight": (1280, 768),
        "down_blocks.1.resnets.0.spatial_res_block.conv1.weight": (640, 320, 3, 3),
        "down_blocks.1.resnets.0.spatial_res_block.conv_shortcut.weight": (640, 320, 1, 1),
        "down_blocks.1.resnets.0.temporal_res_block.conv1.weight": (640, 640, 3, 1, 1),
        "down_blocks.2.downsamplers.0.conv.weight": (1280, 1280, 3, 3),
        "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight": (1280, 1024),
        "mid_block.attentions.0.time_pos_embed.linear_1.weight": (5120, 1280),
        "up_blocks.0.resnets.0.spatial_res_block.conv1.weight": (1280, 2560, 3, 3),
        "up_blocks.2.resnets.0.spatial_res_block.conv1.weight": (640, 1920, 3, 3),
        "up_blocks.3.resnets.2.spatial_res_block.conv1.weight": (320, 640, 3, 3),
        "up_blocks.1.attentions.0.temporal_transformer_blocks.0.ff_in.net.0.proj.weight": (10240, 1280),
        "up_blocks.3.attentions.0.transformer_blocks.0.attn1.to_k.weight": (320, 320),
    }.items():
        assert tensors()[name] == shape, name
    absent = ("down_blocks.3.attentions", "up_blocks.0.attentions", "down_blocks.3.downsamplers", "up_blocks.3.upsampl")
    assert not [n for n in tensors() if n.startswith(absent)]


@pytest.mark.parametrize("layout", [SVD, SMALL])
def test_names_stay_apart(layout):
    names = comfy_names(tensors(layout))
    assert set(names) == set(tensors(layout)) and len(set(names.values())) == len(names)
    first = {n.split(".")[0] for n in names.values()}
    assert first == {"input_blocks", "middle_block", "output_blocks", "time_embed", "label_emb", "out"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("conv_in.weight", "input_blocks.0.0.weight"),
        ("conv_norm_out.bias", "out.0.bias"),
        ("conv_out.weight", "out.2.weight"),
        ("time_embedding.linear_1.weight", "time_embed.0.weight"),
        ("time_embedding.linear_2.weight", "time_embed.2.weight"),
        ("add_embedding.linear_1.weight", "label_emb.0.0.weight"),
        ("add_embedding.linear_2.weight", "label_emb.0.2.weight"),
        ("down_blocks.1.resnets.1.temporal_res_block.conv1.weight", "input_blocks.5.0.time_stack.in_layers.2.weight"),
        ("down_blocks.0.resnets.0.spatial_res_block.norm1.weight", "input_blocks.1.0.in_layers.0.weight"),
        ("down_blocks.0.resnets.0.spatial_res_block.norm2.weight", "input_blocks.1.0.out_layers.0.weight"),
        ("down_blocks.0.resnets.0.spatial_res_block.conv2.weight", "input_blocks.1.0.out_layers.3.weight"),
        ("down_blocks.0.resnets.0.spatial_res_block.time_emb_proj.bias", "input_blocks.1.0.emb_layers.1.bias"),
        ("down_blocks.0.resnets.1.time_mixer.mix_factor", "input_blocks.2.0.time_mixer.mix_factor"),
        ("down_blocks.1.attentions.0.proj_in.weight", "input_blocks.4.1.proj_in.weight"),
        ("down_blocks.2.downsamplers.0.conv.bias", "input_blocks.9.0.op.bias"),
        ("mid_block.resnets.0.time_mixer.mix_factor", "middle_block.0.time_mixer.mix_factor"),
        ("mid_block.resnets.1.time_mixer.mix_factor", "middle_block.2.time_mixer.mix_factor"),
        (
            "mid_block.attentions.0.temporal_transformer_blocks.0.ff_in.net.2.weight",
            "middle_block.1.time_stack.0.ff_in.net.2.weight",
        ),
        ("up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"),
        ("up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"),
        ("up_blocks.3.attentions.2.time_pos_embed.linear_1.bias", "output_blocks.11.1.time_pos_embed.0.bias"),
        ("up_blocks.3.attentions.2.time_pos_embed.linear_2.bias", "output_blocks.11.1.time_pos_embed.2.bias"),
        ("up_blocks.3.resnets.0.spatial_res_block.conv_shortcut.weight", "output_blocks.9.0.skip_connection.weight"),
    ],
)
def test_names_of_the_full_size_unet(old, new):
    assert comfy_names(tensors())[old] == new


def test_norms_that_keep_the_eps_of_training():
    """diffusers gives 1e-6 to the resnets of its blocks with attention and of all on the way up: 72 of a full UNet."""
    fine = set(fine_norms(tensors()))
    assert FINE_EPS == 1e-6 and len(fine) == 72 == 4 * (3 * 2 + 4 * 3)  # two norms in space, two in time
    assert {
        "input_blocks.1.0.in_layers.0",
        "input_blocks.8.0.time_stack.out_layers.0",
        "output_blocks.0.0.in_layers.0",
    } < fine
    assert not fine & {"input_blocks.10.0.in_layers.0", "middle_block.0.in_layers.0", "out.0"}
    assert not [n for n in fine if not n.endswith(("in_layers.0", "out_layers.0"))]


def without(pattern, tensors):
    return {k: v for k, v in tensors.items() if pattern not in k}


IMAGE_UNET = {"conv_in.weight": (320, 4, 3, 3), "down_blocks.0.resnets.0.conv1.weight": (320, 320, 3, 3)}
TO_K = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            lambda: {f"model.diffusion_model.{n}": (1,) for n in comfy_names(tensors()).values()},
            "Stable Video Diffusion itself",
        ),
        (lambda: dict.fromkeys(comfy_names(tensors()).values(), (1,)), r"img2vid or xt.*not told apart"),
        ({**IMAGE_UNET, TO_K: (320, 768)}, r"single pictures \(Stable Diffusion 1\)"),
        ({**IMAGE_UNET, TO_K: (320, 1024)}, r"single pictures \(Stable Diffusion 2\)"),
        ({**IMAGE_UNET, TO_K: (640, 2048)}, r"single pictures \(SDXL\)"),
        ({**IMAGE_UNET, TO_K: (640, 640)}, "single pictures, without layers in time"),
        ({"model.diffusion_model.input_blocks.1.0.in_layers.0.weight": (320,)}, "a Stable Diffusion model for single"),
        ({"double_blocks.0.img_attn.qkv.weight": (9216, 3072)}, "a FLUX model"),
        ({"transformer.x_embedder.lora_A.weight": (64, 64)}, "a LoRA"),
        ({"vision_model.embeddings.class_embedding": (1280,)}, "a CLIP vision tower"),
        ({"decoder.mid_block.resnets.0.time_mixer.mix_factor": (1,)}, "SVD's VAE"),
        ({"encoder.down_blocks.0.resnets.0.conv1.weight": (1,)}, "a VAE"),
        ({"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": (1,)}, "a diffusion transformer"),
        ({"down_blocks.0.motion_modules.0.norm.weight": (1,), **IMAGE_UNET}, "AnimateDiff"),
        ({"controlnet_down_blocks.0.weight": (1,), **IMAGE_UNET}, "a ControlNet"),
        ({"layers.0.weight": (1,)}, "not a model that is known here"),
        ({}, "not a model that is known here"),
        (lambda: without("down_blocks", without("up_blocks", tensors())), "not a model that is known here"),
        (
            lambda: without("mid_block.resnets.1.time_mixer", tensors()),
            r"lacks 1 of the 1428 tensors \(mid_block\.resnets\.1\.time_mixer\.mix_factor\)",
        ),
        (lambda: without("up_blocks.3", tensors()), r"lacks \d+ of the 1428 tensors \(.*, .* and \d+ more\)"),
        (lambda: {**tensors(), "ema.decay": ()}, r"has in excess 1 of the 1428 tensors \(ema\.decay"),
        (lambda: {**tensors(), "conv_out.bias": (5,)}, r"has in the wrong shape 1 .*conv_out\.bias"),
        (
            lambda: Layout(SVD.channels, SVD.attention, 2, 1024, 768, inputs=4).tensors(),
            "SVD UNet of 4 input channels, but .* which has 8",
        ),
    ],
)
def test_a_wrong_file_is_named_in_one_sentence(found, said):
    with pytest.raises(RefocusError, match=said) as error:
        check_unet(found() if callable(found) else found, "chosen.safetensors")
    text = str(error.value)
    assert text.startswith("chosen.safetensors ") and "\n" not in text and len(text) < 300


def test_svd_xt_is_told_by_its_frames():
    with pytest.raises(RefocusError, match=r"unet\.safetensors is the UNet of SVD-xt .*25 frames"):
        check_unet(tensors(), "unet.safetensors", 25)


def test_an_unknown_weight_has_no_name():
    with pytest.raises(RefocusError, match=r"loose\.weight is not a weight"):
        comfy_names(["loose.weight"])


def test_tensors_without_axes_are_no_unet():
    for name in (
        "conv_in.weight",
        "add_embedding.linear_1.weight",
        "down_blocks.0.resnets.0.spatial_res_block.conv1.weight",
    ):
        for shape in ((), (8,)):
            with pytest.raises(RefocusError, match=r"mine is|mine has|lacks"):
                check_unet({**tensors(SMALL), name: shape}, "mine")
    with pytest.raises(RefocusError, match="a UNet for single pictures"):
        check_unet({"down_blocks.0.resnets.0.conv1": (), "x.attn2.to_k.weight": ()}, "mine")


def test_a_ladder_of_names_is_not_laid_out():
    """2,000 blocks of 2,000 layers would be 4 million layers to compare with."""
    resnet = "down_blocks.{}.resnets.{}.spatial_res_block.conv1.weight"
    found = dict(tensors(SMALL))
    for i in range(9):
        found[resnet.format(0, i)] = (32, 32, 3, 3)
    assert layout_of(found) is None
    found = {**tensors(SMALL), **{resnet.format(i, 0): (32, 32, 3, 3) for i in range(9)}}
    assert layout_of(found) is None and layout_of(tensors(SMALL)) == SMALL
