"""Rack focus: keyframes, the way between them, maps for stills and clips."""

import math
import re
from itertools import pairwise

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optical import render_bokeh
from rackfocus.pipelines.optics import (
    EASINGS,
    Keyframe,
    defocus_from_disparity,
    focus_at_point,
    parse_keyframes,
    rack_focus,
    resize_depth,
    to_disparity,
)
from rackfocus.pipelines.optics import rack as rack_module
from rackfocus.pipelines.optics.rack import MAX_FRAMES, curve
from rackfocus.tests.pictures import ramp, random, stripes

MOVING = [name for name in EASINGS if name != "hold"]
H, W = 24, 40


def steps(*values):
    return stripes(H, W, *values)


STILL = steps(0.8, 0.2)
LEFT, RIGHT = "0.25, 0.5", "0.75, 0.5"


def rack(text, depth=STILL, kind="disparity", strength=50.0, **options):
    return rack_focus(depth, kind, parse_keyframes(text), strength=strength, **options)


def test_the_example_is_read():
    assert parse_keyframes("0: 0.3, 0.6; 24: 0.8, 0.4 strength=60; 48: 12m") == [
        Keyframe(0, (0.3, 0.6)),
        Keyframe(24, (0.8, 0.4), strength=60),
        Keyframe(48, metres=12),
    ]


def test_spaces_lines_comments_and_order_are_free():
    text = "# the pull\n\n48:12 M\n 0 :.3,0.6 ;; 24: 0.8 ,0.4  Strength = 60 # the face; 30: not a keyframe\n;"
    assert parse_keyframes(text) == parse_keyframes("0: 0.3, 0.6; 24: 0.8, 0.4 strength=60; 48: 12m")


@pytest.mark.parametrize(
    "line, said",
    [
        ("24 0.8, 0.4", "'24 0.8, 0.4'"),
        ("24: 0.8", "'24: 0.8'"),
        ("x: 0.1, 0.2", "'x: 0.1, 0.2'"),
        ("24: 0.1, 0.2, 0.3", "frame: x, y"),
        ("-4: 0.1, 0.2", "'-4: 0.1, 0.2'"),
        ("1.5: 0.1, 0.2", "frame: x, y"),
        ("24: 2.5 feet", "2.5m"),
        ("24: 0.1, 0.2 power=3", "strength=40"),
        ("24: 0.1, 0.2 strength=", "strength=40"),
        ("24: 1.2, 0.2", "outside the picture"),
        ("24: 0.1, -0.2", "outside the picture"),
        ("24: 0m", "above 0"),
        ("24: -3m", "above 0"),
        ("24: 0.1, 0.2 strength=-1", "strength must be 0 or more"),
        ("0: 0.5, 0.5", "frame 0 again"),
    ],
)
def test_a_bad_line_is_named_with_the_form_needed(line, said):
    with pytest.raises(RefocusError, match="line 2 reads") as error:
        parse_keyframes(f"0: 0.3, 0.6\n{line}\n48: 12m")
    text = str(error.value)
    assert line in text and said in text and "'frame: x, y'" in text
    assert "line 1" not in text and "line 3" not in text and "\n" not in text


def test_every_bad_line_is_named_and_the_sentence_stays_short():
    with pytest.raises(RefocusError, match=r"line 1 reads 'one'.*line 3 reads 'three', but"):
        parse_keyframes("one\n4: 2m\nthree")
    with pytest.raises(RefocusError, match="and 37 more") as error:
        parse_keyframes("\n".join("what is this? " * 10 for _ in range(40)))
    assert len(str(error.value)) < 400


def test_a_long_line_is_cut_to_30_characters():
    for text, shown in (("x" * 30, "x" * 30), ("x" * 31, "x" * 27 + "...")):
        with pytest.raises(RefocusError, match=f"reads '{re.escape(shown)}', but"):
            parse_keyframes(text)
    with pytest.raises(RefocusError, match="line 3 reads 'c', but"):
        parse_keyframes("a\nb\nc")
    with pytest.raises(RefocusError, match="line 3 reads 'c' and 1 more, but"):
        parse_keyframes("a\nb\nc\nd")


