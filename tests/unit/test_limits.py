"""What fuzzing found, as properties: numbers that are none, blur without end, depth beyond all scenes, tiny frames."""

import math
from functools import partial

import pytest
import torch

from rackfocus.pipelines.depth.estimate import estimate_depth
from rackfocus.pipelines.flux import sampling as flux
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.learn2refocus import check_position, dioptres_at, finish, model_size, position_at, sampling
from rackfocus.pipelines.learn2refocus.finish import contact_sheet
from rackfocus.pipelines.optical import (
    deblur,
    estimate_coarse,
    fuse_stack,
    render_bokeh,
    render_stack,
    stack_disparities,
)
from rackfocus.pipelines.optical.focal_stack import frame_at, sharpest_position
from rackfocus.pipelines.optics import (
    Camera,
    DefocusMap,
    Keyframe,
    aperture_from_image,
    aperture_kernel,
    aperture_mask,
    aperture_points,
    defocus_from_disparity,
    focus_at_distance,
    focus_at_mask,
    focus_at_point,
    focus_lens,
    from_1000,
    metric_to_relative,
    parse_keyframes,
    rack_focus,
    relative_to_metric,
    resolve_kind,
    show_defocus,
    show_focus,
    to_disparity,
)
from rackfocus.pipelines.optics.lens import LARGEST_RADIUS, check_defocus
from rackfocus.tests.pictures import ramp, random

H, W = 12, 17
IMAGE, DEPTH, STACK = random(1, H, W, 3), ramp(H, W), random(3, H, W, 3, seed=1)
MAP = DefocusMap((0.5 - DEPTH) * 9)
LENS = partial(focus_lens, DEPTH)
RACK = partial(rack_focus, DEPTH, "disparity")
KEYS = [Keyframe(0, metres=2.0)]

