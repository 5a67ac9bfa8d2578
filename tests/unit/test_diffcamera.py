"""DiffCamera's conditions: the camera, the geometry picture, and targets made of what an artist chooses."""

import math

import pytest
import torch

from rackfocus.dev.tiny.diffcamera import tiny_aim
from rackfocus.pipelines.diffcamera import (
    Aim,
    Camera,
    at_plane,
    at_point,
    defocus_picture,
    depth_picture,
    of_map,
    place_of,
    quantiles,
    seen,
    sharp,
)
from rackfocus.pipelines.diffcamera.camera import blur_scale, fourier, place
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optics import DefocusMap, defocus_from_disparity


def scene(b=1, h=40, w=60, seed=0):
    """Disparity [b, h, w] from 2 to 5, larger to the right, with some noise."""
    ramp = torch.linspace(2, 5, w).expand(b, h, w)
    return ramp + 0.01 * torch.randn(b, h, w, generator=torch.Generator().manual_seed(seed))


# The camera


def test_features_tell_values_apart():
    v = torch.linspace(-0.5, 1.49, 64)
    f = fourier(v)
    assert f.shape == (64, 13) and torch.equal(f[:, 0], v)
    assert torch.allclose(f[:, 3], (4 * math.pi * v).sin(), atol=1e-5) and torch.allclose(f[:, 7], (math.pi * v).cos())
    nearest = torch.cdist(f[:, 1:], f[:, 1:]) + 9 * torch.eye(64)
    assert nearest.min() > 0.5  # also without the first


def test_blur_levels_are_spread_as_they_are_trained():
    scale = blur_scale(torch.tensor([0.0, 0.04, 0.2, 1.0, 20.0]))
    assert scale[0] == 0 and scale[3] == pytest.approx(1) and 0 < scale[1] < 0.3 and 0.5 < scale[2] < 0.6
    assert scale[4] < 2  # the strongest that RefocusLens has


def test_a_place_is_that_of_a_tokens_middle():
    """The middle of the first token is 8 px from the corner; the last token's position is their number less one."""
    at = place(torch.tensor([[8 / 96, 8 / 48], [88 / 96, 40 / 48], [0.25, 0.75]]), 48, 96)
    assert at.shape == (3, 1, 3) and torch.allclose(at[:2, 0], torch.tensor([[0.0, 0, 0], [0, 2, 5]]), atol=1e-5)
    assert torch.allclose(at[2, 0], torch.tensor([0.0, 0.75 * 3 - 0.5, 0.25 * 6 - 0.5]))


def test_before_training_nothing_is_added_to_the_modulation():
    tokens, shift = Camera("point", 32)(tiny_aim(2), 48, 96)
    assert tokens.x.shape == (2, 1, 32) and tokens.ids.shape == (2, 1, 3) and tokens.placed
    assert shift.shape == (2, 32) and not shift.any()


def filled(kind):
    camera, g = Camera(kind, 32), torch.Generator().manual_seed(3)
    camera.load_state_dict({k: torch.randn(p.shape, generator=g) for k, p in camera.state_dict().items()})
    return camera.requires_grad_(False)


def test_what_the_camera_is_told_reaches_token_and_modulation():
    """The token holds the plane's disparity or that it is not known; the modulation disparity and blur."""
    camera, aim = filled("point"), tiny_aim(2)
    tokens, shift = camera(aim, 48, 96)
    for other, changes in (
        (Aim(aim.point + 0.01, aim.blur, aim.disparity), (False, True, False)),
        (Aim(aim.point, aim.blur * 1.1, aim.disparity), (False, False, True)),
        (Aim(aim.point, aim.blur, aim.disparity + 0.05), (True, False, True)),
        (Aim(aim.point, aim.blur, None), (True, False, True)),
    ):
        t, s = camera(other, 48, 96)
        found = tuple(not torch.allclose(a, b) for a, b in ((t.x, tokens.x), (t.ids, tokens.ids), (s, shift)))
        assert found == changes
    none, still = camera(Aim(aim.point, torch.zeros(2)), 48, 96)
    assert torch.equal(none.x[0], none.x[1]) and torch.allclose(still[0], still[1], atol=1e-3)
    beyond = [camera(Aim(aim.point, aim.blur, torch.full((2,), d)), 48, 96)[0].x for d in (1.5, 1.6, 900.0)]
    assert torch.equal(beyond[0], beyond[1]) and torch.equal(beyond[0], beyond[2])


