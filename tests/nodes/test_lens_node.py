"""RefocusLens and RefocusRack against the functions they call and by hand, at two widths."""

import comfy.utils
import pytest
import torch

from rackfocus.nodes.lens import RefocusRack
from rackfocus.pipelines.image import RefocusError
from rackfocus.pipelines.optics import Camera, focus_lens, parse_keyframes, rack_focus, show_defocus, show_focus, zones
from rackfocus.tests.nodes.scenes import BASE, image, run
from rackfocus.tests.pictures import ramp, random, stripes

H = 37
WIDTHS = pytest.mark.parametrize("width", [53, 128])


def lens(depth, **widgets):
    return run("RefocusLens", depth=depth, **widgets)


def rack(depth, **widgets):
    return run("RefocusRack", depth=depth, **widgets)


@WIDTHS
def test_the_artists_lens_by_hand(width):
    d = ramp(H, width, 0.1, 0.9)
    defocus = lens(d, depth_kind="disparity", focus_x=0.0, focus_y=0.3, strength=40.0)[0]
    assert torch.allclose(defocus.radius, 40 * width / 1000 * (0.1 - d), atol=1e-6)
    assert defocus.focus_point == (0.0, 0.3) and defocus.focus_disparity.tolist() == pytest.approx([0.1])
    assert defocus.strength.tolist() == pytest.approx([40 * width / 1000])


@WIDTHS
def test_the_camera_by_hand(width):
    metres = stripes(H, width, 1.0, 2.0, 8.0)
    widgets = {"lens": "camera", "focal_mm": 85.0, "f_number": 1.8, "sensor_mm": 23.6}
    defocus, *_, info = lens(metres, depth_kind="metres", focus_by="distance", focus_distance=2.0, **widgets)
    strength = 85**2 / (2 * 1.8) * 2000 / (2000 - 85) * width / 23.6 / 1000
    assert torch.allclose(defocus.radius, strength * (1 / 2 - 1 / metres), rtol=1e-5)
    near, far = Camera(85, 1.8, 23.6).near_far_limits(2.0)
    assert f"focused at 2 m, sharp from {near:.3g} m to {far:.3g} m" in info
    assert defocus.focus_point is None


@WIDTHS
@pytest.mark.parametrize("focus_by", ["point", "mask", "distance", "automatic"])
@pytest.mark.parametrize("kind, physical", [("inverted", True), ("inverted", False), ("metres", True)])
def test_the_node_passes_its_widgets_on(width, focus_by, kind, physical):
    picture, depth = random(2, H, width, 3), random(1, 20, 31, low=0.1)
    mask = (ramp(20, 31) > 0.6).float()
    outputs = lens(
        depth,
        depth_kind=kind,
        focus_by=focus_by,
        focus_x=0.8,
        focus_y=0.2,
        focus_distance=3.0,
        lens="camera" if physical else "artist",
        strength=70.0,
        focal_mm=35.0,
        f_number=4.0,
        sensor_mm=23.6,
        scene_near=1.5,
        scene_far=12.0,
        near_factor=0.5,
        far_factor=2.0,
        in_focus_range=0.03,
        focus_mask=mask,
        image=picture,
    )
    expected = focus_lens(
        depth,
        kind,
        by=focus_by,
        point=(0.8, 0.2),
        mask=mask,
        metres=3.0,
        strength=70.0,
        camera=Camera(35, 4, 23.6) if physical else None,
        near_m=1.5,
        far_m=12.0,
        near_factor=0.5,
        far_factor=2.0,
        in_focus_range=0.03,
        image=picture,
    )
    made = expected.defocus
    assert torch.equal(outputs[0].radius, made.radius)
    point = (0.8, 0.2) if focus_by == "point" else None
    pictures = (show_focus(picture, made, point), show_defocus(made), *zones(made))
    assert all(torch.equal(a, b) for a, b in zip(outputs[1:6], pictures, strict=True))
    assert outputs[6] == expected.describe()


