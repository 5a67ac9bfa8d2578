"""The pure parts of learn2refocus: positions, and which file is which."""

import pytest

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.learn2refocus import dioptres_at, position_at
from rackfocus.pipelines.learn2refocus.unet_file import SVD, Layout, check_unet, comfy_names, layout_of

SMALL = Layout((32, 64, 96), (False, True, True), 3, 40, 24)


def test_positions_are_even_in_dioptres_from_5_cm_to_infinity():
    assert [dioptres_at(p) for p in (0, 4, 8)] == [20, 10, 0]
    assert position_at(1 / 0.05) == 0 and position_at(0) == 8 and position_at(1 / 0.02) == 0
    assert all(position_at(dioptres_at(p)) == pytest.approx(p) for p in (0, 1.5, 3, 7.9))


@pytest.mark.parametrize("layout", [SVD, SMALL])
def test_a_layout_is_read_from_its_own_tensors(layout):
    assert layout_of(layout.tensors()) == layout == check_unet(layout.tensors(), "unet.safetensors", 14)
    assert len(SVD.tensors()) == 1428


@pytest.mark.parametrize("layout", [SVD, SMALL])
def test_names_stay_apart(layout):
    names = comfy_names(layout.tensors())
    assert set(names) == set(layout.tensors()) and len(set(names.values())) == len(names)
    assert {n.split(".")[0] for n in names.values()} == {
        "input_blocks",
        "middle_block",
        "output_blocks",
        "time_embed",
        "label_emb",
        "out",
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("down_blocks.1.resnets.1.temporal_res_block.conv1.weight", "input_blocks.5.0.time_stack.in_layers.2.weight"),
        ("down_blocks.2.downsamplers.0.conv.bias", "input_blocks.9.0.op.bias"),
        ("up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"),
        ("up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"),
        (
            "mid_block.attentions.0.temporal_transformer_blocks.0.ff_in.net.2.weight",
            "middle_block.1.time_stack.0.ff_in.net.2.weight",
        ),
        ("up_blocks.3.attentions.2.time_pos_embed.linear_2.bias", "output_blocks.11.1.time_pos_embed.2.bias"),
        ("up_blocks.3.resnets.0.spatial_res_block.conv_shortcut.weight", "output_blocks.9.0.skip_connection.weight"),
    ],
)
def test_names_of_the_full_size_unet(old, new):
    assert comfy_names(SVD.tensors())[old] == new


def without(pattern, tensors):
    return {k: v for k, v in tensors.items() if pattern not in k}


IMAGE_UNET = {"conv_in.weight": (320, 4, 3, 3), "down_blocks.0.resnets.0.conv1.weight": (320, 320, 3, 3)}
TO_K = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (
            {
                f"model.diffusion_model.{n}": s
                for n, s in zip(comfy_names(SVD.tensors()).values(), SVD.tensors().values(), strict=True)
            },
            "Stable Video Diffusion itself",
        ),
        (dict.fromkeys(comfy_names(SVD.tensors()).values(), (1,)), "img2vid or xt.*not told apart"),
        ({**IMAGE_UNET, TO_K: (320, 768)}, r"single pictures \(Stable Diffusion 1\)"),
        ({**IMAGE_UNET, TO_K: (640, 2048)}, r"single pictures \(SDXL\)"),
        ({"model.diffusion_model.input_blocks.1.0.in_layers.0.weight": (320,)}, "a Stable Diffusion model for single"),
        ({"double_blocks.0.img_attn.qkv.weight": (9216, 3072)}, "a FLUX model"),
        ({"transformer.x_embedder.lora_A.weight": (64, 64)}, "a LoRA"),
        ({"vision_model.embeddings.class_embedding": (1280,)}, "a CLIP vision tower"),
        ({"decoder.mid_block.resnets.0.time_mixer.mix_factor": (1,)}, "SVD's VAE"),
        ({"encoder.down_blocks.0.resnets.0.conv1.weight": (1,)}, "a VAE"),
        ({"down_blocks.0.motion_modules.0.norm.weight": (1,), **IMAGE_UNET}, "AnimateDiff"),
        ({"controlnet_down_blocks.0.weight": (1,), **IMAGE_UNET}, "a ControlNet"),
        ({"layers.0.weight": (1,)}, "not a model that is known here"),
        ({}, "not a model that is known here"),
        (without("mid_block.resnets.1.time_mixer", SVD.tensors()), r"lacks 1 of the 1428 tensors \(mid_block"),
        ({**SVD.tensors(), "ema.decay": ()}, r"has in excess 1 of the 1428 tensors \(ema\.decay"),
        ({**SVD.tensors(), "conv_out.bias": (5,)}, r"has in the wrong shape 1 .*conv_out\.bias"),
        (Layout(SVD.channels, SVD.attention, 2, 1024, 768, inputs=4).tensors(), "SVD UNet of 4 input channels"),
    ],
)
def test_a_wrong_file_is_named_in_one_sentence(tensors, said):
    with pytest.raises(RefocusError, match=said) as found:
        check_unet(tensors, "chosen.safetensors")
    text = str(found.value)
    assert text.startswith("chosen.safetensors ") and "\n" not in text and len(text) < 300


def test_an_unknown_weight_cannot_be_comfy_names():
    with pytest.raises(RefocusError, match=r"loose\.weight is not a weight"):
        comfy_names(["loose.weight"])