def test_the_papers_camera_is_three_linear_tokens():
    camera, aim = filled("linear"), tiny_aim(2)
    tokens, shift = camera(aim, 48, 96)
    assert shift is None and not tokens.placed and not tokens.ids.any() and tokens.x.shape == (2, 3, 32)
    values = torch.stack([aim.point[:, 0], aim.point[:, 1], aim.blur], 1)
    assert torch.allclose(tokens.x, values[..., None] * camera.weight + camera.bias)
    at_zero = camera(Aim(torch.zeros(1, 2), torch.zeros(1)), 48, 96)[0].x
    assert torch.equal(at_zero[0], camera.bias)


def test_a_token_at_a_place_moves_with_the_tile():
    tokens, _ = Camera("point", 32)(tiny_aim(1), 160, 320)
    cut = tokens.cut(slice(4, 9), slice(7, 12))
    assert torch.allclose(tokens.ids[0, 0] - cut.ids[0, 0], torch.tensor([0.0, 4, 7]))
    tokens, _ = Camera("linear", 32)(tiny_aim(1), 160, 320)
    assert torch.equal(tokens.cut(slice(4, 9), slice(7, 12)).ids, tokens.ids)


# The geometry picture


def test_the_defocus_picture_is_grey_in_focus_and_signed():
    radius = torch.tensor([[[0.0, 4.0, -4.0, 400.0, -400.0]]])
    picture = defocus_picture(radius, 40)
    assert picture.shape == (1, 1, 5, 3) and torch.equal(picture[..., 0], picture[..., 2])
    tanh = math.tanh(1)
    assert picture[0, 0, :, 0].tolist() == pytest.approx([0.5, 0.5 + tanh / 2, 0.5 - tanh / 2, 1, 0], abs=1e-6)


def test_the_depth_picture_is_white_near_by():
    assert depth_picture(torch.tensor([[[-0.1, 0.25, 1.2]]]))[0, 0, :, 1].tolist() == [0, 0.25, 1]


def test_quantiles_are_the_whole_clips():
    values = torch.arange(2000.0).reshape(2, 20, 50)
    assert quantiles(values) == (19, 1980) and quantiles(values.flip(0, 1, 2)) == (19, 1980)


@pytest.mark.parametrize(
    ("size", "tiling", "expected"),
    [((490, 700), "auto", (490, 700)), ((512, 700), "auto", (512, 512)), ((2000, 300), "on", (512, 300))],
)
def test_a_tile_is_a_picture_of_its_own(size, tiling, expected):
    assert seen(*size, tiling) == expected and seen(*size, "off") == size


# Targets


def test_a_point_and_a_strength():
    """Disparity is scaled to the scene's 1 % and 99 % quantiles, strength and focus alike: the radius stays."""
    d = scene(2)
    low, high = quantiles(d)
    target = at_point((0.75, 0.5), 40.0, 2, d)
    focus = 2 + 3 * 0.75
    assert torch.allclose(target.aim.blur, torch.full((2,), 0.4 * (high - low)))
    assert torch.allclose(target.aim.disparity, torch.full((2,), (focus - low) / (high - low)), atol=0.02)
    assert target.aim.point.tolist() == [[0.75, 0.5]] * 2
    # the same radius in either unit: 100 b (f' - d') in a picture 1000 px wide
    again = 100 * target.aim.blur[:, None, None] * (target.aim.disparity[:, None, None] - target.disparity) * 0.06
    assert torch.allclose(again, target.defocus.radius, atol=1e-4)
    assert target.defocus.radius[0, 20, 5] > 1 > target.defocus.radius[0, 20, 59]  # far is behind
    assert target.defocus.focus_point == (0.75, 0.5)
    assert torch.allclose(at_point((0.75, 0.5), 40.0, 2, d * 10).aim.blur, target.aim.blur * 10)


