"""What learn2refocus is given: positions in dioptres, sizes in 64s, CLIP's picture, the photo among nine frames."""

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.learn2refocus import (
    check_position,
    clip_pixels,
    dioptres_at,
    model_size,
    place,
    position_at,
    resize,
)
from rackfocus.pipelines.learn2refocus.inputs import added_time_ids, clip_square

CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))  # openai/clip-vit-large-patch14


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_positions_are_even_in_dioptres_from_5_cm_to_infinity():
    assert [dioptres_at(p) for p in (0, 2, 4, 8)] == [20, 15, 10, 0]
    assert position_at(1 / 0.05) == 0 and position_at(0) == 8 and position_at(1 / 0.4) == pytest.approx(7)
    assert position_at(1 / 0.02) == 0 and position_at(-1) == 8
    assert all(position_at(dioptres_at(p)) == pytest.approx(p) for p in (0, 1.5, 3, 7.9))


def test_positions_are_whole_numbers_from_0_to_8():
    assert [check_position(p) for p in range(9)] == list(range(9)) and type(check_position(3.0)) is int
    for wrong in (-1, 9, 3.5):
        with pytest.raises(RefocusError, match=f"input position is {wrong}, .* 0 .* 8 "):
            check_position(wrong)


@pytest.mark.parametrize(
    ("size", "megapixels", "expected"),
    [
        ((250, 333), 0.5, (192, 320)),  # floored, not rounded, and never enlarged
        ((3000, 4000), 0.5, (576, 768)),  # 612.4 x 816.5
        ((720, 720), 0.5, (704, 704)),
        ((10, 100), 0.5, (64, 64)),
        ((1024, 1024), 2.0, (1024, 1024)),
        ((1040, 1040), 1.048576, (1024, 1024)),  # exactly 1024, and less by rounding
        ((64, 10000), 0.5, (64, 8832)),
        ((2160, 3840), 0.1, (192, 384)),
    ],
)
def test_sizes(size, megapixels, expected):
    assert model_size(*size, megapixels) == expected and model_size(*size[::-1], megapixels) == expected[::-1]


def test_the_published_size_is_half_a_megapixel():
    assert model_size(3000, 4000) == (576, 768)
    with pytest.raises(RefocusError, match="the largest size is 0"):
        model_size(10, 10, 0.0)


def test_resizing_keeps_sides_range_and_its_own_size():
    image = (random(2, 37, 53, 3) > 0.5).float()  # bicubic overshoots at its edges
    made = resize(image, 64, 128)
    assert made.shape == (2, 64, 128, 3) and float(made.min()) == 0 and float(made.max()) == 1
    assert resize(image, 37, 53) is image
    ramp = torch.linspace(0, 1, 53)[None, None, :, None].expand(1, 37, 53, 3)
    assert torch.allclose(
        resize(ramp, 9, 13)[0, :, :, 0].mean(0)[2:-2], torch.linspace(0.5, 12.5, 13)[2:-2] / 13, atol=0.02
    )


@pytest.mark.parametrize("grey", [0.0, 0.25, 1.0])
def test_clip_input_as_released_and_corrected(grey):
    """Released: values in -1..1 are normalised as if they were in 0..1, so white alone is the same."""
    image = torch.full((1, 64, 128, 3), grey) * torch.tensor([1.0, 0.5, 0.25])
    mean, std = (torch.tensor(v) for v in CLIP)
    for made, value in ((clip_pixels(image), image * 2 - 1), (clip_pixels(image, corrected=True), image)):
        assert made.shape == (1, 3, 224, 224)
        assert torch.allclose(made[0, :, 100, 50], ((value - mean) / std)[0, 0, 0], atol=1e-5)


def test_clip_sees_the_whole_picture_with_aligned_corners():
    """Squeezed, not cropped; small enough that no Gaussian comes before, a ramp stays a ramp from corner to corner."""
    across = torch.linspace(-1, 1, 128).expand(1, 1, 64, 128)
    down = torch.linspace(-1, 1, 64)[:, None].expand(1, 1, 64, 128)
    ramp = torch.linspace(-1, 1, 224)
    assert torch.allclose(clip_square(across)[0, 0, 100], ramp, atol=0.01)
    assert torch.allclose(clip_square(down)[0, 0, :, 100], ramp, atol=0.01)


def test_clip_sees_large_pictures_smoothed_along_both_sides():
    """sigma = (side / 224 - 1) / 2 pixels: of lines a pixel wide, as good as nothing is left at 4 times the size."""
    lines = (torch.arange(896) % 2 * 2.0 - 1).expand(1, 1, 448, 896)
    assert float(clip_square(lines).abs()[..., 8:-8].max()) < 0.1 < float(clip_square(lines[..., ::4]).abs().max())
    assert float(clip_square(lines.mT).abs()[..., 8:-8, :].max()) < 0.1


def test_the_photo_stands_at_its_position_alone():
    latent = random(2, 4, 3, 5)
    for position in range(9):
        frames = place(latent, position)
        assert frames.shape == (2, 9, 4, 3, 5) and torch.equal(frames[:, position], latent)
        frames[:, position] = 0
        assert not frames.any()
    for wrong in (9, -1):
        with pytest.raises(RefocusError, match=f"input position is {wrong}"):
            place(latent, wrong)


def test_svd_is_told_7_frames_a_second_no_motion_and_no_noise():
    assert added_time_ids(random(2, 9, 4, 3, 5)).tolist() == [[6, 0, 0]] * 2