# Each takes one number; none of NO_NUMBERS is one.
NUMBERS = {
    "rotation": lambda v: aperture_mask(rotation=v),
    "squeeze": lambda v: aperture_mask(squeeze=v),
    "roundness": lambda v: aperture_mask(roundness=v),
    "inner": lambda v: aperture_mask(inner=v),
    "offset": lambda v: aperture_mask(offset=v),
    "blades": lambda v: aperture_mask(blades=v),
    "size": lambda v: aperture_mask(size=v),
    "rotation of an image": lambda v: aperture_from_image(IMAGE, rotation=v),
    "squeeze of an image": lambda v: aperture_from_image(IMAGE, squeeze=v),
    "kernel's radius": lambda v: aperture_kernel(aperture_mask(size=32), v),
    "count of points": lambda v: aperture_points(aperture_mask(size=32), v),
    "near_over_far": lambda v: to_disparity(DEPTH, "inverted", near_over_far=v),
    "near_m": lambda v: relative_to_metric(DEPTH, "disparity", v, 10.0),
    "far_m": lambda v: relative_to_metric(DEPTH, "disparity", 1.0, v),
    "disparity": lambda v: metric_to_relative(v, "disparity", 1.0, 10.0),
    "x": lambda v: focus_at_point(DEPTH, v, 0.5),
    "y": lambda v: focus_at_point(DEPTH, 0.5, v),
    "metres": lambda v: focus_at_distance(v, 1),
    "strength of a lens": lambda v: LENS(strength=v),
    "in_focus_range": lambda v: LENS(in_focus_range=v),
    "near_factor": lambda v: LENS(near_factor=v),
    "far_factor": lambda v: LENS(far_factor=v),
    "scene_near": lambda v: LENS(by="distance", near_m=v),
    "focal_mm": lambda v: Camera(v, 2.0),
    "f_number": lambda v: Camera(50.0, v),
    "sensor_mm": lambda v: Camera(50.0, 2.0, v),
    "coc_mm": lambda v: Camera(50.0, 2.0).near_far_limits(2.0, v),
    "width": lambda v: Camera(50.0, 2.0).strength(2.0, v),
    "blur": lambda v: from_1000(v, W),
    "focus disparity": lambda v: defocus_from_disparity(DEPTH, v, 9.0),
    "strength": lambda v: defocus_from_disparity(DEPTH, 0.5, v),
    "strength of a rack": lambda v: RACK(KEYS, strength=v),
    "frames": lambda v: RACK(KEYS, strength=9.0, frames=v),
    "keyframe's frame": lambda v: RACK([Keyframe(v, metres=2.0)], strength=9.0),
    "keyframe's metres": lambda v: RACK([Keyframe(0, metres=v)], strength=9.0),
    "keyframe's strength": lambda v: RACK([Keyframe(0, metres=2.0, strength=v)], strength=9.0),
    "highlights": lambda v: render_bokeh(IMAGE, MAP, highlights=v),
    "cats_eye": lambda v: render_bokeh(IMAGE, MAP, cats_eye=v),
    "spherical": lambda v: render_bokeh(IMAGE, MAP, spherical=v),
    "chromatic": lambda v: render_bokeh(IMAGE, MAP, chromatic=v),
    "stack's strength": lambda v: render_stack(IMAGE, DEPTH, [0.5], v),
    "stack's plane": lambda v: render_stack(IMAGE, DEPTH, [v], 9.0),
    "stack's count": lambda v: stack_disparities(DEPTH, v),
    "robust": lambda v: stack_disparities(DEPTH, 3, v),
    "share": lambda v: deblur(IMAGE, MAP, strength=v),
    "pixels": lambda v: estimate_coarse(IMAGE, pixels=v),
    "first": lambda v: fuse_stack(STACK, first=v),
    "last": lambda v: fuse_stack(STACK, last=v),
    "distortion": lambda v: fuse_stack(STACK, distortion=v),
    "distortion of each": lambda v: fuse_stack(STACK, distortion=[0.0, v, 0.0]),
    "position": lambda v: frame_at(STACK, v),
    "sharpest x": lambda v: sharpest_position(STACK, v, 0.5),
    "nearest_m": lambda v: estimate_depth(None, IMAGE, nearest_m=v),
    "input position": check_position,
    "dioptres": position_at,
    "position's dioptres": dioptres_at,
    "megapixels": lambda v: model_size(H, W, v),
    "detail": lambda v: finish.finish(random(9, 8, 8, 3), IMAGE, 4, detail=v),
    "frame_width": lambda v: contact_sheet([STACK], v),
    "steps of SVD": sampling.sigmas,
    "steps of FLUX": lambda v: flux.sigmas(v, 256),
    "tokens": lambda v: flux.sigmas(4, v),
}
NO_NUMBERS = {
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "huge": 10**400,
    "text": "x" * 10**5,
    "none": None,
    "list": ["1"],
}
# What these values mean is written where they are taken.
MEANT = {(name, "none") for name in ("coc_mm", "keyframe's metres", "keyframe's strength", "first", "last")}
MEANT.add(("metres", "inf"))


@pytest.mark.parametrize("name, wrong", [(n, w) for n in NUMBERS for w in NO_NUMBERS if (n, w) not in MEANT])
def test_what_is_no_number_is_one_sentence(name, wrong):
    with pytest.raises(RefocusError) as error:
        NUMBERS[name](NO_NUMBERS[wrong])
    text = str(error.value)
    assert len(text) <= 400 and "\n" not in text and text.endswith(".") and " needed" in text


CHOICES = {
    "shape": lambda v: aperture_mask(shape=v),
    "kind": lambda v: to_disparity(DEPTH, v),
    "kind of a lens": lambda v: LENS(v),
    "kind of a rack": lambda v: rack_focus(DEPTH, v, KEYS, strength=9.0),
    "resolved kind": lambda v: resolve_kind(DEPTH, v),
    "by": lambda v: LENS(by=v),
    "easing": lambda v: RACK(KEYS, strength=9.0, easing=v),
    "quality": lambda v: render_bokeh(IMAGE, MAP, quality=v),
    "method": lambda v: fuse_stack(STACK, method=v),
    "frame_size": lambda v: finish.finish(random(9, 8, 8, 3), IMAGE, 4, size=v),
    "meaning": lambda v: estimate_depth(None, IMAGE, meaning=v),
}


