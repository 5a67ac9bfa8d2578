"""RefocusLens and RefocusRack: sizes, masks, text, and one against the other."""

import pytest
import torch

from rackfocus.tests.nodes.scenes import BASE, BY_ID, depth, image, random, run


def test_text_tells_the_blur_and_the_limits():
    info = run("RefocusLens", depth=depth(), depth_kind="disparity", lens="camera")[-1]
    assert "blur radius" in info and "px" in info and "sharp from" in info


def test_masks_add_up_and_sizes_follow_the_image():
    big = random(2, 97, 131, 3)
    defocus, overlay, preview, near, sharp, far, _ = run("RefocusLens", depth=depth(), image=big)
    assert overlay.shape == preview.shape == (2, 97, 131, 3) and defocus.radius.shape == (2, 97, 131)
    assert torch.equal(near + sharp + far, torch.ones(2, 97, 131))


def test_strength_gives_the_same_look_at_any_resolution():
    small = run("RefocusLens", depth=depth())[0].radius
    large = run("RefocusLens", depth=depth(), image=random(1, 96, 128, 3))[0].radius
    assert float(large.max() / small.max()) == pytest.approx(2, rel=0.02)


def test_a_rack_at_rest_is_the_lens():
    point = {"focus_x": 0.25, "focus_y": 0.75}
    lens = run("RefocusLens", depth=depth(), image=random(1, 97, 131, 3), **point)[0]
    rack, info = run("RefocusRack", depth=depth(), image=random(1, 97, 131, 3), keyframes="0: 0.25, 0.75")
    assert torch.equal(rack.radius, lens.radius) and info == "frame 0: focus disparity 0.2953, strength 30"


def test_a_rack_makes_one_picture_a_clip():
    defocus, info = run("RefocusRack", **BASE["RefocusRack"])
    assert run("BokehSynthesize", image=image(), defocus=defocus, quality="fast")[0].shape == (4, 48, 64, 3)
    assert [line.partition(":")[0] for line in info.splitlines()] == [f"frame {i}" for i in range(4)]


def test_keyframes_are_checked_before_anything_runs():
    check = BY_ID["RefocusRack"].validate_inputs
    assert check(keyframes="0: 0.1, 0.1") is True and check(keyframes=None) is True
    assert "line 1 reads 'nought'" in check(keyframes="nought")