@pytest.mark.parametrize("text", ["", "  \n;", "# 0: 0.3, 0.6"])
def test_no_keyframe_at_all(text):
    with pytest.raises(RefocusError, match="no keyframe"):
        parse_keyframes(text)


@pytest.mark.parametrize("easing", EASINGS)
def test_easings_start_at_0_and_end_at_1(easing):
    assert (EASINGS[easing](0), EASINGS[easing](1)) == (0, 1)


@pytest.mark.parametrize("easing", EASINGS)
@pytest.mark.parametrize("a, b", [(0.1, 0.9), (0.9, 0.1)])
def test_keyframes_are_met_exactly_and_between_them_the_way_is_monotonic(easing, a, b):
    values = curve([(5, a), (17, b)], 30, easing)
    assert values[:6] == [a] * 6 and values[17:] == [b] * 13
    rise = [(y - x) * (b - a) for x, y in pairwise(values)]
    assert all(r >= 0 for r in rise)
    assert (min(rise[5:17]) > 0) == (easing != "hold")


def test_easings_differ_as_their_names_say():
    middle = {name: curve([(0, 0.0), (4, 1.0)], 5, name)[1:4] for name in EASINGS}
    assert middle["linear"] == [0.25, 0.5, 0.75] and middle["hold"] == [0, 0, 0]
    assert all(x < y for x, y in zip(middle["ease_in"], middle["linear"], strict=True))
    assert all(x > y for x, y in zip(middle["ease_out"], middle["linear"], strict=True))
    first, half, last = middle["ease_in_out"]
    assert first < 0.25 and half == 0.5 and last > 0.75


@pytest.mark.parametrize(
    "easing, quarter, half",
    [("linear", 1 / 4, 1 / 2), ("ease_in", 1 / 16, 1 / 4), ("ease_out", 7 / 16, 3 / 4), ("ease_in_out", 5 / 32, 1 / 2)],
)
def test_easings_by_hand(easing, quarter, half):
    assert curve([(2, 10.0), (6, 30.0)], 8, easing) == pytest.approx(
        [10, 10, 10, 10 + 20 * quarter, 10 + 20 * half, 10 + 20 * EASINGS[easing](0.75), 30, 30]
    )


def test_hold_jumps_at_the_keyframe():
    assert curve([(0, 1.0), (3, 2.0), (5, 3.0)], 7, "hold") == [1, 1, 1, 2, 2, 3, 3]


def test_maps_are_those_of_the_focal_planes():
    made = rack(f"0: {LEFT}; 6: {RIGHT}", easing="linear")
    assert made.defocus.radius.shape == (7, H, W)
    assert made.focus == pytest.approx([0.8 - 0.1 * i for i in range(7)])
    for i, focus in enumerate(made.focus):
        assert torch.equal(made.defocus.radius[i], defocus_from_disparity(STILL, focus, 50.0 * W / 1000).radius[0])


def test_focus_moves_evenly_in_dioptres():
    made = rack("0: 1m; 4: 4m", steps(1.0, 2.0, 4.0, 8.0), "metres", easing="linear")
    assert made.focus == pytest.approx([1, 0.8125, 0.625, 0.4375, 0.25])


@pytest.mark.parametrize(
    "kind, depth, metres",
    [
        ("metres", steps(4.0, 8.0), "4m"),
        ("inverse_metres", steps(0.25, 0.125), "4m"),
        ("disparity", steps(0.375, 0.1), "4m"),
        ("inverted", steps(0.75, 0.25), "4m"),
    ],
)
@pytest.mark.parametrize("easing", EASINGS)
def test_a_distance_is_the_same_as_a_point_that_stands_there(kind, depth, metres, easing):
    scene = {"near_m": 2.0, "far_m": 10.0, "easing": easing}
    by_point = rack(f"0: {LEFT}; 3: {RIGHT}", depth, kind, **scene)
    by_distance = rack(f"0: {metres}; 3: {RIGHT}", depth, kind, **scene)
    assert by_distance.focus == pytest.approx(by_point.focus, rel=1e-6)
    assert torch.allclose(by_distance.defocus.radius, by_point.defocus.radius, atol=1e-5)


