"""The input position found from depth, and frames as the artist gets them."""

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.learn2refocus import position_at
from rackfocus.pipelines.learn2refocus.automatic import automatic_position, sharpest_disparity
from rackfocus.pipelines.learn2refocus.finish import finish
from rackfocus.pipelines.optical import render_bokeh
from rackfocus.pipelines.optics import DefocusMap


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def photo(focus: float, near=20.0, size=(120, 240), radius=8.0):
    """A textured slope from 0 to `near` dioptres, photographed with a focus there: (image, disparity)."""
    disparity = torch.linspace(0, near, size[1]).expand(1, *size)
    return render_bokeh(random(1, *size, 3), DefocusMap(radius * (focus - disparity) / near)), disparity


@pytest.mark.parametrize("focus", [0.0, 5.0, 10.0, 17.5])
def test_the_position_of_a_slope_is_found(focus):
    image, disparity = photo(focus)
    assert sharpest_disparity(image, disparity) == pytest.approx(focus, abs=1.0)
    assert abs(automatic_position(image, disparity) - position_at(focus)) <= 1


def test_texture_does_not_decide():
    """Where the subject has twenty times less contrast than all behind it, the focus is still on the subject."""
    sharp = random(1, 120, 240, 3)
    sharp[:, :, 160:] = 0.5 + (sharp[:, :, 160:] - 0.5) / 20
    disparity = torch.linspace(0, 20, 240).expand(1, 120, 240)
    image = render_bokeh(sharp, DefocusMap(8.0 * (17.5 - disparity) / 20))
    assert sharpest_disparity(image, disparity) == pytest.approx(17.5, abs=2.0)


def test_sizes_may_differ_and_be_large():
    image, disparity = photo(10.0)
    assert sharpest_disparity(image, disparity[:, ::2, ::2]) == pytest.approx(10.0, abs=1.0)
    big = torch.nn.functional.interpolate(image.movedim(-1, 1), scale_factor=6, mode="bilinear").movedim(1, -1)
    assert sharpest_disparity(big, disparity) == pytest.approx(10.0, abs=1.0)


def test_one_distance_is_its_own_answer():
    assert sharpest_disparity(random(1, 20, 20, 3), torch.full((1, 20, 20), 3.0)) == pytest.approx(3.0)
    assert automatic_position(random(1, 1, 1, 3), torch.zeros(1, 1, 1)) == 8


def test_a_photo_without_detail_is_said():
    with pytest.raises(RefocusError, match="no detail that tells"):
        sharpest_disparity(torch.full((1, 40, 60, 3), 0.5), torch.linspace(0, 1, 60).expand(1, 40, 60))


def test_frames_of_the_models_or_the_photos_size():
    frames, image = random(9, 64, 128, 3), random(1, 75, 133, 3)
    assert torch.equal(finish(frames, image, 4, size="model"), frames)
    assert finish(frames, image, 4).shape == (9, 75, 133, 3)
    with pytest.raises(RefocusError, match="frame_size is 'big'"):
        finish(frames, image, 4, size="big")


@pytest.mark.parametrize("position", [0, 4, 8])
def test_the_photo_is_returned_bit_for_bit_at_its_own_position(position):
    frames, image = random(9, 64, 128, 3), random(1, 75, 133, 3)
    plain, kept = finish(frames, image, position), finish(frames, image, position, keep_input=True)
    others = [i for i in range(9) if i != position]
    assert torch.equal(kept[position], image[0]) and not torch.equal(plain[position], image[0])
    assert torch.equal(kept[others], plain[others])
    small = finish(frames, image, position, size="model", keep_input=True)
    assert small.shape == frames.shape and not torch.equal(small[position], frames[position])
    assert torch.equal(small[others], frames[others])
