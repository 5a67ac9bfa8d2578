"""The ground floor: sRGB, what an image and a map may be, batches."""

import math

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError, check_finite, check_image, check_plane, match_batch, size_of
from rackfocus.pipelines.image.light import WHITE, decode_srgb, encode_srgb
from rackfocus.tests.pictures import psnr, random

H, W = 5, 7


def test_srgb_round_trip():
    x = torch.linspace(0, 1, 1001)
    assert torch.allclose(encode_srgb(decode_srgb(x)), x, atol=1e-6)


@pytest.mark.parametrize("encoded, light", [(0.02, 0.02 / 12.92), (0.5, 0.2140411), (0.8, 0.6038273), (1.5, 2.5371553)])
def test_srgb_by_hand(encoded, light):
    assert float(decode_srgb(torch.tensor(encoded))) == pytest.approx(light, rel=1e-5)
    assert float(decode_srgb(torch.tensor(-encoded))) == pytest.approx(-light, rel=1e-5)
    assert float(encode_srgb(torch.tensor(light))) == pytest.approx(min(encoded, 1), rel=1e-5)


def test_the_two_pieces_of_srgb_meet():
    assert float(decode_srgb(torch.tensor(0.04045))) == pytest.approx(0.04045 / 12.92, rel=1e-6)
    assert float(decode_srgb(torch.tensor(0.0405))) == pytest.approx(((0.0405 + 0.055) / 1.055) ** 2.4, rel=1e-5)
    assert float(encode_srgb(torch.tensor(0.003))) == pytest.approx(12.92 * 0.003, rel=1e-6)
    assert float(encode_srgb(torch.tensor(0.0032))) == pytest.approx(1.055 * 0.0032 ** (1 / 2.4) - 0.055, rel=1e-5)


def test_encoding_clips_as_a_camera_does():
    assert encode_srgb(torch.tensor([-3.0, 0.0, 1.0, 40.0])).tolist() == pytest.approx([0, 0, 1, 1], abs=1e-6)


def test_an_image_has_three_channels():
    colour = random(2, H, W, 4)
    assert torch.equal(check_image(colour), colour[..., :3])
    grey = random(2, H, W, 1)
    assert check_image(grey).shape == (2, H, W, 3)
    assert all(torch.equal(check_image(grey)[..., c], grey[..., 0]) for c in range(3))
    assert check_image(torch.ones(1, H, W, 3, dtype=torch.float16)).dtype == torch.float32


def test_a_plane_is_the_mean_of_the_colours_without_alpha():
    colour = random(2, H, W, 4)
    assert torch.allclose(check_plane(colour, "depth"), (colour[..., 0] + colour[..., 1] + colour[..., 2]) / 3)
    assert check_plane(random(H, W), "depth").shape == (1, H, W)
    assert check_plane(torch.ones(1, H, W, dtype=torch.int32), "depth").dtype == torch.float32
    assert torch.equal(check_plane(colour[..., :1], "depth"), colour[..., 0])
    assert check_plane(torch.tensor([[math.nan]]), "depth").isnan().all()  # whoever asks says what holes mean


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"samples": 1}, "photo is a dict, but an image batch"),
        (torch.ones(H, W, 3), "photo has the shape 5 x 7 x 3"),
        (torch.ones(1, 3, H, W), "photo has the shape 1 x 3 x 5 x 7"),
        (torch.ones(1, H, W, 2), "1 x 5 x 7 x 2"),
        (torch.ones(0, H, W, 3), r"empty batch \(0 x 5 x 7 x 3\)"),
        (torch.ones(1, 0, W, 3), "empty batch"),
        (torch.tensor([math.nan, 0.0, math.inf, 1.0]).reshape(1, 2, 2, 1), "photo holds 2 values that are not numbers"),
        (torch.full((1, H, W, 3), -math.inf), "105 values"),
    ],
)
def test_a_wrong_image_is_one_sentence(wrong, said):
    with pytest.raises(RefocusError, match=said) as error:
        check_image(wrong, "photo")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "wrong, said",
    [
        (None, "mask is a NoneType"),
        (torch.ones(5), "mask has the shape 5,"),
        (torch.ones(1, H, W, 2), "1 x 5 x 7 x 2"),
        (torch.ones(1, 1, H, W, 3), "1 x 1 x 5 x 7 x 3"),
        (torch.ones(2, H, 0), r"mask is empty \(2 x 5 x 0\)"),
    ],
)
def test_a_wrong_plane_is_one_sentence(wrong, said):
    with pytest.raises(RefocusError, match=said):
        check_plane(wrong, "mask")


def test_finite_values_come_back_and_others_are_counted():
    t = random(3, H)
    assert check_finite(t, "map") is t and check_finite(t[:0], "map").numel() == 0
    t[1, 2] = math.nan
    with pytest.raises(RefocusError, match="map holds 1 values"):
        check_finite(t, "map")


def test_batches_one_serves_all_and_n_serve_n():
    three = random(3, H, W)
    assert match_batch(three, 3, "depth") is three
    assert torch.equal(match_batch(three[:1], 4, "depth"), three[:1].expand(4, -1, -1))
    with pytest.raises(RefocusError, match="depth has 3 frames and clip has 2, but either 1 or 2 are needed"):
        match_batch(three, 2, "depth", "clip")
    with pytest.raises(RefocusError, match="depth has 3 frames and image has 1"):
        match_batch(three, 1, "depth")


def test_the_error_has_a_short_name():
    assert issubclass(RefocusError, ValueError)
    assert f"{RefocusError.__module__}.{RefocusError.__qualname__}" == "rackfocus.RefocusError"
    assert size_of(torch.ones(3, 480, 640)) == "3 x 480 x 640"


def test_psnr_by_hand():
    a = random(2, H, W, 3, high=0.8)
    top = torch.arange(H)[:, None].expand(H, W) < 2
    b = a + 0.1 * top[..., None]
    assert psnr(a, a) == pytest.approx(120)
    assert psnr(a, b, top) == pytest.approx(20, abs=1e-3) and psnr(a[0], b[0], ~top) > 100
    assert psnr(a, b) == pytest.approx(20 - 10 * math.log10(2 / 5), abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("levels", [255, 256])
def test_white_is_the_white_of_8_bits_however_it_is_read(levels, dtype):
    """A host reads level v of a picture as v / 255, or a grey one's as v / 256."""
    assert torch.tensor(255 / levels, dtype=dtype).float() >= WHITE
    assert not torch.tensor(252 / levels, dtype=dtype).float() >= WHITE