def test_a_point_is_read_in_its_own_frame_of_a_clip():
    clip = torch.cat([steps(v, 0.2) for v in (0.4, 0.5, 0.6, 0.7)])
    text = f"0: {LEFT}; 3: {LEFT}"
    assert rack(text, clip, easing="linear").focus == pytest.approx([0.4, 0.5, 0.6, 0.7])
    assert rack(text, clip[:1]).focus == pytest.approx([0.4] * 4)
    made = rack(text, clip, easing="linear").defocus.radius
    assert made[:, :, :20].abs().max() < 1e-5  # the focus follows the thing that comes nearer
    assert torch.allclose(made[3, :, 20:], torch.tensor(0.5 * 50 * W / 1000))


def test_a_clip_is_one_kind_of_depth_and_no_frame_is_normalised():
    clip = torch.cat([steps(0.5, 0.9), steps(0.5, 4.0)])  # only the second frame shows that these are metres
    made = rack("0: 0.5m", clip, "auto")
    assert torch.equal(made.defocus.radius, rack("0: 0.5m", clip, "metres").defocus.radius)
    assert torch.equal(made.defocus.radius[0, :, :20], made.defocus.radius[1, :, :20])


def test_a_keyframe_needs_a_point_or_a_distance():
    with pytest.raises(RefocusError, match="keyframe at frame 2 names neither"):
        rack_focus(STILL, "disparity", [Keyframe(2)], strength=1.0)


@pytest.mark.parametrize("frames", [2, 3])
def test_every_frame_of_a_clip_has_its_own_map(frames):
    clip = random(frames, H, W, seed=5)
    made = rack("0: 2m", clip, "auto", strength=1000 / W)  # nothing above 1: disparity
    focus = (1 / 2 - 1 / 10) / (1 - 1 / 10)
    assert torch.allclose(made.defocus.radius, focus - clip, atol=1e-6)


def test_the_number_of_frames():
    clip = STILL.repeat(5, 1, 1)
    assert len(rack(f"4: {LEFT}").focus) == 5
    assert len(rack(f"4: {LEFT}", frames=3).focus) == 3
    assert len(rack(f"4: {LEFT}", frames=9).focus) == 9
    assert len(rack(f"0: {LEFT}", clip).focus) == len(rack(f"0: {LEFT}", clip, frames=5).focus) == 5
    assert len(rack("40: 2m", clip).focus) == 5
    assert len(rack(f"40: {LEFT}", clip=7).focus) == 7


@pytest.mark.parametrize(
    "options, said",
    [
        ({"frames": 3}, "frames is 3 and the clip has 5"),
        ({"clip": 4}, "depth has 5 frames and image has 4"),
        ({"text": f"0: 1m; 5: {LEFT}"}, "frame 5 is a point"),
        ({"depth": STILL, "text": "10000000: 2m"}, "1 to 9999"),
        ({"easing": "bounce"}, "bounce"),
        ({"depth": torch.full((1, 4, 4), math.nan)}, "NaN"),
        ({"depth": torch.zeros(0, 4, 4)}, "empty"),
        ({"depth": {"samples": 0}}, "depth map"),
        ({"text": "0: 2m", "near_m": 5.0, "far_m": 5.0}, "under the far one"),
        ({"strength": -1.0}, "strength is -"),
    ],
)
def test_wrong_input_is_one_sentence(options, said):
    arguments = {"text": f"0: {LEFT}", "depth": STILL.repeat(5, 1, 1), **options}
    with pytest.raises(RefocusError, match=said) as error:
        rack(**arguments)
    assert "\n" not in str(error.value)


