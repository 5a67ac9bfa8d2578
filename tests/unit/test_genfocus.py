"""Genfocus's set-ups and its whole reference run, on a tiny random FLUX."""

import pytest
import torch

from rackfocus.pipelines.flux.lora_file import LowRank
from rackfocus.pipelines.flux.sampling import sigmas
from rackfocus.pipelines.genfocus import (
    BOKEH,
    DEBLUR,
    DEBLUR_PRE,
    SETUPS,
    Condition,
    conditions,
    generate,
    velocity,
    with_aperture,
)
from rackfocus.pipelines.genfocus.setups import defocus_image
from rackfocus.pipelines.image.checks import RefocusError
from rackfocus.tests.parity.golden import OURS, error


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture
def small():
    """(noise, two condition grids, text, pooled) of 5 x 9 tokens."""
    return OURS.inputs("bokeh_small")


# The set-ups


def test_the_published_setups():
    assert list(SETUPS.values()) == [DEBLUR, DEBLUR_PRE, BOKEH] and all(n == s.name for n, s in SETUPS.items())
    assert [s.guidance for s in SETUPS.values()] == [3.5, 3.5, 1.0] and {s.steps for s in SETUPS.values()} == {28}
    assert [[s.offset for s in setup.slots] for setup in SETUPS.values()] == [
        [(0, 0)],
        [(0, 32), (0, 0)],  # the pre-deblurred image stands 32 tokens to the right
        [(0, 0), (0, 0)],
    ]
    assert [[s.signed for s in setup.slots] for setup in SETUPS.values()] == [[True], [True, True], [True, False]]
    assert [s.name for s in BOKEH.slots] == ["all-in-focus image", "defocus map"]
    assert [s.name for s in DEBLUR_PRE.slots] == ["pre-deblurred image", "image"]
    assert DEBLUR.prompt == DEBLUR_PRE.prompt == "a sharp photo with everything in focus"
    assert BOKEH.prompt == "an excellent photo with a large aperture"


def test_the_aperture_is_one_more_condition():
    setup = with_aperture(BOKEH)
    assert setup.slots[:2] == BOKEH.slots and setup.slots[2].signed and setup.slots[2].offset == (0, 0)
    assert (setup.prompt, setup.guidance, setup.steps) == (BOKEH.prompt, BOKEH.guidance, BOKEH.steps)


def test_conditions_keep_the_slots_order(small, lora):
    grids, other = small[1], {}
    made = conditions(DEBLUR_PRE, grids, [lora, other])
    assert [c.offset for c in made] == [(0, 32), (0, 0)] and not any(c.mutual for c in made)
    assert all(c.grid is g for c, g in zip(made, grids, strict=True))
    assert made[0].lora is lora and made[1].lora is other
    assert [c.lora is lora for c in conditions(DEBLUR_PRE, grids, [lora])] == [True, True]
    with pytest.raises(
        RefocusError, match=r"2 condition images were given, but bokeh with aperture shape needs 3 \(all-in"
    ):
        conditions(with_aperture(BOKEH), grids, [lora])
    with pytest.raises(RefocusError, match="3 LoRAs were given for 2"):
        conditions(BOKEH, grids, [lora] * 3)


def test_defocus_as_an_image():
    """White at 100 pixels of blur radius, in front of the focal plane as behind it."""
    out = defocus_image(torch.tensor([[[-50.0, 0.0, 25.0], [1000.0, -250.0, 100.0]]]))
    assert out.shape == (1, 2, 3, 3)
    assert out[0, :, :, 1].tolist() == [[0.5, 0.0, 0.25], [1.0, 1.0, 1.0]]
    assert torch.equal(out[..., 0], out[..., 1]) and torch.equal(out[..., 2], out[..., 1])


# Whole runs


@pytest.mark.parametrize("name", ["deblur_small", "predeblur_small", "bokeh_image_guidance"])
def test_the_published_runs(name):
    """The small ones of the published inference's own; tests/parity holds all of them."""
    noise, grids, text, pooled = OURS.inputs(name)
    out = generate(OURS.transformer, OURS.setup(name), noise, grids, [OURS.lora], text, pooled, **OURS.settings(name))
    assert error(out.flatten(1, 2), OURS.tensors[f"{name}.out"]) < 1e-4


