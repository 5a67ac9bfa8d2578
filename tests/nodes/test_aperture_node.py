"""ApertureShapeMask against the shapes it draws."""

import pytest
import torch

from rackfocus.nodes.aperture import ApertureShapeMask
from rackfocus.pipelines.image import RefocusError
from rackfocus.pipelines.optics import SHAPES, aperture_from_image, aperture_mask
from rackfocus.tests.nodes.scenes import run
from rackfocus.tests.pictures import random


def draw(**widgets):
    return run("ApertureShapeMask", **widgets)[0]


def test_at_rest_it_is_a_circle():
    made = draw()
    assert made.shape == (1, 256, 256) and made.dtype == torch.float32 and torch.equal(made, aperture_mask())


@pytest.mark.parametrize("shape", SHAPES)
def test_every_widget_reaches_the_shape(shape):
    widgets = {"blades": 5, "roundness": 0.3, "rotation": 20.0, "squeeze": 1.6, "inner": 0.8, "offset": 0.7}
    assert torch.equal(draw(shape=shape, **widgets), aperture_mask(shape=shape, **widgets))


def test_a_picture_takes_the_place_of_the_shape_but_turns_and_squeezes_as_well():
    picture = random(1, 30, 50, 3)
    made = draw(image=picture, shape="heart", rotation=35.0, squeeze=0.7)
    assert torch.equal(made, aperture_from_image(picture, rotation=35.0, squeeze=0.7))
    assert made.shape == (1, 256, 256)


def test_two_blades_are_one_sentence():
    with pytest.raises(RefocusError, match="blades is 2"):
        draw(blades=2)


def test_a_preview_is_shown():
    assert ApertureShapeMask.execute("iris", 0, 0.0, 0.0, 1.0, 0.5, 0.5).ui is not None