def test_strength_moves_between_the_keyframes_that_name_it():
    text = f"0: {LEFT}; 2: {RIGHT} strength=70; 3: {LEFT}; 4: {RIGHT} strength=10; 6: {LEFT}"
    assert rack(text, easing="linear").strength == [50, 60, 70, 40, 10, 10, 10]
    assert rack(f"1: {LEFT} strength=20; 3: {RIGHT}").strength == [20] * 4
    assert rack(f"0: {LEFT}; 3: {RIGHT}").strength == [50] * 4
    assert rack(f"0: {LEFT} strength=0; 2: {LEFT} strength=8", easing="ease_in").strength == [0, 2, 8]
    radius = rack(f"0: {LEFT} strength=10; 2: {LEFT} strength=30", easing="linear").defocus.radius
    assert torch.allclose(radius[1], 2 * radius[0]) and torch.allclose(radius[2], 3 * radius[0])


def test_maps_have_the_pictures_size_and_the_same_look():
    small, large = (rack(f"0: {RIGHT}", size=(k * H, k * W)).defocus.radius for k in (1, 3))
    assert large.shape == (1, 3 * H, 3 * W) and float(large.min() / small.min()) == pytest.approx(3)


@pytest.mark.parametrize("width", [W, 93])
def test_the_maps_by_hand(width):
    depth = ramp(H, width, 0.1, 0.9)
    made = rack("0: 0.0, 0.5 strength=20; 2: 1.0, 0.5 strength=60", depth, easing="linear")
    for i, (focus, strength) in enumerate(((0.1, 20), (0.5, 40), (0.9, 60))):
        expected = strength * width / 1000 * (focus - depth[0])
        assert torch.allclose(made.defocus.radius[i], expected, atol=1e-5)
    assert made.defocus.focus_disparity.tolist() == pytest.approx([0.1, 0.5, 0.9])
    assert made.defocus.strength.tolist() == pytest.approx([k * width / 1000 for k in (20, 40, 60)])
    assert made.defocus.focus_point is None and made.strength == pytest.approx([20, 40, 60])


def test_the_defaults_are_even_in_time_between_1_and_10_metres():
    made = rack_focus(STILL, "disparity", parse_keyframes("0: 2m; 2: 5m"), strength=1000 / W)
    near, far = ((1 / m - 1 / 10) / (1 / 1 - 1 / 10) for m in (2, 5))
    assert made.focus == pytest.approx([near, (near + far) / 2, far])
    assert torch.allclose(made.defocus.radius, torch.tensor(made.focus)[:, None, None] - STILL, atol=1e-6)


def test_points_are_x_then_y():
    depth = ramp(H, W, 0.0, 0.4) + torch.linspace(0, 0.5, H)[None, :, None]
    assert rack("0: 1.0, 0.0", depth).focus == pytest.approx([0.4])
    assert rack("0: 0.0, 1.0", depth).focus == pytest.approx([0.5])


@pytest.mark.parametrize("near, far", [(2.0, 10.0), (1.0, 40.0)])
def test_an_inverted_map_has_the_scale_of_the_scene(near, far):
    made = rack("0: 0.1, 0.5", steps(1.0, 0.5, 0.0), "inverted", near_m=near, far_m=far, strength=1000 / W)
    z = [near, (near + far) / 2, far]
    assert made.defocus.radius[0, 0, [3, 20, 36]].tolist() == pytest.approx([1 - near / d for d in z], abs=1e-5)
    with pytest.raises(RefocusError, match="under the far one"):
        rack("0: 0.1, 0.5", STILL, "inverted", near_m=3, far_m=2)


def test_the_text_has_a_line_for_each_frame():
    made = rack(f"0: {LEFT} strength=10; 2: {RIGHT} strength=25", easing="linear")
    assert made.describe().splitlines() == [
        "frame 0: focus disparity 0.8, strength 10",
        "frame 1: focus disparity 0.5, strength 17.5",
        "frame 2: focus disparity 0.2, strength 25",
    ]


