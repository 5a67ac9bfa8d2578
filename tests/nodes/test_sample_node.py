"""RefocusSample: the sample is whole and right; what the artist connects takes its place, and never a part of it."""

import torch
from comfy_execution.graph_utils import ExecutionBlocker

from rackfocus.nodes.sample import FOLDER, sample
from rackfocus.pipelines.optics import focus_lens
from rackfocus.tests.nodes.scenes import depth, image, run, same, stack

IMAGE, PHOTO, DEPTH, STACK, INFO = range(5)


def detail(picture, y, x):
    """How much neighbouring columns differ in a window: sharpness."""
    return picture[..., y, x, :].diff(dim=-2).abs().mean()


def test_the_sample_fits_together():
    out = run("RefocusSample")
    assert out[IMAGE].shape == (1, 512, 768, 3) and out[DEPTH].shape == (1, 512, 768, 3)
    assert out[STACK].shape == (9, 384, 576, 3) and out[PHOTO].shape == (1, 384, 576, 3)
    for picture in out[:INFO]:
        assert picture.dtype == torch.float32 and 0 <= picture.min() and picture.max() <= 1
    assert "CC0" in out[INFO]


def test_depth_is_disparity_finer_than_eight_bits():
    """Near is white: the pawn in front is nearer than the king, the king nearer than the books."""
    plane = run("RefocusSample")[DEPTH][0, ..., 0]
    pawn, king, books = plane[445, 125], plane[343, 472], plane[92, 384]
    assert pawn > 1.2 * king > 2 * books and plane.max() == 1
    assert plane.unique().numel() > 2000


def test_the_stack_runs_from_near_to_far():
    frames = run("RefocusSample")[STACK]
    pawn, books = (slice(310, 360), slice(70, 115)), (slice(45, 80), slice(230, 370))
    assert detail(frames[0], *pawn) > 1.2 * detail(frames[8], *pawn)
    assert detail(frames[8], *books) > 2 * detail(frames[0], *books)


def test_the_photo_is_focused_far():
    out = run("RefocusSample")
    assert same(out[PHOTO], out[STACK][-1:])


def test_ones_own_pictures_take_its_place():
    out = run("RefocusSample", image=image, depth=depth, stack=stack)
    assert same(out[IMAGE], image()) and same(out[PHOTO], image()) and same(out[STACK], stack())
    assert same(out[DEPTH][..., 0], depth()) and out[DEPTH].shape[-1] == 3
    assert "image, depth, stack" in out[INFO]


def test_a_depth_picture_goes_through_as_it_is():
    """RefocusLens tells a photo that was connected as depth by its colours: they must arrive."""
    assert run("RefocusSample", depth=image)[DEPTH] is image()


def test_the_samples_depth_never_goes_with_ones_own_photo():
    """Only what uses the depth is stopped: the photo alone is enough for an engine that needs none."""
    out = run("RefocusSample", image=image)
    assert isinstance(out[DEPTH], ExecutionBlocker) and "connect a depth map of the photo" in out[DEPTH].message
    assert same(out[IMAGE], image()) and len(out[DEPTH].message) < 300


def test_the_focus_of_the_first_workflow_is_on_the_king():
    out = run("RefocusSample")
    lens = focus_lens(out[DEPTH], "auto", by="point", point=(0.615, 0.67), strength=60.0)
    assert lens.defocus.radius[0, 343, 472].abs() < 0.5
    assert lens.defocus.radius[0, 92, 384] > 15 and lens.defocus.radius[0, 445, 125] < -5


def test_it_is_read_once_and_never_written_to():
    before = {name: tensor.clone() for name, tensor in sample().items()}
    run("RefocusSample")
    assert sample() is sample() and all(torch.equal(before[name], tensor) for name, tensor in sample().items())


def test_the_files_are_small_and_their_licence_is_named():
    """The whole pack is downloaded for them."""
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_000_000
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "CC0" in text and all(p.name in text for p in FOLDER.iterdir() if p.name != "README.md")