def test_without_depth_there_is_no_geometry():
    target = at_point((0.2, 0.9), 40.0, 3)
    assert target.aim.blur.tolist() == pytest.approx([0.4] * 3) and target.aim.disparity is None
    assert target.geometry("defocus", 40) is None and target.geometry("depth", 40) is None
    assert sharp(2).aim.blur.tolist() == [0, 0] and sharp(2).geometry("defocus", 40) is None
    with pytest.raises(RefocusError, match="outside the picture"):
        at_point((1.2, 0.5), 40.0, 1, scene())
    with pytest.raises(RefocusError, match="outside the picture"):
        at_point((0.5, -0.1), 40.0, 1)


def test_a_flat_scene_is_all_in_focus():
    target = at_point((0.2, 0.9), 40.0, 1, torch.full((1, 20, 30), 3.0))
    assert target.aim.blur.tolist() == [0] and not target.defocus.radius.any() and not target.disparity.any()


def test_geometry_is_what_the_checkpoint_was_trained_with():
    target = at_point((0.75, 0.5), 40.0, 1, scene())
    assert torch.equal(target.geometry("defocus", 40), defocus_picture(target.defocus.radius, 40))
    assert torch.equal(target.geometry("depth", 40), depth_picture(target.disparity))
    assert torch.equal(target.enlarged(3).aim.blur, target.aim.blur * 3)
    assert of_map(target.defocus).geometry("depth", 40) is None


@pytest.mark.parametrize("told", [True, False])
def test_a_map_tells_blur_and_focus(told):
    """What RefocusLens makes of depth, read back from its radius alone or with what it tells beside it."""
    d = scene(2)
    expected = at_point((0.75, 0.5), 40.0, 2, d)
    given = expected.defocus if told else DefocusMap(expected.defocus.radius)
    target = of_map(given)
    assert torch.allclose(target.aim.blur, expected.aim.blur, rtol=2e-2)
    assert torch.allclose(target.aim.disparity, expected.aim.disparity, atol=2e-2)
    assert torch.allclose(target.aim.point, expected.aim.point, atol=1e-6 if told else 0.26)
    assert target.aim.point[0, 0] == pytest.approx(0.75, abs=0.03)
    assert target.defocus is given


def test_a_clip_of_maps_has_one_scale():
    """A rack from plane to plane: the disparities of all its frames are scaled alike."""
    d = scene(1).expand(3, -1, -1).clone()
    d[1] += 1.0  # something nearer comes in
    focus, strength = torch.tensor([2.5, 3.0, 4.5]), 2.4
    target = of_map(defocus_from_disparity(d, focus, strength))
    low, high = quantiles(d)
    assert torch.allclose(target.aim.disparity, (focus - low) / (high - low), atol=1e-3)
    assert torch.allclose(target.aim.blur, torch.full((3,), strength * (high - low) * 1000 / 60 / 100), rtol=1e-3)


@pytest.mark.parametrize(("radius", "blur", "focus"), [(0.0, 0.0, "any"), (3.0, 0.5, "nearer"), (-3.0, 0.5, "farther")])
def test_a_map_of_one_radius(radius, blur, focus):
    aim = of_map(DefocusMap(torch.full((1, 40, 60), radius))).aim
    assert aim.blur.tolist() == pytest.approx([blur])
    assert {"any": True, "nearer": aim.disparity > 1.5, "farther": aim.disparity < -0.5}[focus]


def test_a_plane_stands_where_most_of_it_is_seen():
    d = scene()
    target = at_plane(3.5, 40.0, d)
    assert target.aim.point[0, 0] == pytest.approx(0.5, abs=0.03)
    assert target.aim.point[0, 1] == pytest.approx(0.5, abs=0.2)
    assert at_plane(2.3, 40.0, d).aim.point[0, 0] == pytest.approx(0.1, abs=0.03)
    assert place_of(torch.zeros(2, 33, 47)).sub(0.5).abs().max() < 0.02  # of equals, the middle