def test_the_longest_rack():
    tiny = torch.full((1, 1, 2), 0.5)
    assert len(rack("9998: 0.5, 0.5", tiny).focus) == MAX_FRAMES == 9999
    for text, frames in (("9999: 0.5, 0.5", 0), ("0: 0.5, 0.5", 10000), ("0: 0.5, 0.5", -1)):
        with pytest.raises(RefocusError, match=r"[01] to 9999 (is|are) needed"):
            rack(text, tiny, frames=frames)


def test_factors_and_range_are_the_lenss():
    options = {"near_factor": 0.5, "far_factor": 2.0, "in_focus_range": 0.1}
    made = rack("0: 0.5, 0.5", steps(0.9, 0.5, 0.3, 0.1), **options)
    expected = defocus_from_disparity(steps(0.9, 0.5, 0.3, 0.1), made.focus[0], 50.0 * W / 1000, **options)
    assert torch.equal(made.defocus.radius, expected.radius)


@pytest.mark.parametrize("easing", MOVING)
def test_what_stands_still_is_the_same_bit_for_bit(easing):
    depth = random(1, H, W, seed=1)
    image = random(1, H, W, 3, seed=2)
    made = rack(f"1: {LEFT} strength=120; 2: {LEFT} strength=120; 3: {LEFT}", depth, frames=5, easing=easing)
    assert all(torch.equal(made.defocus.radius[0], r) for r in made.defocus.radius)
    out = render_bokeh(image, made.defocus, quality="fast")
    assert out.shape == (5, H, W, 3)
    assert all(torch.equal(out[0], frame) for frame in out)
    assert (out[0] - image[0]).abs().mean() > 0.01


def test_one_image_with_several_maps_gives_a_frame_each():
    image = random(1, H, W, 3, seed=2)
    made = rack(f"0: {LEFT}; 2: {RIGHT}", strength=150.0)
    out = render_bokeh(image, made.defocus, quality="fast")
    for frame, radius in zip(out, made.defocus.radius, strict=True):
        alone = render_bokeh(image, type(made.defocus)(radius[None]), quality="fast")
        assert torch.equal(frame, alone[0])
    assert (out[0] - out[2]).abs().mean() > 0.01


def test_a_still_and_its_repetition_are_the_same():
    clip = STILL.repeat(4, 1, 1)
    text = f"0: {LEFT}; 3: {RIGHT} strength=80"
    assert torch.equal(rack(text, clip).defocus.radius, rack(text).defocus.radius)


def test_the_depth_may_be_an_image_or_flat():
    colour = STILL[..., None].expand(-1, -1, -1, 3)
    for depth in (colour, STILL[0]):
        assert torch.allclose(rack(f"0: {LEFT}", depth).defocus.radius, rack(f"0: {LEFT}").defocus.radius)
    assert float(focus_at_point(to_disparity(STILL, "disparity"), 0.25, 0.5)) == pytest.approx(0.8)


def test_progress_counts_frames_and_may_cancel():
    seen = []
    rack("0: 2m; 9: 3m", progress=lambda done, total: seen.append((done, total)))
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done) and done[-1] == 11 and set(done) >= set(range(1, 12)) and set(totals) == {11}

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rack("0: 2m; 9: 3m", progress=stop)


@pytest.mark.parametrize("maps, conversions", [(1, 1), (3, 3)])
def test_each_map_is_converted_once_for_any_number_of_keyframes(maps, conversions, monkeypatch):
    asked = []
    monkeypatch.setattr(rack_module, "resize_depth", lambda d, *size: asked.append(size) or resize_depth(d, *size))
    keys = [Keyframe(i, point=(0.1 * i, 0.5)) for i in range(3)]
    depth = torch.linspace(0, 1, 37 * 53 * maps).view(maps, 37, 53)
    made = rack_focus(depth, "disparity", keys, strength=10.0, frames=3, size=(74, 106))
    assert len(asked) == conversions and len(made.focus) == 3