@pytest.mark.parametrize("wrong", [None, 3, ["auto"], {}, "\n", "x" * 10**7], ids=lambda v: repr(v)[:9])
@pytest.mark.parametrize("name", CHOICES)
def test_an_unknown_choice_is_one_sentence_that_lists_them(name, wrong):
    with pytest.raises(RefocusError, match=r"but one of .*, .* is needed") as error:
        CHOICES[name](wrong)
    assert len(str(error.value)) <= 400 and "\n" not in str(error.value)


# Blur without end


def test_the_image_of_a_point_has_a_largest_size():
    assert aperture_kernel(aperture_mask(size=32), 300.0).shape == (603, 603)
    with pytest.raises(RefocusError, match=r"blur radius is 20000, but a number from 1e-09 to 4096 is needed"):
        aperture_kernel(aperture_mask(size=32), 20000)


@pytest.mark.parametrize("radius", [1e-9, 1e-3, 0.02])
def test_the_smallest_image_of_a_point_is_a_pixel(radius):
    kernel = aperture_kernel(None, radius)
    assert kernel.shape == (3, 3) and float(kernel[1, 1]) == 1 and float(kernel.sum()) == 1


def test_of_a_large_image_only_the_middle_is_made():
    mask = aperture_mask(shape="heart", rotation=20)
    whole, middle = aperture_kernel(mask, 60.0), aperture_kernel(mask, 60.0, 12)
    assert middle.shape == (25, 25)
    cut = whole[61 - 12 : 61 + 13, 61 - 12 : 61 + 13]
    assert torch.allclose(middle, cut, rtol=0.01, atol=0)
    assert torch.equal(aperture_kernel(mask, 60.0, 61), whole) and torch.equal(aperture_kernel(mask, 60.0, 99), whole)
    assert aperture_kernel(mask, 1e6, 12).isfinite().all()


@pytest.mark.parametrize("radius", [5e3, -3e4, LARGEST_RADIUS, -LARGEST_RADIUS])
def test_any_blur_is_rendered_and_undone_in_little_memory(radius):
    image = IMAGE.clone()
    image[0, 5, 8] = 1.0
    mixed = DefocusMap(torch.where(DEPTH > 0.5, radius, 0.0))
    for made in (render_bokeh(image, mixed, quality="fast"), deblur(image, mixed)):
        assert made.shape == image.shape and made.isfinite().all()


def test_a_map_has_a_largest_radius():
    assert DefocusMap(torch.full((1, 2, 3), LARGEST_RADIUS)).max_radius == LARGEST_RADIUS
    for wrong in (LARGEST_RADIUS * 1.01, -1e30, math.nan):
        with pytest.raises(RefocusError, match="defocus map holds"):
            DefocusMap(torch.full((1, 2, 3), wrong))


def test_specks_in_a_depth_map_count_as_the_largest_blur():
    depth = torch.tensor([[[1.0, 2.0, 1e-7, 0.0, math.inf, 3.4e38]]])
    made = focus_lens(depth, "metres", by="distance", metres=2.0, strength=2000.0)
    assert float(made.defocus.radius.min()) == -LARGEST_RADIUS and made.defocus.radius[0, 0, 1] == 0
    scaled = DefocusMap(torch.full((1, 2, 3), LARGEST_RADIUS)).scaled_to(4, 6)
    assert scaled.max_radius == LARGEST_RADIUS


