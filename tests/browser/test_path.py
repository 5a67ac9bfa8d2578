"""A stranger's path: from opening a template to a picture that is sharp where they want it, in three clicks."""

import numpy as np
import pytest
from PIL import Image

from rackfocus.dev.workflows.optical import OPTICAL
from rackfocus.dev.workflows.write import FOLDER

RENDERER = "canvas"
FIRST = next(iter(OPTICAL))
PHOTO = Image.open(FOLDER.parent / "samples" / "chess.jpg")
# Where they are in the sample, and what must blur when they are sharp: x, y in 0..1.
THINGS = {"a near pawn": ((0.16, 0.86), (0.5, 0.14)), "the shelf behind": ((0.5, 0.14), (0.16, 0.86))}


def kept(picture, at, radius=20):
    """How much of the sample's detail about a point a picture still has; 1 is all of it."""

    def detail(image):
        x, y = (round(at[i] * image.size[i]) for i in (0, 1))
        patch = np.asarray(image.convert("L"), float)[y - radius : y + radius, x - radius : x + radius]
        return np.square(np.diff(patch, axis=1)).mean() + np.square(np.diff(patch, axis=0)).mean()

    return detail(picture) / detail(PHOTO)


@pytest.mark.parametrize("thing", THINGS)
def test_three_clicks_focus_a_picture_on_a_thing(page, thing):
    """Template, the thing in the picture, Run: nothing to drag, to zoom or to type."""
    at, elsewhere = THINGS[thing]
    page.open_template(FIRST)  # the first click
    lens, save = page.node("RefocusLens"), page.node("SaveImage")
    page.shows_not(lens, "Connect")
    canvas = page.part(lens, "picture")
    x, y = page.point(canvas, *at, PHOTO.width / PHOTO.height)
    assert page.page.evaluate("([e, x, y]) => document.elementFromPoint(x, y) === e", [canvas, x, y]), "not in reach"
    page.page.mouse.click(x, y)  # the second
    run = page.client.wait(page.queue(), timeout=600)  # the third; some pages show no picture of a node out of sight
    (picture,) = page.client.pictures(run, save)
    assert kept(picture, at) > 0.6 and kept(picture, elsewhere) < 0.3