def test_the_masks_are_near_in_focus_far():
    _, overlay, preview, near, sharp, far, _ = lens(stripes(H, 60, 0.9, 0.5, 0.1), depth_kind="disparity")
    for mask, part in zip((near, sharp, far), (slice(0, 20), slice(20, 40), slice(40, 60)), strict=True):
        expected = torch.zeros(1, H, 60)
        expected[:, :, part] = 1
        assert torch.equal(mask, expected)
    assert overlay[0, 0, 5].argmax() == preview[0, 0, 5].argmax() == 2  # blue in front
    assert overlay[0, 0, 55].argmax() == preview[0, 0, 55].argmax() == 0  # red behind


def test_no_mask_and_no_such_thing_are_one_sentence():
    with pytest.raises(RefocusError, match="no focus_mask is connected"):
        lens(ramp(H, 53), focus_by="mask")


# RefocusRack


@WIDTHS
def test_a_rack_by_hand(width):
    d = ramp(H, width, 0.1, 0.9)
    keyframes = "1: 0, 0.5 strength=20\n3: 1, 0.5 strength=60"
    defocus, info = rack(d, depth_kind="disparity", keyframes=keyframes, frames=5, easing="linear")
    for i, (focus, k) in enumerate([(0.1, 20), (0.1, 20), (0.5, 40), (0.9, 60), (0.9, 60)]):
        assert torch.allclose(defocus.radius[i], k * width / 1000 * (focus - d[0]), atol=1e-5)
    assert info.splitlines()[2] == "frame 2: focus disparity 0.5, strength 40" and len(info.splitlines()) == 5


@WIDTHS
def test_the_rack_passes_its_widgets_on(width):
    picture, depth = random(1, H, width, 3), random(1, 20, 31, low=0.1, high=0.95)
    text = "0: 0.2, 0.9; 2: 3m strength=80; 4: 0.8, 0.1"
    scene = {"near_factor": 0.5, "far_factor": 2.0, "in_focus_range": 0.05}
    widgets = {"easing": "ease_in", "strength": 55.0, "frames": 6, **scene}
    limits = {"scene_near": 1.5, "scene_far": 12.0}
    defocus, info = rack(depth, depth_kind="inverted", keyframes=text, image=picture, **limits, **widgets)
    expected = rack_focus(depth, "inverted", parse_keyframes(text), size=(H, width), near_m=1.5, far_m=12.0, **widgets)
    assert torch.equal(defocus.radius, expected.defocus.radius) and info == expected.describe()


def test_a_clip_sets_the_number_of_frames():
    clip = random(4, H, 53, 3)
    defocus, info = rack(ramp(H, 53), keyframes="0: 0.5, 0.5", image=clip)
    assert defocus.radius.shape == (4, H, 53) and len(info.splitlines()) == 4
    with pytest.raises(RefocusError, match="frames is 3 and the clip has 4"):
        rack(ramp(H, 53), keyframes="0: 0.5, 0.5", image=clip, frames=3)


def test_without_an_image_the_maps_have_the_depths_size():
    assert rack(ramp(20, 31), keyframes="1: 0.5, 0.5")[0].radius.shape == (2, 20, 31)


def test_a_rack_at_rest_is_the_lens():
    depth, picture = random(1, 20, 31), random(1, H, 53, 3)
    one = lens(depth, image=picture, focus_x=0.25, focus_y=0.75)[0]
    moving, info = rack(depth, image=picture, keyframes="0: 0.25, 0.75")
    assert torch.equal(moving.radius, one.radius)
    assert info == f"frame 0: focus disparity {float(one.focus_disparity):.4g}, strength 60"


def test_a_rack_makes_one_picture_a_clip():
    defocus = rack(**BASE["RefocusRack"])[0]
    assert run("BokehSynthesize", image=image, defocus=defocus, quality="fast")[0].shape == (4, 48, 64, 3)


def test_the_bar_counts_the_frames(monkeypatch):
    seen = []

    class Bar:
        def __init__(self, total):
            self.total = total

        def update_absolute(self, done, total):
            seen.append((done, total, self.total))

    monkeypatch.setattr(comfy.utils, "ProgressBar", Bar)
    rack(ramp(H, 53), keyframes="2: 0.5, 0.5")
    assert seen == [(i, 4, 4) for i in range(5)]  # the depth map is a step, too


def test_keyframes_are_checked_before_anything_runs():
    check = RefocusRack.validate_inputs
    assert check(keyframes="0: 0.1, 0.1") is True and check(keyframes=None) is True and check() is True
    assert "line 1 reads 'nought'" in check(keyframes="nought")