def test_what_is_left_out_is_as_published(small, transformer, lora):
    """28 steps of Euler at the set-up's guidance; stopped after the first by what progress raises."""
    noise, grids, text, pooled = small
    for setup in SETUPS.values():
        seen, points = [], []

        def stop(done, total, seen=seen):
            seen.append((done, total))
            raise KeyboardInterrupt

        handle = transformer.time_text_embed.register_forward_pre_hook(lambda m, a, p=points: p.append(a[:2]))
        try:
            with pytest.raises(KeyboardInterrupt):
                generate(transformer, setup, noise, grids[: len(setup.slots)], [lora], text, pooled, progress=stop)
        finally:
            handle.remove()
        assert seen == [(1, 28)]
        assert [(t.item(), g.item()) for t, g in points] == [(1000, setup.guidance * 1000), (0, 1000)]


def test_one_step_by_hand(small, transformer, lora):
    """From sigma 1 to 0: noise minus the velocity."""
    noise, grids, text, pooled = small
    out = generate(transformer, DEBLUR_PRE, noise, grids, [lora], text, pooled, steps=1, guidance=2.0)
    given = [Condition(grids[0], lora, (0, 32)), Condition(grids[1], lora)]
    assert error(out, noise - velocity(transformer, noise, given, text, pooled, 1.0, 2.0)) < 1e-6
    unguided = generate(transformer, DEBLUR_PRE, noise, grids, [lora], text, pooled, steps=1, guidance=0.0)
    assert error(unguided, noise - velocity(transformer, noise, given, text, pooled, 1.0, 0.0)) < 1e-6


def test_the_schedule_is_the_whole_pictures(small, transformer, lora):
    """The shift counts the tokens of the picture, not of a tile; tiles forget offsets."""
    noise, grids, text, pooled = small
    points = []
    handle = transformer.time_text_embed.register_forward_pre_hook(lambda m, a: points.append(a[0].item() / 1000))
    try:
        generate(transformer, BOKEH, noise, grids, [lora], text, pooled, steps=3, tiling="on", tile=5)
    finally:
        handle.remove()
    levels = sigmas(3, 45)[:3].tolist()
    two_tiles = [t for level in levels for t in (level, 0, level, 0)]
    assert points == pytest.approx(two_tiles, abs=1e-6)


def test_tiles_forget_offsets_and_black_images_are_not_tiled(small, transformer, lora):
    noise, grids, text, pooled = small

    def run(setup, **settings):
        return generate(transformer, setup, noise, grids, [lora], text, pooled, steps=1, guidance=1.0, **settings)

    assert torch.equal(run(BOKEH, tiling="on", tile=4), run(DEBLUR_PRE, tiling="on", tile=4))
    assert error(run(DEBLUR_PRE, tiling="off"), run(BOKEH, tiling="off")) > 1e-3
    assert error(run(BOKEH, tiling="on", tile=4), run(BOKEH, tiling="off")) > 1e-3
    assert torch.equal(run(BOKEH, tiling="auto", tile=5), run(BOKEH, tiling="on", tile=5))
    assert torch.equal(run(BOKEH, tiling="auto", tile=6), run(BOKEH, tiling="off"))
    black = [torch.zeros_like(g) for g in grids]
    only_black = {"image_guidance": 0.0, "black": black}  # v_black + 0 * (v - v_black)
    assert torch.equal(run(BOKEH, tiling="on", tile=4, **only_black), run(BOKEH, tiling="off", **only_black))


def test_a_third_condition_with_its_own_lora(small, transformer, lora):
    noise, grids, text, pooled = small
    setup, shape = with_aperture(BOKEH), grids[0].flip(1)
    other = {m: LowRank(low.down, -low.up) for m, low in lora.items()}

    def run(images, loras):
        return generate(transformer, setup, noise, images, loras, text, pooled, steps=1)

    own = run([*grids, shape], [lora, lora, other])
    assert error(own, run([*grids, shape], [lora])) > 1e-3
    assert error(own, run([*grids, shape * 0.5], [lora, lora, other])) > 1e-3


def test_image_guidance_without_black_images_is_said(small, transformer, lora):
    noise, grids, text, pooled = small
    with pytest.raises(RefocusError, match=r"image guidance of 1\.6 .* none were given: give") as said:
        generate(transformer, BOKEH, noise, grids, [lora], text, pooled, steps=1, image_guidance=1.6)
    assert "\n" not in str(said.value)
    with pytest.raises(RefocusError, match="1 black condition images were given for 2 conditions"):
        generate(transformer, BOKEH, noise, grids, [lora], text, pooled, image_guidance=1.6, black=[grids[0] * 0])
