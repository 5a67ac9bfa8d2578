"""Scenes for the small model, and batches of them: mosaics, mirrors, what is asked, and broken depth."""

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optics import defocus_from_disparity, from_1000
from rackfocus.training.batch import TURNS, Batch, join
from rackfocus.training.corrupt import corrupted
from rackfocus.training.metrics import at_points
from rackfocus.training.mosaic import SMALL, render_mosaic, small_scenes
from rackfocus.training.trainee import asked, with_broken_depth, with_disparity

RANDOM = torch.Generator()


@pytest.fixture(autouse=True)
def _seeded():
    """Whichever tests ran before."""
    RANDOM.manual_seed(0)


@pytest.fixture(scope="module")
def scenes() -> Batch:
    return small_scenes(3, 0, 5, 32)


def test_a_scene_is_the_same_whatever_is_rendered_beside_it(scenes):
    """But for some pixels at depth edges, where the renderer fills what lies hidden by cells that begin elsewhere."""
    alone = small_scenes(3, 3, 1, 32)
    for name in ("aif", "disparity", "blur", "focus", "point"):
        assert torch.equal(getattr(alone, name)[0], getattr(scenes, name)[3]), name
    for name in ("source", "targets"):
        away = (getattr(alone, name)[0] - getattr(scenes, name)[3]).abs()
        assert away.square().mean().sqrt() < 4 / 255
        assert (away > 1.5 / 255).float().mean() < 0.1


def test_the_same_call_gives_the_same_bits(scenes):
    again = small_scenes(3, 0, 5, 32)
    assert torch.equal(again.targets, scenes.targets)
    assert torch.equal(again.source, scenes.source)


def test_other_seeds_and_numbers_are_other_scenes(scenes):
    assert not torch.equal(small_scenes(4, 0, 1, 32).aif, scenes.aif[:1])
    assert not torch.equal(scenes.aif[0], scenes.aif[1])


def test_each_cell_of_a_mosaic_is_blurred_by_its_own_map():
    """A white dot spreads where its radius is large, stays where it is 0, and no light comes from the neighbours."""
    pictures = torch.full((3, 16, 16, 3), 0.2)
    pictures[0, 8, 8] = pictures[1, 8, 8] = 0.9
    radius = torch.zeros(3, 16, 16)
    radius[1] = 2.0
    out = render_mosaic(pictures, radius)
    assert torch.equal(out[0], pictures[0])
    assert torch.equal(out[2], pictures[2])
    assert out[1, 8, 8].max() < 0.5
    assert out[1, 8, 10].min() > 0.21
    assert abs(float(out[1, 0, 0, 0]) - 0.2) < 1e-3


def test_what_is_in_focus_is_sharp_bit_for_bit(scenes):
    for k in range(scenes.blur.shape[1]):
        depth = at_points(scenes.disparity, scenes.point[:, k])
        assert torch.allclose(depth, scenes.focus[:, k], atol=0.02)
        blurred = scenes.blur[:, k] > 0.5
        assert at_points(scenes.sharp[:, k].float(), scenes.point[:, k])[blurred].mean() > 0.6
    equal = (scenes.targets == scenes.aif[:, None]).all(-1)
    assert torch.equal(scenes.sharp, equal)
    assert (
        scenes.blur[:, :, None, None] * (scenes.focus[:, :, None, None] - scenes.disparity[:, None])
    ).abs().max() < 1


@pytest.mark.parametrize("turn", range(TURNS))
def test_points_and_masks_turn_with_the_picture(scenes, turn):
    turned = scenes.turned(turn)
    for k in range(scenes.blur.shape[1]):
        before = at_points(scenes.disparity, scenes.point[:, k])
        assert torch.equal(at_points(turned.disparity, turned.point[:, k]), before)
    assert torch.equal(turned.sharp, (turned.targets == turned.aif[:, None]).all(-1))
    assert (turn == 0) == torch.equal(turned.source, scenes.source)
    if turn in (0, 1, 2, 4):
        assert torch.equal(turned.turned(turn).targets, scenes.targets)


def test_mirrors_keep_a_wide_picture_wide():
    picture = torch.rand(1, 8, 12, 3, generator=RANDOM)
    batch = Batch(
        aif=picture,
        source=picture,
        disparity=picture[..., 0],
        targets=picture[:, None],
        blur=torch.ones(1, 1),
        focus=torch.ones(1, 1),
        point=torch.tensor([[[0.25, 0.5]]]),
        sharp=torch.ones(1, 1, 8, 12, dtype=torch.bool),
        source_blur=torch.zeros(1),
        source_focus=torch.zeros(1),
    )
    assert torch.equal(batch.turned(1).aif, picture.flip(2))
    assert torch.equal(batch.turned(2).aif, picture.flip(1))
    assert batch.turned(3).size == (8, 12)
    assert batch.turned(1).point[0, 0].tolist() == [0.75, 0.5]


def test_planes_are_chosen_scene_by_scene(scenes):
    which = torch.tensor([[2, 0]] * 4 + [[1, 2]])
    chosen = scenes.planes(which)
    assert torch.equal(chosen.targets[0], scenes.targets[0, [2, 0]])
    assert torch.equal(chosen.point[4], scenes.point[4, [1, 2]])
    assert torch.equal(chosen.source, scenes.source)
    assert len(join([chosen, chosen])) == 10


def test_what_is_asked_has_the_radius_of_a_lens(scenes):
    given = asked(scenes)
    for i in (0, 4, 7):
        s, k = divmod(i, scenes.blur.shape[1])
        strength = from_1000(100 * float(scenes.blur[s, k]), 32)
        lens = defocus_from_disparity(scenes.disparity[s : s + 1], float(scenes.focus[s, k]), strength)
        assert torch.allclose(given.radius[i], lens.radius[0], atol=1e-5)
        assert int(given.scene[i]) == s


def test_depth_can_be_missing_for_a_scene(scenes):
    known = torch.tensor([True, False, True, False, True])
    given = asked(scenes, known)
    assert given.known.tolist() == [k for k in known.tolist() for _ in range(3)]


def test_another_map_is_read_at_the_point(scenes):
    given = with_disparity(asked(scenes), 1 - asked(scenes).disparity)
    assert torch.equal(given.focus, at_points(given.disparity, given.point))


def test_broken_depth_is_one_map_to_a_photo_and_not_the_right_one(scenes):
    given = with_broken_depth(asked(scenes), torch.Generator().manual_seed(0))
    maps = given.disparity.unflatten(0, (5, 3))
    assert torch.equal(maps[:, 0], maps[:, 2])
    assert (maps[:, 0] - scenes.disparity).abs().amax((1, 2)).gt(1 / 255).any()


def test_corrupted_maps_stay_maps():
    d = torch.rand(64, 20, 28, generator=RANDOM)
    bad = corrupted(d, torch.Generator().manual_seed(1))
    assert bad.shape == d.shape
    assert bad.min() >= 0 and bad.max() <= 1
    assert torch.allclose((bad * 255).round() / 255, bad)
    away = (bad - d).abs().amax((1, 2))
    assert 0.02 < (away < 0.01).float().mean() < 0.2  # a sixteenth has none of the four kinds
    assert torch.equal(bad, corrupted(d, torch.Generator().manual_seed(1)))


def test_sizes_are_checked():
    with pytest.raises(RefocusError, match="size is 8"):
        small_scenes(0, 0, 1, 8)
    assert SMALL.planes == (3, 3)
