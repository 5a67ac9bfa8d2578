"""Examples of the training data: what is drawn, and what the photographs show. Widths are never 1000."""

import itertools
import math
from collections import Counter

import pytest
import torch

from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.pipelines.optical import render_bokeh
from rackfocus.pipelines.optics import aperture_mask, defocus_from_disparity, focus_at_point
from rackfocus.training import Settings, UnfitError, example, procedural
from rackfocus.training.example import random_of, scaled, shots_of

CLEAN = {"noise": 0.0, "jpeg": 100}
SIZE = 60, 104


def made(index=0, size=SIZE, seed=3, key="a", variant=0, **settings):
    return example(*procedural(7, index, size), seed, key, variant, Settings(**settings))


def same(a, b):
    pictures = [(a.source, b.source), *zip(a.targets, b.targets, strict=True)]
    return (
        torch.equal(a.aif, b.aif)
        and torch.equal(a.disparity, b.disparity)
        and all(torch.equal(p.image, q.image) and torch.equal(p.sharp, q.sharp) for p, q in pictures)
        and all((p.focus, p.point, p.blur) == (q.focus, q.point, q.blur) for p, q in pictures)
    )


def drawn(count, size=(48, 80), **settings):
    """(disparity, shots) of many scenes, without their pictures."""
    settings = Settings(**settings)
    scenes = [scaled(procedural(1, i, size)[1]) for i in range(min(count, 20))]
    for i in range(count):
        d = scenes[i % 20]
        yield d, shots_of(d, random_of(0, f"scene {i}", 0), settings)


def test_the_same_arguments_give_the_same_bits_and_any_other_one_does_not():
    first = made()
    assert same(first, made())
    for other in ({"seed": 4}, {"key": "b"}, {"variant": 1}):
        again = made(**other)
        assert not torch.equal(first.source.image, again.source.image)
        assert torch.equal(first.aif, again.aif)


@pytest.mark.parametrize("size", [(60, 104), (97, 64)])
def test_sharp_is_where_a_photo_equals_the_picture_bit_for_bit(size):
    e = made(1, size, targets_in_focus=0.0, weakest=60.0)
    for photo in (e.source, *e.targets):
        assert photo.image.shape == (*size, 3) and photo.sharp.dtype == torch.bool
        assert torch.equal(photo.sharp, (photo.image == e.aif).all(-1))
    assert all(0.01 < photo.sharp.float().mean() < 0.9 for photo in e.targets)


def test_no_blur_gives_the_picture_itself():
    e = made(2, targets_in_focus=1.0)
    assert all(photo.blur == 0 and torch.equal(photo.image, e.aif) and photo.sharp.all() for photo in e.targets)


def test_pictures_lie_on_the_steps_of_8_bits_and_depth_on_those_of_16():
    e = made(3)
    for image in (e.aif, e.source.image, *(photo.image for photo in e.targets)):
        assert torch.equal(image, (image * 255).round().byte().float() / 255)
    assert torch.equal(e.disparity, (e.disparity.double() * 65535).round().float() / 65535)


def test_disparity_runs_from_0_to_1_between_its_quantiles_and_larger_is_nearer():
    picture, d = procedural(7, 0, SIZE)
    d = d.clone()
    d[0, 0], d[0, 1] = 1e6, -1e6  # specks
    e = example(picture, d, 3, "a")
    assert e.disparity.min() == 0 and e.disparity.max() == 1
    assert (e.disparity == 0).float().mean() < 0.03 and (e.disparity == 1).float().mean() < 0.03
    assert torch.corrcoef(torch.stack([d[1:].flatten(), e.disparity[1:].flatten()]))[0, 1] > 0.999


def test_focus_is_what_the_lens_reads_at_the_point():
    for size in ((60, 104), (90, 250)):
        for d, shots in drawn(10, size):
            for plane, _ in (shots.source, *shots.targets):
                assert plane.disparity == float(focus_at_point(d[None], *plane.point)[0])
    assert shots.source[0] in [plane for plane, _ in shots.targets]


def test_planes_are_3_to_6_and_at_least_015_apart_from_near_to_far():
    counts = Counter()
    for _, shots in drawn(100):
        at = [plane.disparity for plane, _ in shots.targets]
        counts[len(at)] += 1
        assert all(a - b >= 0.15 for a, b in itertools.pairwise(at))
    assert set(counts) == {3, 4, 5, 6}