def test_a_map_of_careless_making_is_told():
    for radius in (None, torch.ones(3), torch.full((1, 2, 3), math.nan)):
        object.__setattr__(made := DefocusMap(torch.ones(1, 2, 3)), "radius", radius)
        for use in (check_defocus, show_defocus, partial(show_focus, IMAGE), partial(render_bokeh, IMAGE)):
            with pytest.raises(RefocusError, match="defocus map"):
                use(made)


@pytest.mark.parametrize("wrong", ["x", [], [math.nan], torch.tensor([]), 10**400])
def test_the_strength_of_a_map_is_numbers(wrong):
    with pytest.raises(RefocusError, match=r"^strength "):
        DefocusMap(torch.ones(1, 2, 3), strength=wrong)


@pytest.mark.parametrize("metres", [0.05, 0.0500000001, 0.04, 0.05004])
def test_no_lens_focuses_at_its_focal_length(metres):
    with pytest.raises(RefocusError, match="more than the focal length of 50 mm"):
        Camera(50, 2).strength(metres, 2000)
    assert Camera(50, 2).strength(0.0501, 2000) > 0


# Depth beyond all scenes


def test_the_largest_float_is_no_surface_in_metres_and_no_disparity():
    far = torch.tensor([[2.0, 3.4e38], [1e-45, math.inf]])
    assert to_disparity(far, "auto").tolist()[0][0] == [0.5, pytest.approx(0, abs=1e-30)]
    assert to_disparity(far, "auto").isfinite().all()
    for kind in ("disparity", "inverse_metres", "inverted"):
        with pytest.raises(RefocusError, match=r"values up to 3.4e\+38, which only metres can mean"):
            to_disparity(far[:1], kind)
        with pytest.raises(RefocusError, match="infinite values, which only metres can mean"):
            to_disparity(far, kind)


@pytest.mark.parametrize(
    "near, far", [(1.0, 1.0), (2.0, 1.0), (1.0, 1.0 + 1e-12), (0.0, 1.0), (1e-300, 1.0), (1, 1e300)]
)
def test_a_scene_has_two_ends(near, far):
    with pytest.raises(RefocusError, match="under the far one"):
        relative_to_metric(DEPTH, "disparity", near, far)


def test_a_mask_and_a_picture_of_another_size_are_told():
    with pytest.raises(RefocusError, match="must have one size"):
        focus_at_mask(DEPTH, torch.ones(1, H, W + 1))
    with pytest.raises(RefocusError, match="must have one size"):
        show_focus(IMAGE[:, 1:], MAP)


@pytest.mark.parametrize("depth", [torch.tensor(0.5), torch.ones(3), torch.ones(1, 1, 2, 2, 3), None])
def test_a_rack_needs_a_map(depth):
    with pytest.raises(RefocusError, match=r"^depth "):
        rack_focus(depth, "auto", KEYS, strength=9.0)


@pytest.mark.parametrize("keys", [[], None, "0: 2m", [None], [Keyframe(3, metres=1.0), Keyframe(1, metres=1.0)]])
def test_a_rack_needs_rising_keyframes(keys):
    with pytest.raises(RefocusError, match="keyframe"):
        RACK(keys, strength=9.0)


@pytest.mark.parametrize("text", ["9" * 5000 + ": 2m", "0: " + "9" * 400 + "m", "0: 2m strength=" + "9" * 400, None, 3])
def test_a_text_of_huge_numbers_is_one_sentence(text):
    with pytest.raises(RefocusError) as error:
        parse_keyframes(text)
    assert len(str(error.value)) <= 300


# Tiny frames


@pytest.mark.parametrize("height, width", [(1, 1), (1, 9), (9, 1), (2, 3), (3, 1)])
@pytest.mark.parametrize("options", [{"align": True}, {"distortion": 0.1}, {"align": True, "distortion": -0.1}])
def test_frames_of_any_size_are_aligned_and_fused(height, width, options):
    fused = fuse_stack(random(3, height, width, 3), **options)
    assert fused.image.shape == (1, height, width, 3)
    assert all(t.isfinite().all() for t in (fused.image, fused.order, fused.confidence))