def test_a_point_is_not_at_the_border_of_its_depth():
    for d, shots in drawn(20, apart=0.3, planes=(2, 3)):
        for plane, _ in shots.targets:
            x, y = int(plane.point[0] * d.shape[1]), int(plane.point[1] * d.shape[0])
            near = d[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
            assert (near - plane.disparity).abs().max() < 0.3


def test_blur_is_drawn_as_it_is_told():
    settings = {"weakest": 4.0, "strongest": 100.0}
    lots = [shots for _, shots in drawn(600, (24, 40), **settings)]
    sources, targets = [s.source[1] for s in lots], [s.targets[0][1] for s in lots]
    assert sum(b == 0 for b in sources) / 600 == pytest.approx(0.25, abs=0.05)
    assert sum(b == 0 for b in targets) / 600 == pytest.approx(0.1, abs=0.04)
    assert all(len({b for _, b in s.targets}) == 1 for s in lots)
    some = [b for b in targets if b]
    assert min(some) >= 0.04 and max(some) <= 1
    # Log-uniform: the middle is the geometric mean.
    assert sorted(some)[len(some) // 2] == pytest.approx(math.sqrt(0.04 * 1), rel=0.3)
    kinds = Counter(
        "other" if s.lens["shape"] != "iris" else "blades" if "blades" in s.lens else "circle" for s in lots
    )
    for kind, share in (("circle", 0.5), ("blades", 0.35), ("other", 0.15)):
        assert kinds[kind] / 600 == pytest.approx(share, abs=0.05)
    glow = [s.lens["highlights"] for s in lots]
    assert min(glow) >= 1 and max(glow) <= 30 and sorted(glow)[300] == pytest.approx(math.sqrt(30), rel=0.3)


def test_no_radius_exceeds_8_percent_of_the_width():
    largest = []
    for d, shots in drawn(60, weakest=90.0, strongest=100.0):
        for plane, b in (shots.source, *shots.targets):
            largest.append(float((100 * b / 1000 * (plane.disparity - d)).abs().max()))
    assert max(largest) <= 0.08 + 1e-6 and sum(v > 0.079 for v in largest) > 40


@pytest.mark.parametrize("size", [(60, 104), (104, 60)])
def test_targets_are_what_the_lens_makes_of_the_scene(size):
    """Unit and direction of b: a strength is in pixels of a picture 1000 px wide, behind the plane it is positive."""
    e = made(4, size, targets_in_focus=0.0, weakest=30.0)
    shape = {k: v for k, v in e.lens.items() if k != "highlights"}
    for photo in e.targets:
        radius = defocus_from_disparity(e.disparity[None], photo.focus, 100 * photo.blur * size[1] / 1000)
        taken = render_bokeh(
            e.aif[None], radius, aperture=aperture_mask(**shape), quality="fast", highlights=e.lens["highlights"]
        )[0]
        assert torch.equal(photo.image, (taken * 255).round() / 255)


def test_a_photo_is_sharpest_where_it_is_focused():
    e = made(5, (96, 144), targets_in_focus=0.0, weakest=90.0)
    for at in e.targets:
        here = (e.disparity - at.focus).abs() < 0.04
        error = {photo.focus: float((photo.image - e.aif)[here].abs().mean()) for photo in e.targets}
        assert min(error, key=error.__getitem__) == at.focus and max(error.values()) > error[at.focus] + 0.01


def test_noise_and_jpeg_are_in_the_source_alone():
    clean = made(6, source_in_focus=1.0, targets_in_focus=1.0, **CLEAN)
    assert torch.equal(clean.source.image, clean.aif)
    for settings in ({"noise": 0.05, "jpeg": 100}, {"noise": 0.0, "jpeg": 20}):
        e = made(6, source_in_focus=1.0, targets_in_focus=1.0, **settings)
        error = (e.source.image - e.aif).abs()
        assert 0.001 < error.mean() < 0.2 and not torch.equal(e.source.image, e.aif)
        assert all(torch.equal(photo.image, e.aif) for photo in e.targets)


def test_a_flat_scene_is_unfit_and_says_why():
    picture, d = procedural(7, 0, SIZE)
    with pytest.raises(UnfitError, match="1 depths of enough area, but 3 are needed") as told:
        example(picture, torch.zeros_like(d), 0, "a")
    assert told.value.why == "too few depths"
    with pytest.raises(UnfitError, match="not finite"):
        example(picture, d / 0, 0, "a")
    with pytest.raises(RefocusError, match="scale the map to the picture"):
        example(picture, d[:-1], 0, "a")


@pytest.mark.parametrize("wrong", [{"planes": (4, 3)}, {"noise": -1.0}, {"strongest": 1.0}, {"quality": "good"}])
def test_settings_are_checked(wrong):
    with pytest.raises(RefocusError, match="needed"):
        Settings(**wrong)


@pytest.mark.parametrize("size", [(16, 16), (31, 77), (130, 48)])
def test_every_procedural_scene_has_depths_enough(size):
    for i in range(40):
        picture, d = procedural(2, i, size)
        assert picture.shape == (*size, 3) and d.shape == size
        assert 0 <= picture.min() and picture.max() <= 1 and 0 <= d.min() and d.max() <= 1
        assert len(shots_of(scaled(d), random_of(0, str(i), 0), Settings()).targets) >= 3
    assert torch.equal(picture, procedural(2, 39, size)[0]) and not torch.equal(picture, procedural(3, 39, size)[0])
